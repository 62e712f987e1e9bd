"""An agent that asks people before it acts: LangChain's HumanInTheLoopMiddleware."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool

from tests.zoo.tools import look_up, note


@tool
def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    note(f"send_mail {to} {text}")
    return f"sent to {to}: {text}"


asks = HumanInTheLoopMiddleware({"send_mail": {"allowed_decisions": ["approve", "edit", "reject"]}})

agent = create_agent("openai:scripted", [send_mail, look_up], middleware=[asks])
agent_anthropic = create_agent("anthropic:scripted", [send_mail, look_up], middleware=[asks])
