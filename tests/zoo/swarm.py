"""A swarm: two agents that hand the dialog over to each other; who has it stays in the state (langgraph-swarm)."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langgraph_swarm import create_handoff_tool, create_swarm

from tests.zoo.tools import look_up, multiply, wait_for


def swarm(model: str):
    chat = init_chat_model(model)
    alice = create_agent(
        chat,
        [multiply, create_handoff_tool(agent_name="bob")],
        name="alice",
        system_prompt="You are alice, the accountant.",
    )
    bob = create_agent(
        chat,
        [look_up, wait_for, create_handoff_tool(agent_name="alice")],
        name="bob",
        system_prompt="You are bob, the buyer.",
    )
    return create_swarm([alice, bob], default_active_agent="alice")


graph = swarm("openai:scripted")
graph_anthropic = swarm("anthropic:scripted")
