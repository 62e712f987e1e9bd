"""LangChain's agent with tools: `create_agent`, on the models of two providers."""

from __future__ import annotations

from langchain.agents import create_agent

from tests.zoo.tools import look_up, multiply, wait_for

PROMPT = "You are the clerk of a tea shop."
TOOLS = [look_up, multiply, wait_for]

agent = create_agent("openai:scripted", TOOLS, system_prompt=PROMPT)
agent_anthropic = create_agent("anthropic:scripted", TOOLS, system_prompt=PROMPT)
