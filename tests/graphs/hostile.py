"""A hostile graph: what it is asked to repeat stands in its words, tool calls, reports and questions."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


def repeat(state: MessagesState) -> dict[str, Any]:
    """Say the last message again, everywhere."""
    said = next(str(item.text) for item in reversed(state["messages"]) if isinstance(item, HumanMessage))
    write = get_stream_writer()
    write(said)
    write({"text": said, said: [said, {said: said}]})
    name = said[:60]
    call = {"name": name, "args": {"first": said, name: [said]}, "id": f"call-{len(state['messages'])}"}
    return {
        "messages": [
            AIMessage(said, tool_calls=[call]),
            ToolMessage(said, name=name, tool_call_id=call["id"]),
            AIMessage(said),
        ]
    }


def ask(state: MessagesState) -> dict[str, Any]:
    """Ask with it, once: when told to."""
    said = str(state["messages"][-1].text)
    if not said.startswith("ask:"):
        return {}
    said = said.removeprefix("ask:")
    answer = interrupt({"question": said, "options": [{"value": said, "label": said}, said]})
    return {"messages": [AIMessage(str(answer))]}


hostile = StateGraph(MessagesState)
hostile.add_node("repeat", repeat)
hostile.add_node("ask", ask)
hostile.add_edge(START, "repeat")
hostile.add_edge("repeat", "ask")
hostile.add_edge("ask", END)
