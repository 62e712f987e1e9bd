"""An agent with LangChain's middleware: long dialogs are summarized, calls are limited, failed ones made again."""

from __future__ import annotations

import itertools

from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.tools import tool

from tests.zoo.tools import look_up, note

_tries = itertools.count(1)


@tool
def call_supplier(name: str) -> str:
    """Call a supplier, whose line is busy every first time."""
    note(f"call_supplier {name}")
    if next(_tries) % 2:
        raise ConnectionError("the line is busy")
    return f"{name} delivers"


agent = create_agent(
    "openai:scripted",
    [look_up, call_supplier],
    middleware=[
        TodoListMiddleware(),
        SummarizationMiddleware("openai:scripted", trigger=("messages", 10), keep=("messages", 6)),
        ToolCallLimitMiddleware(tool_name="look_up", run_limit=1),
        ToolRetryMiddleware(max_retries=1, tools=["call_supplier"], initial_delay=0.01),
        ModelRetryMiddleware(max_retries=1, initial_delay=0.01),
        ModelCallLimitMiddleware(run_limit=10),
    ],
)
