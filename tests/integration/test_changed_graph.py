"""A graph that was changed between two starts of a node: runs that it cannot continue end openly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from sio_server.dialog.host import DialogHost
from sio_server.protocol.events import Entry
from tests.served.dialogs import ANN, Dialogs, said

pytest_plugins = ["tests.served.dialog_fixtures"]


class Waiting:
    """Graphs whose last node waits in the first version, and answers in the next."""

    def __init__(self) -> None:
        self.here = asyncio.get_running_loop()
        self.waits = asyncio.Event()
        self.goes_on = False

    async def last(self, state: MessagesState) -> Any:
        if self.goes_on or any(item.text == "hello" for item in state["messages"]):
            return said("the end")
        self.here.call_soon_threadsafe(self.waits.set)
        await asyncio.Event().wait()
        return {}


async def first(state: MessagesState) -> Any:
    return said("half an answer")


def line(last: str, waiting: Waiting) -> StateGraph[Any]:
    """`first`, then a node of this name."""
    return (
        StateGraph(MessagesState).add_sequence([("first", first), (last, waiting.last)]).add_edge(START, "first")
    )


def joined(last: str, waiting: Waiting) -> StateGraph[Any]:
    """`first` and `second` at the same time, then a node of this name."""
    builder = StateGraph(MessagesState)
    for name in ("first", "second"):
        builder.add_node(name, first)
        builder.add_edge(START, name)
    builder.add_node(last, waiting.last)
    builder.add_edge(["first", "second"], last)
    return builder


def sending(last: str, waiting: Waiting) -> StateGraph[Any]:
    """`first` sends to a node of this name."""
    builder = StateGraph(MessagesState)
    builder.add_node("first", first)
    builder.add_node(last, waiting.last)
    builder.add_edge(START, "first")
    builder.add_conditional_edges("first", lambda state: [Send(last, state)], [last])
    return builder


def nested(last: str, waiting: Waiting) -> StateGraph[Any]:
    """`line` as a subgraph, and one that follows it."""
    builder = StateGraph(MessagesState)
    builder.add_node("inside", line(last, waiting).compile())
    builder.add_node("then", lambda state: said("then this"))
    builder.add_edge(START, "inside")
    builder.add_edge("inside", "then")
    return builder


async def deploy(dialogs: Dialogs, old: DialogHost, new: StateGraph[Any]) -> DialogHost:
    """Stop a node, which hands its runs over, and start one with another graph."""
    await old.stop(0.0)
    return await dialogs.serve(new, node="n2")


@pytest.mark.parametrize("shape", [line, joined, sending, nested])
async def test_an_unfinished_run_whose_next_node_is_gone_fails_and_says_so(dialogs, shape):
    waiting = Waiting()
    conversation = await dialogs.conversation()
    old = await dialogs.serve(shape("last", waiting))
    run_id = await dialogs.send(conversation)
    await asyncio.wait_for(waiting.waits.wait(), 10)
    waiting.goes_on = True
    await deploy(dialogs, old, shape("renamed", waiting))
    failed = await dialogs.ended_with(conversation, run_id)
    assert (failed.type, failed.data.get("code"), failed.data["attempt"]) == ("failed", "graph_changed", 2)
    assert "send it again" in failed.data["reason"]
    answer = await dialogs.ended_with(conversation, await dialogs.send(conversation, "hello"))
    assert answer.type == "answer"


@pytest.mark.parametrize("shape", [line, joined, sending, nested])
async def test_an_unfinished_run_continues_in_a_graph_that_still_has_its_next_node(dialogs, shape):
    waiting = Waiting()
    conversation = await dialogs.conversation()
    old = await dialogs.serve(shape("last", waiting))
    run_id = await dialogs.send(conversation)
    await asyncio.wait_for(waiting.waits.wait(), 10)
    waiting.goes_on = True
    changed = shape("last", waiting)
    changed.add_node("new", first)
    changed.add_edge(START, "new")
    await deploy(dialogs, old, changed)
    answer = await dialogs.ended_with(conversation, run_id)
    assert (answer.type, answer.data["attempt"]) == ("answer", 2)


def asking(name: str) -> StateGraph[Any]:
    """A node of this name asks and repeats the answer."""

    async def ask(state: MessagesState) -> Any:
        last = next(item for item in reversed(state["messages"]) if isinstance(item, HumanMessage))
        return said(f"answered {interrupt('yes?')}") if last.text == "ask" else said("well")

    return StateGraph(MessagesState).add_sequence([("first", first), (name, ask)]).add_edge(START, "first")


def asking_inside(name: str) -> StateGraph[Any]:
    builder = StateGraph(MessagesState)
    builder.add_node("inside", asking(name).compile())
    builder.add_edge(START, "inside")
    return builder


async def answered(dialogs: Dialogs, conversation: str, asked: Entry) -> Entry:
    (question,) = asked.data["interrupts"]
    await dialogs.turns.respond(conversation, ANN, question["interrupt_id"], "yes", run_id="r-resumed")
    return await dialogs.ended_with(conversation, "r-resumed")


@pytest.mark.parametrize("shape", [asking, asking_inside])
@pytest.mark.parametrize("name", ["ask", "renamed"])
async def test_a_question_is_answered_by_the_node_that_asked_or_by_none(dialogs, shape, name):
    conversation = await dialogs.conversation()
    old = await dialogs.serve(shape("ask"))
    asked = await dialogs.ended_with(conversation, await dialogs.send(conversation, "ask"))
    assert asked.type == "interrupt"
    await deploy(dialogs, old, shape(name))
    end = await answered(dialogs, conversation, asked)
    if name == "ask":
        assert (end.type, end.text) == ("answer", "answered yes")
    else:
        assert (end.type, end.data.get("code")) == ("failed", "graph_changed")
    answer = await dialogs.ended_with(conversation, await dialogs.send(conversation, "hello"))
    assert answer.type == "answer"
