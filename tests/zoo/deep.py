"""A deep agent: it plans, has files in its state, and gives work to a subagent (package deepagents)."""

from __future__ import annotations

from deepagents import create_deep_agent
from langchain.chat_models import init_chat_model

from tests.zoo.tools import look_up, multiply, wait_for


def deep(model: str):
    chat = init_chat_model(model)
    researcher = {
        "name": "researcher",
        "description": "Looks things up.",
        "system_prompt": "You are the researcher.",
        "tools": [look_up, wait_for],
    }
    return create_deep_agent(
        chat,
        [multiply],
        system_prompt="You are the chief.",
        subagents=[researcher],
        interrupt_on={"multiply": True},
    )


agent = deep("openai:scripted")
agent_anthropic = deep("anthropic:scripted")
