"""Checkpoints in a Redis without modules; in cluster mode, so that a script with keys in two slots is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from operator import add
from typing import Annotated, Any, TypedDict
from uuid import UUID

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, StateSnapshot, interrupt
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from sio_server.dialog.savers.errors import StaleOwner
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from sio_server.store.keys import CheckpointKeys, ConversationKeys
from tests.conftest import free_ports
from tests.waiting import poll

THREAD = "c1@e1#7"
CONVERSATION = "c1"


@pytest.fixture(scope="session")
async def plain_port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """The port of the bundled Redis, started without its modules, as a cluster of one node."""
    port = free_ports(2)
    command = find_embedded_redis().command(port, tmp_path_factory.mktemp("plain-redis"))
    command = [*command[: command.index("--loadmodule")], "--cluster-enabled", "yes"]
    command += ["--cluster-port", str(port + 1)]
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **REDIS_ENVIRONMENT}, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with Redis(port=port) as client:
            await poll(partial(is_ready, client), "the cluster of one Redis")
        yield port
    finally:
        process.terminate()
        await process.wait()


async def is_ready(client: Redis) -> bool:
    """Whether the server answers; once it does, it is given all slots of the cluster."""
    try:
        info = await client.execute_command("CLUSTER", "INFO")
        if b"cluster_slots_assigned:0" in info:
            await client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        return b"cluster_state:ok" in info
    except (RedisError, OSError):
        return False


@pytest.fixture
async def store(plain_port: int) -> AsyncIterator[Redis]:
    """A client of an empty Redis without modules."""
    async with Redis(port=plain_port) as client:
        await client.flushall()
        yield client


@pytest.fixture
def saver(store: Redis) -> PlainRedisSaver:
    return PlainRedisSaver(store)


def at(checkpoint_id: str | None = None, namespace: str = "", thread_id: str = THREAD, **more: Any) -> Any:
    """The config that names a checkpoint."""
    place = {"thread_id": thread_id, "checkpoint_ns": namespace, **more}
    return {"configurable": place if checkpoint_id is None else {**place, "checkpoint_id": checkpoint_id}}


def checkpoint(checkpoint_id: str, **values: Any) -> Any:
    versions = {name: f"{checkpoint_id}.{name}" for name in values}
    of_it = {"id": checkpoint_id, "ts": "2026-01-01", "channel_values": values, "channel_versions": versions}
    return {**empty_checkpoint(), **of_it}


async def put(saver: PlainRedisSaver, checkpoint_id: str, config: Any = None, **values: Any) -> Any:
    """Write a checkpoint with these values, all of them new."""
    written = checkpoint(checkpoint_id, **values)
    metadata: Any = {"source": "loop", "step": 1, "parents": {}}
    return await saver.aput(config or at(), written, metadata, written["channel_versions"])


async def everything(store: Redis) -> dict[bytes, Any]:
    """All that is stored."""
    read: dict[Any, Any] = {
        b"hash": store.hgetall,
        b"list": lambda key: store.lrange(key, 0, -1),
        b"zset": lambda key: store.zrange(key, 0, -1, withscores=True),
        b"set": store.smembers,
    }
    keys: Any = await store.keys("*")
    return {key: await read[await store.type(key)](key) for key in keys}


async def scripts_run(store: Redis) -> int:
    """How many scripts the server has run so far."""
    calls: int = (await store.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    return calls


async def ids(saver: PlainRedisSaver, config: Any, **how: Any) -> list[str]:
    return [item.checkpoint["id"] async for item in saver.alist(config, **how)]


# What every checkpointer promises


@pytest.mark.parametrize("capability", list(Capability))
async def test_the_plain_saver_passes_the_conformance_suite_of_langgraph(plain_port, store, capability):
    @checkpointer_test(name="PlainRedisSaver")
    async def factory():
        async with Redis(port=plain_port) as client:
            yield PlainRedisSaver(client)

    report = await validate(factory, capabilities={capability.value})
    result = report.results[capability.value]
    assert (result.detected, result.passed, result.failures) == (True, True, [])
    assert result.tests_passed > 0


async def test_no_module_is_loaded_and_no_command_of_one_is_known(store):
    modules = await store.execute_command("MODULE", "LIST")
    # Newer servers list here what is built in, without a path.
    assert [module for module in modules if module[b"path"]] == []
    for command in ("JSON.SET", "FT.SEARCH"):
        with pytest.raises(RedisError, match="unknown command"):
            await store.execute_command(command)


async def test_a_client_that_decodes_replies_is_refused_at_once(plain_port):
    async with Redis(port=plain_port, decode_responses=True) as client:
        with pytest.raises(ValueError, match="decode_responses"):
            PlainRedisSaver(client)


async def test_errors_of_redis_pass_through_the_saver():
    async with Redis(port=1, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(RedisConnectionError):
            await PlainRedisSaver(client).aget_tuple(at())


# Keys and round trips


@pytest.mark.parametrize("thread_id", ["c1", "c1@e1", "c1@e1#7", "a:b.c-d@e1#12", "c1:checkpoints@e1"])
def test_the_keys_of_a_thread_share_the_slot_of_its_conversation(thread_id):
    lease = ConversationKeys(thread_id.partition("@")[0]).lease
    assert CheckpointKeys(thread_id).lease == lease
    assert {key_slot(key.encode()) for key in CheckpointKeys(thread_id).all} == {key_slot(lease.encode())}


async def test_each_read_and_write_of_the_plain_saver_is_one_script(saver, store):
    async def once() -> list[int]:
        counts = [await scripts_run(store)]
        await put(saver, "1", a=1, b=2)
        counts.append(await scripts_run(store))
        await saver.aput_writes(at("1"), [("a", 1), ("b", 2)], "task")
        counts.append(await scripts_run(store))
        await saver.aget_tuple(at())
        return [*counts, await scripts_run(store)]

    await once()  # the scripts are loaded
    first, *others = await once()
    assert others == [first + 1, first + 2, first + 3]


async def test_a_value_that_did_not_change_is_sent_and_stored_once(saver, store):
    async def received() -> int:
        count: int = (await store.info("stats"))["total_net_input_bytes"]
        return count

    big = "x" * 100_000
    first = checkpoint("1", big=big, n=1)
    await saver.aput(at(), first, {}, first["channel_versions"])
    held = await store.memory_usage(CheckpointKeys(THREAD).values, samples=0)
    sent = await received()
    for number in range(2, 10):
        later = checkpoint(str(number), big=big, n=number)
        later["channel_versions"]["big"] = first["channel_versions"]["big"]
        await saver.aput(at(str(number - 1)), later, {}, {"n": later["channel_versions"]["n"]})
    assert (await saver.aget_tuple(at())).checkpoint["channel_values"] == {"big": big, "n": 9}
    assert await store.memory_usage(CheckpointKeys(THREAD).values, samples=0) < held + 2_000
    assert await received() < sent + 20_000


async def test_a_checkpoint_is_complete_though_its_parent_was_deleted(saver):
    first = checkpoint("1", kept="as it was", n=1)
    await saver.aput(at(), first, {}, first["channel_versions"])
    await saver.adelete_thread(THREAD)
    later = checkpoint("2", kept="as it was", n=2)
    await saver.aput(at("1"), later, {}, {"n": later["channel_versions"]["n"]})
    assert (await saver.aget_tuple(at())).checkpoint["channel_values"] == {"kept": "as it was", "n": 2}


# The order of writing


async def test_the_latest_checkpoint_is_the_one_written_last_and_not_the_greatest_id(saver):
    now = uuid6()
    an_hour_ago = str(UUID(int=now.int - (3600 * 10**7 << 68)))  # the time stands in the upper bits
    await put(saver, str(now), n=1)
    await put(saver, an_hour_ago, at(str(now)), n=2)
    latest = await saver.aget_tuple(at())
    assert latest.checkpoint["id"] == an_hour_ago < str(now)
    assert latest.parent_config == at(str(now))
    # A list goes by the ids, and pruning by the order of writing.
    assert await ids(saver, at()) == [str(now), an_hour_ago]
    await saver.aprune([THREAD])
    assert await ids(saver, at()) == [an_hour_ago]


async def test_each_namespace_has_its_own_latest_checkpoint(saver):
    await put(saver, "1")
    await put(saver, "9", at(namespace="child:x"))
    await put(saver, "2", at("1"))
    assert (await saver.aget_tuple(at())).checkpoint["id"] == "2"
    assert (await saver.aget_tuple(at(namespace="child:x"))).checkpoint["id"] == "9"
    assert await ids(saver, {"configurable": {"thread_id": THREAD}}) == ["9", "2", "1"]


async def test_the_plain_saver_lists_all_threads_without_a_config(saver):
    for number, thread_id in enumerate(("a@1", "b@1", "c@1")):
        await put(saver, str(number), at(thread_id=thread_id))
    assert await ids(saver, None) == ["2", "1", "0"]
    assert await ids(saver, None, limit=2, before=at("2")) == ["1", "0"]
    await saver.adelete_thread("b@1")
    assert await ids(saver, None) == ["2", "0"]


# Repetition


async def test_a_repeated_write_changes_nothing(saver, store):
    async def write() -> None:
        await put(saver, "1", at(run_id="r"), a=b"1", b=None)
        await saver.aput_writes(at("1"), [("a", 1), (INTERRUPT, "?"), ("b", 2)], "task", "path")

    await write()
    before = await everything(store)
    await write()
    assert await everything(store) == before


async def test_a_repetition_that_comes_late_does_not_bring_an_older_checkpoint_back(saver, store):
    await put(saver, "1", n=1)
    await put(saver, "2", at("1"), n=2)
    before = await everything(store)
    await put(saver, "1", n=1)
    assert await everything(store) == before


async def test_a_write_whose_reply_is_lost_is_repeated_by_the_client_and_done_once(plain_port, saver, store):
    replies = 0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lossy: bool) -> None:
        nonlocal replies
        while data := await reader.read(1 << 16):
            replies += lossy
            if lossy and replies % 2 == 1:  # every other reply is lost, and its connection with it
                break
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", plain_port)
        await asyncio.gather(forward(reader, back, False), forward(there, writer, True), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        retry = Retry(NoBackoff(), 5, supported_errors=(RedisConnectionError,))
        async with Redis(port=port, retry=retry, protocol=2, driver_info=None) as client:
            before = await scripts_run(store)
            for number in range(1, 6):
                await put(PlainRedisSaver(client), str(number), at(str(number - 1)), n=number)
                await PlainRedisSaver(client).aput_writes(at(str(number)), [("n", number)], "task")
    assert await scripts_run(store) - before == 20, "each of the ten writes was run twice"
    assert await ids(saver, at()) == ["5", "4", "3", "2", "1"]
    latest = await saver.aget_tuple(at())
    assert (latest.checkpoint["id"], latest.pending_writes) == ("5", [("task", "n", 5)])


async def test_the_first_writes_of_a_task_stay_but_its_interrupt_is_replaced(saver):
    await put(saver, "1")
    await saver.aput_writes(at("1"), [("a", "first"), (INTERRUPT, "first")], "t")
    await saver.aput_writes(at("1"), [("a", "second"), (INTERRUPT, "second"), ("b", "new")], "t")
    pending = (await saver.aget_tuple(at())).pending_writes
    assert pending == [("t", INTERRUPT, "second"), ("t", "a", "first"), ("t", "b", "new")]


async def test_pending_writes_come_in_the_order_in_which_they_apply(saver):
    await put(saver, "1")
    for path, task_id in (("~2", "a"), ("~10", "c"), ("~1", "b")):
        await saver.aput_writes(at("1"), [(f"n{number}", number) for number in range(12)], task_id, path)
    pending = (await saver.aget_tuple(at())).pending_writes
    assert [(task_id, value) for task_id, _, value in pending] == [(t, n) for t in "bca" for n in range(12)]


# Fencing


@pytest.mark.parametrize("lease", ["8", None])
async def test_a_stale_fencing_token_changes_nothing(saver, store, lease):
    await store.hset(ConversationKeys(CONVERSATION).lease, "token", "7")
    await put(saver, "1", at(fencing_token="7"), n=1)
    await saver.aput_writes(at("1", fencing_token="7"), [("n", 2)], "task")
    if lease is None:  # it has expired
        await store.delete(ConversationKeys(CONVERSATION).lease)
    else:
        await store.hset(ConversationKeys(CONVERSATION).lease, "token", lease)
    before = await everything(store)
    for token in ("7", ""):
        with pytest.raises(StaleOwner):
            await put(saver, "2", at("1", fencing_token=token), n=3, m=4)
        with pytest.raises(StaleOwner):
            await saver.aput_writes(at("1", fencing_token=token), [("n", 3), (INTERRUPT, "?")], "other task")
    assert await everything(store) == before


async def test_a_fencing_token_stays_in_the_returned_config_and_is_never_stored(saver, store):
    await store.hset(ConversationKeys(CONVERSATION).lease, "token", "token-of-the-lease")
    config = await put(saver, "1", at(fencing_token="token-of-the-lease", user="ann"))
    assert config == at("1", fencing_token="token-of-the-lease")
    assert (await saver.aget_tuple(at())).metadata == {"source": "loop", "step": 1, "parents": {}, "user": "ann"}
    await store.delete(ConversationKeys(CONVERSATION).lease)
    stored = str(await everything(store))
    assert "ann" in stored
    assert "token" not in stored


# Graphs


class State(TypedDict, total=False):
    said: Annotated[list[str], add]
    item: int


class Workshop:
    """A graph with a fan-out, a subgraph that asks, and a count of what has run."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken = False
        inner = StateGraph(State)
        inner.add_node("prepare", self._node("prepare"))
        inner.add_node("ask", self._ask)
        inner.add_edge(START, "prepare")
        inner.add_edge("prepare", "ask")
        self.builder = StateGraph(State)
        self.builder.add_node("work", self._work)
        self.builder.add_node("inner", inner.compile())
        self.builder.add_node("last", self._node("last"))
        self.builder.add_conditional_edges(
            START, lambda _: [Send("work", {"item": n}) for n in range(3)], ["work"]
        )
        self.builder.add_edge("work", "inner")
        self.builder.add_edge("inner", "last")

    def _node(self, name: str) -> Any:
        async def node(state: State) -> State:
            await asyncio.sleep(0)
            self.ran.append(name)
            return {"said": [name]}

        return node

    async def _work(self, state: State) -> State:
        await asyncio.sleep(0.01 * state["item"])
        self.ran.append(f"work {state['item']}")
        if self.broken and state["item"] == 2:
            raise ArithmeticError("broken")
        return {"said": [f"work {state['item']}"]}

    def _ask(self, state: State) -> State:
        answer = interrupt("really?")
        self.ran.append("ask")
        return {"said": [f"ask: {answer}"]}


