"""A plain StateGraph: one node that lets a chat model answer."""

from __future__ import annotations

from typing import Any

from langchain.chat_models import init_chat_model
from langgraph.graph import START, MessagesState, StateGraph

model = init_chat_model("openai:scripted")


async def answer(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("answer", answer)
graph.add_edge(START, "answer")
