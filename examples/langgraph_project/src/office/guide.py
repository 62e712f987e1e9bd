"""Tells where one is; made by a function, which is given a config and could open connections."""

import os

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph


async def make_graph(config: RunnableConfig) -> StateGraph[MessagesState]:
    """The graph, for the office that the environment names."""
    office = os.environ.get("OFFICE_NAME", "the office")

    def welcome(state: MessagesState) -> MessagesState:
        return {"messages": [AIMessage(f"Welcome to {office}. Ask the planner for a room.")]}

    graph = StateGraph(MessagesState)
    graph.add_node("welcome", welcome)
    graph.add_edge(START, "welcome")
    return graph
