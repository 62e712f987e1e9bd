"""The copy with which an attempt begins: what it costs does not grow with the run, nor with the dialog."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from redis.asyncio import Redis

from sio_server.dialog.savers.store import CheckpointStore
from sio_server.dialog.threads import read_tip
from sio_server.local.cluster import LocalCluster


class Counting(TypedDict):
    steps: int
    text: str


def looping(steps: int) -> Any:
    """A graph of so many steps, whose state is of 1 kB."""
    builder = StateGraph(Counting)
    builder.add_node("step", lambda state: {"steps": state["steps"] + 1})
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["steps"] < steps else END)
    return builder


@pytest.fixture(params=["redis", "plain"])
async def store(cluster: LocalCluster, request: pytest.FixtureRequest) -> AsyncIterator[CheckpointStore]:
    made = CheckpointStore(cluster.redis_url, request.param)
    await made.set_up()
    yield made
    await made.close()


async def sent_by(redis: Redis) -> int:
    return int((await redis.info("stats"))["total_net_output_bytes"])


async def bytes_to_read_tip(store: CheckpointStore, redis: Redis, thread_id: str) -> int:
    before = await sent_by(redis)
    latest = await read_tip(store.saver, thread_id, subgraphs=True)
    assert latest[-1].checkpoint["channel_values"]["text"] == "x" * 1000
    return await sent_by(redis) - before


async def test_reading_the_latest_checkpoint_moves_as_many_bytes_after_many_steps_as_after_few(
    store, redis, request
):
    costs = []
    for steps in (5, 150):
        thread = f"{request.node.name}-{steps}"
        config = {"configurable": {"thread_id": thread}, "recursion_limit": 200}
        await looping(steps).compile(checkpointer=store.saver).ainvoke({"steps": 0, "text": "x" * 1000}, config)
        costs.append(min([await bytes_to_read_tip(store, redis, thread) for _ in range(3)]))
        await store.delete_threads([thread])
    # The plain saver reads of each checkpoint of the thread where it belongs, but no values.
    assert costs[1] < costs[0] + 145 * 400


async def test_a_run_continues_from_the_subgraph_that_waits_and_not_from_those_of_earlier_steps(store, request):
    inner = StateGraph(MessagesState)
    inner.add_node("asks", lambda state: {"messages": [AIMessage(str(interrupt("well?")))]})
    inner.add_edge(START, "asks")
    builder = StateGraph(MessagesState)
    builder.add_node("first", inner.compile())
    builder.add_node("second", inner.compile())
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    graph = builder.compile(checkpointer=store.saver)
    config: Any = {"configurable": {"thread_id": request.node.name}}

    async def inner_namespaces() -> list[str]:
        latest = await read_tip(store.saver, request.node.name, subgraphs=True)
        names = [item.config["configurable"]["checkpoint_ns"] for item in latest]
        assert names[-1] == ""
        return [name.partition(":")[0] for name in names[:-1]]

    await graph.ainvoke({"messages": []}, config)
    assert await inner_namespaces() == ["first"]
    await graph.ainvoke(Command(resume="yes"), config)
    assert await inner_namespaces() == ["second"]
    await graph.ainvoke(Command(resume="yes"), config)
    assert await inner_namespaces() == []
    await store.delete_threads([request.node.name])


async def test_a_step_that_writes_more_at_once_than_there_are_connections_waits_for_them(store, request):
    builder = StateGraph(MessagesState)
    for number in range(150):
        builder.add_node(f"n{number}", lambda state: {"messages": [AIMessage("done")]})
        builder.add_edge(START, f"n{number}")
    graph = builder.compile(checkpointer=store.saver)
    config: Any = {"configurable": {"thread_id": request.node.name}}
    state = await graph.ainvoke({"messages": []}, config, durability="sync")
    assert len(state["messages"]) == 150
    await store.delete_threads([request.node.name])
