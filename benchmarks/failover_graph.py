"""The graph of the fail-over benchmark: many short steps, each of which says some words and makes a checkpoint."""

from __future__ import annotations

import os
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph

from sio_server.dialog.graphs.concierge.model import SpokenReply
from sio_server.dialog.graphs.echo import keep_last

WORDS = "some words of this step"


class State(TypedDict, total=False):
    """`left`: the steps that are still to be made in this turn."""

    messages: Annotated[list[AnyMessage], keep_last]
    left: int


def begin(state: State) -> State:
    """Read from the message how many steps the answer has."""
    return {"left": int(state["messages"][-1].text)}


def to_say(state: State) -> list[AIMessage]:
    """What this step says; it takes about as long as its words need."""
    return [AIMessage(f"{WORDS} {state['left']}")]


def count(state: State) -> State:
    """One step less is left."""
    return {"left": state["left"] - 1}


def has_more(state: State) -> str:
    """Where the graph continues."""
    return "speak" if state["left"] > 0 else END


def said(message: AIMessage) -> Any:
    """What the model has said is part of the state."""
    return {"messages": [message]}


def make() -> Any:
    """The graph."""
    builder = StateGraph(State)
    delay_s = float(os.environ.get("WORD_DELAY", "0.02"))
    builder.add_node("begin", begin)
    builder.add_node("speak", RunnableLambda(to_say) | SpokenReply(word_delay=delay_s) | RunnableLambda(said))
    builder.add_node("count", count)
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "speak")
    builder.add_edge("speak", "count")
    builder.add_conditional_edges("count", has_more)
    return builder


graph = make()
