"""An agent with the tools of an MCP server, which runs as a process beside it (langchain-mcp-adapters)."""

from __future__ import annotations

import os
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient

_tools: list[BaseTool] = []


async def tools() -> list[BaseTool]:
    """The server's tools, which are asked for once."""
    if _tools:
        return _tools
    client = MultiServerMCPClient(
        {
            "tea": {
                "transport": "stdio",
                "command": sys.executable,
                "args": ["-m", "tests.zoo.mcp_server"],
                "env": dict(os.environ),
            }
        }
    )
    _tools.extend(await client.get_tools())
    return _tools


async def agent() -> Any:
    return create_agent("openai:scripted", await tools())


async def agent_anthropic() -> Any:
    return create_agent("anthropic:scripted", await tools())
