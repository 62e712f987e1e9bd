"""A graph that never returns and cannot be cancelled: it waits in a thread."""

from __future__ import annotations

import threading
from typing import Any

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph


def wait_forever(state: MessagesState) -> dict[str, Any]:
    """Report once, and wait for what never comes."""
    get_stream_writer()({"text": "stuck"})
    threading.Event().wait()
    return {}


stuck = StateGraph(MessagesState)
stuck.add_node("wait_forever", wait_forever)
stuck.add_edge(START, "wait_forever")
stuck.add_edge("wait_forever", END)