async def test_any_node_continues_from_the_checkpoints_of_another(plain_port, saver):
    workshop = Workshop()
    async with Redis(port=plain_port) as other_client:
        here = workshop.builder.compile(checkpointer=saver)
        there = workshop.builder.compile(checkpointer=PlainRedisSaver(other_client))

        workshop.broken = True
        with pytest.raises(ArithmeticError):
            await here.ainvoke({"said": ["in"]}, at(), durability="sync")
        workshop.broken = False
        halted = await there.ainvoke(None, at(), durability="sync")
        assert halted["__interrupt__"][0].value == "really?"
        # Of the fan-out only what had failed ran again.
        assert workshop.ran == ["work 0", "work 1", "work 2", "work 2", "prepare"]

        state = await here.aget_state(at(), subgraphs=True)
        assert state.next == ("inner",)
        inner = state.tasks[0].state
        assert isinstance(inner, StateSnapshot)
        assert inner.values["said"][-1] == "prepare"

        done = await here.ainvoke(Command(resume="yes"), at(), durability="sync")
        assert workshop.ran[5:] == ["ask", "last"]
        assert (done["said"][:4], done["said"][-2:]) == (
            ["in", "work 0", "work 1", "work 2"],
            ["ask: yes", "last"],
        )
        history = [(item.metadata or {})["step"] async for item in there.aget_state_history(at())]
        assert history == [3, 2, 1, 0, -1]


