"""A graph that does what graphs should not do; the message says what. It can only hurt its own run."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import redis
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph


class OddError(BaseException):
    """There are libraries whose errors derive from BaseException."""


async def hurt(state: MessagesState) -> dict[str, Any]:
    match state["messages"][-1].text:
        case "exit":
            sys.exit(3)
        case "odd":
            raise OddError("odd")
        case "interrupt the program":
            raise KeyboardInterrupt
        case "redis":
            raise redis.exceptions.ConnectionError("the cache of this graph is away")
        case "timeout":
            raise TimeoutError("the shop did not answer")
        case "unicode":
            b"\xff".decode()
        case "cancel":
            raise asyncio.CancelledError
        case "nothing":
            return {}
    return {"messages": [AIMessage("unhurt")]}


graph = StateGraph(MessagesState)
graph.add_node("hurt", hurt)
graph.add_edge(START, "hurt")
