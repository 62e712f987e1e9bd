"""A long piece of work that says how far it is: `get_stream_writer`."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph


async def work(state: MessagesState) -> dict[str, Any]:
    steps = int(state["messages"][-1].text)
    write = get_stream_writer()
    for step in range(steps):
        write({"text": f"step {step + 1}", "done": step + 1, "total": steps})
        await asyncio.sleep(0)
    return {"messages": [AIMessage(f"{steps} steps are done.")]}


graph = StateGraph(MessagesState)
graph.add_node("work", work)
graph.add_edge(START, "work")
