"""A graph that works until it is cancelled, for tests in its own process."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph

began, cancelled = threading.Event(), threading.Event()


async def hold(state: Any) -> None:
    """Say that it has begun, and that it was cancelled."""
    began.set()
    try:
        await asyncio.sleep(3600)
    finally:
        cancelled.set()


def work() -> StateGraph[Any]:
    """The graph, with the name that `Dialogs.conversation` uses."""
    return StateGraph(MessagesState).add_node("hold", hold).add_edge(START, "hold")
