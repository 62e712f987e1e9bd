"""Finds a room: a subgraph walks through the floors, calls a tool on each, and reports how far it is."""

import re
from typing import Annotated, TypedDict
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode

from office.rooms import FLOORS, find_room


class Search(TypedDict, total=False):
    """One search. Its messages are the dialog's, so that the answer tells which tools were called for it."""

    people: int
    floors: list[int]
    messages: Annotated[list[AnyMessage], add_messages]
    room: str


class Plan(MessagesState, total=False):
    """The dialog, and the last search."""

    people: int
    floors: list[int]
    room: str


def look(state: Search) -> Search:
    """Ask the tool for the next floor; where a model would decide, this is scripted."""
    floor, *rest = state["floors"]
    done = len(FLOORS) - len(rest)
    get_stream_writer()({"text": f"Looking on floor {floor}", "done": done, "total": len(FLOORS)})
    call = {"name": find_room.name, "args": {"people": state["people"], "floor": floor}, "id": uuid4().hex}
    return {"floors": rest, "messages": [AIMessage("", tool_calls=[call])]}


def judge(state: Search) -> Search:
    """Take what the tool has found."""
    found = state["messages"][-1]
    return {"room": found.text if isinstance(found, ToolMessage) else ""}


def next_step(state: Search) -> str:
    """Go on until there is a room or no floor is left."""
    return END if state["room"] or not state["floors"] else "look"


search = StateGraph(Search)
search.add_node("look", look)
search.add_node("tools", ToolNode([find_room]))
search.add_node("judge", judge)
search.add_edge(START, "look")
search.add_edge("look", "tools")
search.add_edge("tools", "judge")
search.add_conditional_edges("judge", next_step, ["look", END])


def understand(state: Plan) -> Plan:
    """How many people: the first number in the message."""
    number = re.search(r"\d+", state["messages"][-1].text)
    return {"messages": [], "people": int(number[0]) if number else 2, "floors": sorted(FLOORS), "room": ""}


def answer(state: Plan) -> Plan:
    """Say what was found."""
    people, room = state["people"], state["room"]
    text = f"The {room} room takes {people}." if room else f"There is no room for {people}."
    return {"messages": [AIMessage(text)]}


builder = StateGraph(Plan)
builder.add_node("understand", understand)
builder.add_node("search", search.compile())
builder.add_node("answer", answer)
builder.add_edge(START, "understand")
builder.add_edge("understand", "search")
builder.add_edge("search", "answer")
graph = builder.compile(name="planner")
