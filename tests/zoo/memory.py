"""An agent that remembers people across conversations: `context_schema`, `runtime.store`, and langmem's tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langmem import create_manage_memory_tool, create_search_memory_tool


@dataclass
class Context:
    """What a conversation may set."""

    greeting: str = "Hello"
    most: int = 10


async def remember(state: MessagesState, config: RunnableConfig, runtime: Runtime[Context]) -> dict[str, Any]:
    user = config["configurable"]["langgraph_auth_user"]
    assert runtime.store is not None
    namespace = ("notes", user["identity"])
    message = state["messages"][-1]
    await runtime.store.aput(namespace, str(message.id), {"text": message.text})
    notes = await runtime.store.asearch(namespace, limit=runtime.context.most)
    texts = sorted(note.value["text"] for note in notes)
    return {"messages": [AIMessage(f"{runtime.context.greeting}, {user['display_name']}: {', '.join(texts)}")]}


graph = StateGraph(MessagesState, context_schema=Context)
graph.add_node("remember", remember)
graph.add_edge(START, "remember")

agent = create_agent(
    "openai:scripted",
    [
        create_manage_memory_tool(("memories", "{user_id}")),
        create_search_memory_tool(("memories", "{user_id}")),
    ],
)
