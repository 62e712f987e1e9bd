"""A graph of one's own. In this folder: ../../.venv/bin/roomgraph up --graph my_graph:graph"""

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph


def answer(state: MessagesState) -> MessagesState:
    """Say how often one has been spoken to, to show that the state lasts from turn to turn."""
    said = [message.text for message in state["messages"] if message.type == "human"]
    return {"messages": [AIMessage(f"That was message {len(said)}: {said[-1]}")]}


graph = StateGraph(MessagesState)
graph.add_node(answer)
graph.add_edge(START, "answer")
