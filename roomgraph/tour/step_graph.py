"""A graph of three steps that says in a file which step of which run was executed when, for the history checker.

It is served by the nodes of the chaos. A file outlives a node that is killed, and is there while Redis is not.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from roomgraph.check.history import Execution
from sio_server.dialog.threads import RUN

FILE = "ROOMGRAPH_STEPS_FILE"  # the environment variable that names the file
STEP_S = 0.15
MESSAGES_KEPT = 2


def keep_last(left: Any, right: Any) -> list[AnyMessage]:
    """Merge as `add_messages` does, and keep one exchange."""
    return cast(list[AnyMessage], add_messages(left, right))[-MESSAGES_KEPT:]


class State(TypedDict, total=False):
    """The messages, and how many steps the thread has seen."""

    messages: Annotated[list[AnyMessage], keep_last]
    steps: int


def note(event: str, step: str, config: RunnableConfig) -> None:
    """Append one line, in one call: whatever happens then, the line is there or not."""
    attempt = int(config["configurable"]["fencing_token"].partition(".")[0])
    line = json.dumps([event, config["metadata"][RUN], step, attempt, time.monotonic()]) + "\n"
    file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


async def execute(step: str, state: State, config: RunnableConfig) -> int:
    """Execute a step; returns how many there have been."""
    note("began", step, config)
    await asyncio.sleep(STEP_S)
    note("ended", step, config)
    return state.get("steps", 0) + 1


async def first(state: State, config: RunnableConfig) -> State:
    return {"steps": await execute("first", state, config)}


async def second(state: State, config: RunnableConfig) -> State:
    return {"steps": await execute("second", state, config)}


async def third(state: State, config: RunnableConfig) -> State:
    steps = await execute("third", state, config)
    return {"steps": steps, "messages": [AIMessage(content=f"{steps} steps")]}


steps = StateGraph(State)
steps.add_node("first", first)
steps.add_node("second", second)
steps.add_node("third", third)
steps.add_edge(START, "first")
steps.add_edge("first", "second")
steps.add_edge("second", "third")
steps.add_edge("third", END)


def read_executions(path: Path) -> Iterator[Execution]:
    """The executions that the file tells of; the attempts are numbers of fencing tokens."""
    began: dict[tuple[str, str, int], float] = {}
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            event, run_id, step, attempt, at = json.loads(line)
            place = (run_id, step, attempt)
            if event == "began":
                if place in began:  # this attempt had executed it before
                    yield Execution(*place, began[place])
                began[place] = at
            else:
                yield Execution(*place, began.pop(place), at)
    yield from (Execution(*place, at) for place, at in began.items())
