"""An agent with the tools of an MCP server, which runs as a process beside it (langchain-mcp-adapters)."""

from __future__ import annotations

import os
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient


async def tools() -> list[BaseTool]:
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
    return await client.get_tools()


async def agent() -> Any:
    return create_agent("openai:scripted", await tools())


async def agent_anthropic() -> Any:
    return create_agent("anthropic:scripted", await tools())
