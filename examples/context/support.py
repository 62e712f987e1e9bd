"""A graph that each conversation sets up by its context, and that knows who speaks."""

from dataclasses import dataclass
from typing import Literal

from langchain_core.messages import AIMessage
from langgraph.config import get_config
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime


@dataclass(kw_only=True)
class Context:
    product: str
    tone: Literal["friendly", "short"] = "friendly"


def reply(state: MessagesState, runtime: Runtime[Context]) -> MessagesState:
    user = get_config()["configurable"]["langgraph_auth_user"]
    hello = f"Hello {user['display_name']}! " if runtime.context.tone == "friendly" else ""
    return {"messages": [AIMessage(f"{hello}What is wrong with your {runtime.context.product}?")]}


builder = StateGraph(MessagesState, context_schema=Context)
builder.add_node("reply", reply)
builder.add_edge(START, "reply")
graph = builder.compile()