async def test_two_forks_of_a_thread_keep_their_own_values(saver):
    graph = StateGraph(State).add_node("last", lambda _: {}).add_edge(START, "last").compile(checkpointer=saver)
    await graph.ainvoke({"item": 0}, at(), durability="sync")
    start = (await graph.aget_state(at())).config
    forks = [await graph.aupdate_state(start, {"item": number}, as_node="last") for number in (1, 2)]
    assert [(await graph.aget_state(place)).values["item"] for place in (start, *forks)] == [0, 1, 2]


async def test_a_graph_whose_lease_was_taken_stops_at_its_next_write_also_in_a_subgraph(saver, store):
    lease = ConversationKeys(CONVERSATION).lease
    stored: dict[bytes, Any] = {}

    async def lose_the_lease(state: State) -> State:
        await store.hset(lease, "token", "8")
        stored.update(await everything(store))
        return {"said": ["after the loss"]}

    inner = StateGraph(State).add_node("lose", lose_the_lease).add_edge(START, "lose").compile()
    builder = StateGraph(State).add_node("inner", inner).add_edge(START, "inner")
    graph = builder.compile(checkpointer=saver)
    await store.hset(lease, "token", "7")
    with pytest.raises(StaleOwner):
        await graph.ainvoke({"said": ["in"]}, at(fencing_token="7"), durability="sync")
    assert await everything(store) == stored
    with pytest.raises(StaleOwner):
        await graph.aupdate_state(at(fencing_token="7"), {"said": ["update"]}, as_node="inner")
    assert await everything(store) == stored


