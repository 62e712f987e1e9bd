"""A subgraph with a state of its own, and an agent that is called in a tool."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.zoo.tools import look_up

# A graph in a node: it keeps count in a state that its parent does not have, and asks.


class Count(TypedDict):
    cups: int


def order(state: Count) -> Count:
    return {"cups": state["cups"] + 1}


def confirm(state: Count) -> Count:
    answer = interrupt(f"{state['cups']} cups?")
    return {"cups": state["cups"] if answer == "yes" else 0}


counting = StateGraph(Count)
counting.add_node("order", order)
counting.add_node("confirm", confirm)
counting.add_edge(START, "order")
counting.add_edge("order", "confirm")
counter = counting.compile()


async def count(state: MessagesState) -> dict[str, Any]:
    asked = sum(message.type == "human" for message in state["messages"])
    counted = await counter.ainvoke({"cups": asked})
    return {"messages": [AIMessage(f"{counted['cups']} cups are ordered.")]}


graph = StateGraph(MessagesState)
graph.add_node("count", count)
graph.add_edge(START, "count")


# An agent in a tool.

expert = create_agent("openai:scripted", [look_up], system_prompt="You are the expert.", name="expert")


@tool
async def ask_expert(question: str) -> str:
    """Ask an expert."""
    found = await expert.ainvoke({"messages": [("user", question)]})
    return str(found["messages"][-1].text)


agent = create_agent(init_chat_model("openai:scripted"), [ask_expert], system_prompt="You are the clerk.")
