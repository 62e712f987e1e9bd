"""A supervisor that gives work to two agents, one after the other (package langgraph-supervisor)."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langgraph_supervisor import create_supervisor

from tests.zoo.tools import look_up, multiply, wait_for


def team(model: str):
    chat = init_chat_model(model)
    buyer = create_agent(chat, [look_up, wait_for], name="buyer", system_prompt="You are the buyer.")
    accountant = create_agent(chat, [multiply], name="accountant", system_prompt="You are the accountant.")
    return create_supervisor([buyer, accountant], model=chat, prompt="You are the supervisor.")


graph = team("openai:scripted")
graph_anthropic = team("anthropic:scripted")