# Deletion


async def test_a_deleted_thread_leaves_no_key(saver, store):
    workshop = Workshop()
    graph = workshop.builder.compile(checkpointer=saver)
    for thread_id in (THREAD, "c1@e1#8"):
        await graph.ainvoke({"said": ["in"]}, at(thread_id=thread_id), durability="sync")
    await saver.aput_writes(at("never written"), [("said", "x")], "task")
    await saver.acopy_thread(THREAD, "another@e1")
    assert len(await store.keys("*")) == 14
    await saver.adelete_thread(THREAD)
    await saver.aprune(["c1@e1#8"], strategy="delete")
    await saver.adelete_thread("another@e1")
    assert await store.keys("*") == []


async def test_a_copied_thread_continues_like_its_source_and_independently_of_it(saver):
    workshop = Workshop()
    graph = workshop.builder.compile(checkpointer=saver)
    await graph.ainvoke({"said": ["in"]}, at(), durability="sync")
    copied = "c1@e1#8"
    await put(saver, "of the target", at(thread_id=copied))
    await saver.acopy_thread(THREAD, copied)
    await saver.acopy_thread("nothing", copied)
    assert await ids(saver, at(thread_id=copied)) == await ids(saver, at())
    done = await graph.ainvoke(Command(resume="yes"), at(thread_id=copied), durability="sync")
    assert done["said"][-1] == "last"
    assert (await graph.aget_state(at())).next == ("inner",)


