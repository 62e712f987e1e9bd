"""Graphs without `messages` and entrypoints are given a text in one line, or refused with the line to write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from tests.unit.test_graph_loading import THREAD, folder, load, refusal, write, write_project

__all__ = ["folder"]

GRAPHS = """
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel


class State(TypedDict):
    question: str
    context: list[str]
    answer: str


def build(state, node, **more):
    builder = StateGraph(state, **more)
    builder.add_node("answer", node)
    builder.add_edge(START, "answer")
    return builder


qa = build(State, lambda state: {"answer": "You asked " + state["question"]})
silent = build(State, lambda state: {"context": ["nothing"]})
data = build(State, lambda state: {"answer": {"rooms": ["blue", 4]}})


class Model(BaseModel):
    query: str = ""
    result: str = ""


pydantic = build(Model, lambda state: {"result": state.query + "!"})


class History(TypedDict):
    history: Annotated[list[AnyMessage], add_messages]


history = build(History, lambda state: {"history": [AIMessage(f"{len(state['history'])} so far")]})


class Structured(MessagesState):
    verdict: dict


structured = build(Structured, lambda state: {"verdict": {"said": state["messages"][-1].text}})
root = build(Annotated[list[AnyMessage], add_messages], lambda messages: [AIMessage(f"{len(messages)} so far")])


@entrypoint()
def text(given: str, *, previous: Any = None) -> entrypoint.final[str, list]:
    said = [*(previous or []), given]
    return entrypoint.final(value=" ".join(said), save=said)


@entrypoint()
async def messages(given: list[BaseMessage], *, previous: Any = None) -> list[BaseMessage]:
    known = add_messages(previous or [], given)
    return add_messages(known, AIMessage(f"{len(known)} so far"))


@entrypoint()
async def one(given: "HumanMessage") -> AIMessage:
    return AIMessage(given.text + " from " + given.name)


@entrypoint()
async def state(given: MessagesState) -> dict:
    return {"messages": [*given["messages"], AIMessage("told")]}


@entrypoint()
async def plain(given: dict) -> dict:
    return {"text": given["topic"].upper(), "score": 3}


@entrypoint()
async def untold(given):
    return {"length": len(given)}
"""


def project(graph: str, **adapter: str) -> None:
    write("mine.py", GRAPHS)
    write_project({"mine": {"path": f"./mine.py:{graph}", **adapter}})


async def turns(*texts: str) -> list[str | None]:
    """The answers to these texts, as a node gets them."""
    graphs = await load(langgraph_json="langgraph.json")
    graph, adapter = graphs.compile(InMemorySaver())["mine"], graphs.served["mine"].adapter
    assert adapter is not None
    answers = []
    for number, text in enumerate(texts):
        given = adapter.input(HumanMessage(text, name="ann", id=f"m-{number}"))
        answers.append(adapter.answer(await graph.ainvoke(given, THREAD)))
    return answers


@pytest.mark.parametrize(
    ("graph", "adapter", "answers"),
    [
        ("qa", {"input": "question", "output": "answer"}, ["You asked one", "You asked two"]),
        ("pydantic", {"input": "query", "output": "result"}, ["one!", "two!"]),
        ("history", {"input": "history"}, ["1 so far", "3 so far"]),
        ("structured", {"output": "verdict"}, [json.dumps({"said": text}, indent=2) for text in ("one", "two")]),
        ("root", {}, ["1 so far", "3 so far"]),
        ("text", {}, ["one", "one two"]),
        ("text", {"input": ".", "output": "."}, ["one", "one two"]),
        ("messages", {}, ["1 so far", "3 so far"]),
        ("messages", {"input": "messages"}, ["1 so far", "3 so far"]),
        ("one", {}, ["one from ann", "two from ann"]),
        ("state", {}, ["told", "told"]),
        ("plain", {"input": "topic", "output": "text"}, ["ONE", "TWO"]),
        ("untold", {"input": ".", "output": "length"}, ["3", "3"]),
        ("untold", {"output": "."}, ['{\n  "length": 3\n}', '{\n  "length": 3\n}']),
        ("data", {"input": "question", "output": "answer"}, ['{\n  "rooms": [\n    "blue",\n    4\n  ]\n}'] * 2),
        ("silent", {"input": "question", "output": "answer"}, [None, None]),
    ],
)
async def test_a_graph_is_given_the_text_and_answers_through_its_adapter(folder, graph, adapter, answers):
    project(graph, **adapter)
    assert await turns("one", "two") == answers


async def test_the_settings_name_the_adapter_of_the_graph_of_the_setting(folder):
    write("mine.py", GRAPHS)
    graphs = await load("mine:qa", graph_input="question", graph_output="answer")
    adapter = graphs.served["qa"].adapter
    assert adapter is not None
    assert adapter.input(HumanMessage("why?")) == {"question": "why?"}
    assert adapter.answer({"answer": "so"}) == "so"


async def test_a_graph_with_messages_needs_no_adapter(folder):
    write("mine.py", GRAPHS)
    assert (await load("mine:structured")).served["structured"].adapter is None


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "qa",
        {},
        "its state has no messages. Derive it from MessagesState, or say which key gets the text and which "
        'has the answer: "mine": {"path": "./mine.py:qa", "input": "question", "output": "answer"}',
    ),
    ("qa", {"input": "context"}, '"input": "context", "output": "answer"}'),
    ("qa", {"output": "context"}, '"input": "question", "output": "context"}'),
    ("pydantic", {}, '"input": "query", "output": "result"}'),
    (
        "qa",
        {"input": "text", "output": "answer"},
        "its input has no text. Write one of its keys: question, context",
    ),
    (
        "qa",
        {"input": "question", "output": "text"},
        "its state has no text. Write one of its keys: question, context",
    ),
    ("qa", {"input": ".", "output": "."}, "its input has no .. Write one of its keys: question, context, answer"),
    ("plain", {}, '"mine": {"path": "./mine.py:plain", "input": ".", "output": "."}'),
    ("untold", {}, "it does not say what it takes. For the text that was written, write"),
]


@pytest.mark.parametrize(("graph", "adapter", "told"), REFUSED)
async def test_a_graph_without_a_fitting_adapter_is_refused_with_the_line_to_write(folder, graph, adapter, told):
    project(graph, **adapter)
    assert told in await refusal(langgraph_json="langgraph.json")


async def test_the_line_for_a_graph_of_the_setting_names_the_settings(folder):
    write("mine.py", GRAPHS)
    assert "the answer: GRAPH_INPUT=question and GRAPH_OUTPUT=answer" in await refusal("mine:qa")
