"""On a Redis Cluster each command reaches the primary of its key, also while slots move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from sio_server.cluster.nodes import Nodes
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.dialog.savers.errors import WrongSaver
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect, redis_errors
from sio_server.store.keys import ConversationKeys, node_sessions
from sio_server.store.pipelined import LoadedScript
from sio_server.store.routed import RoutedPipelined
from sio_server.store.scripts import Scripts
from sio_server.store.slots import SLOTS, slot_of
from sio_server.users.session_records import LiveSession, SessionRecords
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import poll, within

ANN = Author("ann", "Ann", "d-ann")


class Shards:
    """Three primaries without replicas, and a client that knows one of them."""

    def __init__(self, servers: list[Redis]) -> None:
        self.servers = servers
        self.client: BoundedRedis = connect(f"redis+cluster://127.0.0.1:{port_of(servers[0])}")

    async def owner(self, slot: int) -> Redis:
        routed = self.client.pipelined
        assert isinstance(routed, RoutedPipelined)
        await routed.refresh()
        server = routed._map.primary(slot)
        return next(one for one in self.servers if server is not None and port_of(one) == server.port)

    async def is_whole(self) -> bool:
        infos = [await server.execute_command("CLUSTER", "INFO") for server in self.servers]
        return all("cluster_state:ok" in str(info) and "cluster_known_nodes:3" in str(info) for info in infos)


async def form(servers: list[Redis]) -> Shards:
    for number, server in enumerate(servers):
        first, last = round(number * SLOTS / 3), round((number + 1) * SLOTS / 3) - 1
        await server.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        await server.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        await server.execute_command("CLUSTER", "MEET", "127.0.0.1", port_of(servers[0]))
    made = Shards(servers)
    await poll(made.is_whole, "the cluster")
    return made


@pytest.fixture(scope="module")
async def shards(tmp_path_factory) -> AsyncIterator[Shards]:
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                bare_redis(tmp_path_factory.mktemp("shard"), "--cluster-enabled", "yes")
            )
            for _ in range(3)
        ]
        made = await form(servers)
        yield made
        await made.client.aclose()


async def test_commands_pipelines_and_scripts_reach_the_primaries_of_their_keys(shards):
    client, keys = shards.client, [f"k{number}" for number in range(60)]
    for key in keys:
        await client.set(key, key)
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.get(key)
    assert await pipe.execute() == keys
    assert all([await server.dbsize() > 0 for server in shards.servers]), "all of them have some"
    read = LoadedScript("return {KEYS[1], redis.call('GET', KEYS[1]), ARGV[1]}")
    replies = await client.run_scripts(read, [([key], [number]) for number, key in enumerate(keys)])
    assert replies == [[key, key, str(number)] for number, key in enumerate(keys)]
    together = client.pipeline(transaction=True)
    together.set("{a}1", "x")
    together.get("{a}1")
    assert await together.execute() == [True, "x"]


async def move(shards: Shards, slot: int) -> None:
    """Move a slot to another primary key by key, as `redis-cli --cluster reshard` does."""
    source = await shards.owner(slot)
    target = next(server for server in shards.servers if server is not source)
    source_id, target_id = [await server.execute_command("CLUSTER", "MYID") for server in (source, target)]
    await target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    await source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while names := await source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
        await source.execute_command("MIGRATE", "127.0.0.1", port_of(target), "", 0, 1000, "KEYS", *names)
    for server in (target, source, *shards.servers):
        await server.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)


async def test_messages_are_acked_once_and_in_order_while_their_slot_moves(shards):
    scripts = Scripts(shards.client)
    log = ConversationLog(scripts)
    members = Members(shards.client, scripts, log, retention=0)
    new = ConversationCreate(request_id="create", conversation_id="plans", access="open", agent="off")
    await members.create(ANN, new)
    slot = slot_of(ConversationKeys("plans").log)
    before = await shards.owner(slot)
    acked: list[int] = []
    moved = asyncio.Event()

    async def write() -> None:
        while not moved.is_set() or len(acked) < 50:
            ack, is_new = await log.append_message("plans", ANN, f"m{len(acked)}", "hello", run_id="r")
            assert is_new
            acked.append(int(ack["seq"]))

    writing = asyncio.ensure_future(write())
    await poll(lambda: len(acked) > 10)
    await move(shards, slot)
    moved.set()
    await writing
    assert acked == list(range(2, 2 + len(acked)))
    assert await shards.owner(slot) is not before
    assert (await log.page("plans", "ann", limit=10)).bounds.head == acked[-1]


async def test_a_slot_that_has_moved_is_asked_for_where_it_is(shards):
    await shards.client.set("moving", "1")
    await move(shards, slot_of("moving"))
    assert await shards.client.get("moving") == "1"
    assert await shards.client.incr("moving") == 2


async def test_a_node_beats_and_is_forgotten_though_its_keys_are_in_several_places(shards):
    nodes = Nodes(shards.client, Scripts(shards.client), "n-1", {"name": "n", "host": "h", "port": "1"})
    assert (await nodes.heartbeat()).unknown
    assert await nodes.names() == {"n"}
    await shards.client.hset(node_sessions("n-1"), "s", "ann")
    await nodes.forget("n-1")
    assert await nodes.names() == set()
    assert not await shards.client.exists(node_sessions("n-1"))


async def test_a_session_is_written_under_its_node_and_under_its_user(shards):
    records = SessionRecords(shards.client, Scripts(shards.client))
    session = LiveSession("s-1", "ann", "d", "Phone", "n", "2026-01-01T00:00:00Z", 1)
    before = [("HSET", node_sessions("n-2"), "s-1", "ann")]
    assert (await records.open(session, before=before)).device_name == "Phone"
    assert await shards.client.hgetall(node_sessions("n-2")) == {"s-1": "ann"}
    assert (await records.close({"ann": ["s-1"]}))["ann"].online is False


async def test_the_saver_that_searches_all_keys_is_refused(shards):
    store = CheckpointStore("redis+cluster://127.0.0.1:1", "redis")
    with pytest.raises(WrongSaver, match="Write CHECKPOINTER=plain"):
        await store.set_up(1)
    await store.close()


async def test_a_cluster_that_cannot_be_reached_is_unavailable_in_time():
    client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    async with within(2.5, "a refusal"):
        with pytest.raises(Unavailable, match="cannot be reached"), redis_errors():
            await client.get("k")
    await client.aclose()