async def test_deleting_the_latest_of_a_run_makes_the_one_before_the_latest(saver, store):
    await put(saver, "9", at(run_id="kept"), n=1)
    await put(saver, "5", at("9", run_id="gone"), n=2)
    await saver.adelete_for_runs(["gone"])
    latest = await saver.aget_tuple(at())
    assert (latest.checkpoint["id"], latest.checkpoint["channel_values"]) == ("9", {"n": 1})
    await saver.adelete_for_runs(["kept"])
    assert await store.keys("*") == []


async def test_a_pruned_thread_does_not_grow_with_its_turns_although_each_adds_a_subgraph(saver, store):
    workshop = Workshop()
    graph = workshop.builder.compile(checkpointer=saver)
    sizes: list[list[int]] = []
    for _ in range(4):
        await graph.ainvoke({"said": ["in"]}, at(), durability="sync")
        await graph.ainvoke(Command(resume="yes"), at(), durability="sync")
        await graph.aupdate_state(at(), {"said": []}, as_node="last")
        await saver.aprune([THREAD], keep_last=3)
        checkpoints, order, values, writes, *_ = CheckpointKeys(THREAD).all
        counts = store.hlen(checkpoints), store.llen(order), store.hlen(values), store.zcard(writes)
        sizes.append(list(await asyncio.gather(*counts)))
    assert sizes == [sizes[0]] * 4
    assert len(await ids(saver, at())) == sizes[0][1] == 3


async def test_an_interrupted_subgraph_outlives_pruning(saver):
    workshop = Workshop()
    graph = workshop.builder.compile(checkpointer=saver)
    await graph.ainvoke({"said": ["in"]}, at(), durability="sync")
    await saver.aprune([THREAD])
    done = await graph.ainvoke(Command(resume="yes"), at(), durability="sync")
    assert (done["said"][-1], workshop.ran.count("prepare")) == ("last", 1)


def join(before: list[str], writes: Any) -> list[str]:
    return [*(before or []), *(item for write in writes for item in write)]


class Deltas(TypedDict, total=False):
    said: Annotated[list[str], DeltaChannel(join, list, snapshot_frequency=5)]


async def test_pruning_keeps_the_checkpoints_that_delta_channels_are_built_from(saver):
    async def conversation(checkpointer: Any) -> list[str]:
        builder = StateGraph(Deltas).add_node("echo", lambda state: {"said": state["said"][-1:]})
        graph = builder.add_edge(START, "echo").compile(checkpointer=checkpointer)
        for turn in range(8):
            await graph.ainvoke({"said": [str(turn)]}, at(), durability="sync")
            if isinstance(checkpointer, PlainRedisSaver):
                await checkpointer.aprune([THREAD])
        said: list[str] = (await graph.aget_state(at())).values["said"]
        return said

    assert await conversation(saver) == await conversation(InMemorySaver())
    assert len(await ids(saver, at())) <= 15
