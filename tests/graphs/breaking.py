"""A graph that breaks what its message names: its run, its dialog, or the process of its node."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

POLL_S = 0.02


class Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


def heard(state: MessagesState) -> str:
    """The text of the message to answer."""
    return next(str(item.text) for item in reversed(state["messages"]) if isinstance(item, HumanMessage))


def leave() -> str:
    """A tool that ends the process, or tries to."""
    sys.exit(3)


def note(text: str) -> None:
    """Note in the file that the message names last that the node has begun."""
    with Path(text.split(" ")[-1]).open("a") as began:
        began.write(f"{os.environ['PORT']}\n")


async def in_loop(state: MessagesState) -> dict[str, Any]:
    """Break something from a coroutine."""
    how = heard(state).split(" ")[0]
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "odd":
        raise Odd
    if how == "cancelled":
        raise asyncio.CancelledError
    if how == "generator":
        raise GeneratorExit
    if how == "loose":
        asyncio.get_running_loop().call_soon(sys.exit, 4)
        threading.Thread(target=sys.exit).start()
        await asyncio.sleep(0.1)
    if how == "tool":
        calls = [{"name": "leave", "args": {}, "id": "1", "type": "tool_call"}]
        return dict(await ToolNode([leave]).ainvoke({"messages": [AIMessage("", tool_calls=calls)]}))
    if how == "cancel-all":
        note(heard(state))
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(5)
    return {}


def in_thread(state: MessagesState) -> dict[str, Any]:
    """Break something from a function, in a thread; or work until a file is there."""
    words = heard(state).split(" ")
    if words[0] == "sync-exit":
        sys.exit(3)
    if words[0] == "kill":
        note(heard(state))
        os._exit(9)
    if words[0] == "kill-slowly":
        note(heard(state))
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    if words[0] == "wait":
        note(heard(state))
        while not Path(words[1]).exists():
            time.sleep(POLL_S)
    return {"messages": [AIMessage("well")]}


breaking = (
    StateGraph(MessagesState)
    .add_sequence([("in_loop", in_loop), ("in_thread", in_thread)])
    .add_edge(START, "in_loop")
    .compile()
)
