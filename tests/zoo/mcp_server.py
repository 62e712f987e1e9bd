"""A server of the Model Context Protocol on its standard input and output, with a tool."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mcp.server.fastmcp import FastMCP

from tests.zoo.tools import note

server = FastMCP("tea", log_level="WARNING")


@server.tool()
def brew(tea: str, minutes: int) -> str:
    """Brew tea."""
    note(f"brew {tea} {minutes}")
    return f"{tea}, brewed for {minutes} minutes"


@server.tool()
async def brew_until(path: str) -> str:
    """Brew tea until a file exists."""
    note(f"brew_until {path}")
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)
    return "very strong tea"


@server.tool()
def spill() -> str:
    """Spill tea."""
    raise ValueError("the cup is empty")


if __name__ == "__main__":
    server.run("stdio")
