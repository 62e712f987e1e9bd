"""Tools that several of the agents have. Each execution is noted, so that a test can count them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from langchain_core.tools import tool


def note(what: str) -> None:
    """Add a line to the file of `ZOO_NOTES`, if there is one."""
    if path := os.environ.get("ZOO_NOTES"):
        with Path(path).open("a", encoding="utf-8") as notes:
            notes.write(f"{what}\n")


@tool
def look_up(what: str) -> str:
    """Look something up in the price list."""
    note(f"look_up {what}")
    return {"tea": "3", "coffee": "4"}.get(what, "not on the list")


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    note(f"multiply {a} {b}")
    return a * b


@tool
async def wait_for(path: str) -> str:
    """Wait until a file exists."""
    note(f"wait_for {path}")
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)
    return "it is there"
