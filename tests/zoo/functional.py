"""LangGraph's functional API: an entrypoint with tasks, and what the last turn saved."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.func import entrypoint, task
from langgraph.types import interrupt


@task
async def shout(text: str) -> str:
    return text.upper()


@entrypoint()
async def flow(messages: list[AnyMessage], *, previous: Any = None) -> Any:
    text = messages[-1].text
    loud = await shout(text)
    if text.startswith("ask"):
        loud = f"{loud}, {interrupt('Really?')}"
    turns = (previous or 0) + 1
    return entrypoint.final(value={"messages": [AIMessage(f"{loud} ({turns})")]}, save=turns)
