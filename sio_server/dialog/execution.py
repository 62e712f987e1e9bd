"""One execution of a graph for one message: text as it comes, and the answer at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from sio_server.dialog.runs import TakenRun

Graph = CompiledStateGraph[Any, Any, Any, Any]


class NoAnswer(Exception):
    """The graph ended without a message from the assistant."""


def thread_id(run: TakenRun) -> str:
    """A conversation's thread; a log that begins anew begins a new thread."""
    return f"{run.conversation_id}@{run.epoch}"


async def execute(graph: Graph, run: TakenRun, say: Callable[[str], None]) -> str:
    """Run the graph for the run's message; call `say` with each piece of text; return the answer.

    A later attempt goes on from the last checkpoint of the one before: finished graph nodes do not run
    again. The message carries an id made of its place in the log, so that it enters the state only once.
    """
    if run.input is None:
        raise NoAnswer("the message is older than the log's retention")
    data = run.input["data"]
    message_id = f"{run.conversation_id}:{run.input_seq}"
    # Plain strings only: the checkpointer revives dictionaries that are shaped like constructors.
    message = HumanMessage(content=str(data["text"]), name=str(data["user_id"]), id=message_id)
    config: RunnableConfig = {"configurable": {"thread_id": thread_id(run)}}
    given: dict[str, Any] | None = {"messages": [message]}
    if run.attempt > 1:
        state = await graph.aget_state(config)
        known: list[BaseMessage] = state.values.get("messages", [])
        if any(item.id == message_id for item in known):
            if isinstance(known[-1], AIMessage) and not state.next:
                return known[-1].text
            if state.next:
                given = None
    answer = ""
    async for mode, part in graph.astream(given, config, stream_mode=["messages", "values"], durability="sync"):
        if mode == "messages":
            chunk = part[0]
            if isinstance(chunk, AIMessageChunk):
                say(chunk.text)
        elif isinstance(part, dict) and part.get("messages"):
            last = part["messages"][-1]
            answer = last.text if isinstance(last, AIMessage) else ""
    if not answer:
        raise NoAnswer("the graph ended without an answer")
    return answer
