"""Map and reduce by `Send`: as many writers as the message has words, all at once, then one answer."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send

model = init_chat_model("openai:scripted")


class State(MessagesState):
    verses: Annotated[list[str], operator.add]


class Task(TypedDict):
    word: str


def split(state: State) -> list[Send]:
    return [Send("write", {"word": word}) for word in state["messages"][-1].text.split()]


async def write(task: Task) -> dict[str, Any]:
    word = task["word"]
    said = await model.ainvoke(f"say {word} one {word} two {word} three {word} four")
    return {"verses": [said.text]}


def join(state: State) -> dict[str, Any]:
    return {"messages": [AIMessage(f"{len(state['verses'])} verses")]}


graph = StateGraph(State)
graph.add_node("write", write)
graph.add_node("join", join)
graph.add_conditional_edges(START, split, ["write"])
graph.add_edge("write", "join")
