"""Answers in a schema: an agent whose answer is an order, and a router whose choice is not for people."""

from __future__ import annotations

from typing import Any, Literal

from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain.chat_models import init_chat_model
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from tests.zoo.tools import look_up


class Order(BaseModel):
    """What is ordered."""

    item: str
    cups: int


agent = create_agent("openai:scripted", [look_up], response_format=ToolStrategy(Order))


class Route(BaseModel):
    """Where a message goes."""

    to: Literal["kitchen", "office"]


model = init_chat_model("openai:scripted")
chooser = model.with_structured_output(Route)


async def choose(state: MessagesState) -> Command[Literal["kitchen", "office"]]:
    route: Any = await chooser.ainvoke(state["messages"])
    return Command(goto=route.to)


async def kitchen(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await model.ainvoke([("system", "You are the kitchen."), *state["messages"]])]}


async def office(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await model.ainvoke([("system", "You are the office."), *state["messages"]])]}


router = StateGraph(MessagesState)
router.add_node("choose", choose)
router.add_node("kitchen", kitchen)
router.add_node("office", office)
router.add_edge(START, "choose")
