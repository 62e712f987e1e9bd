"""On a Redis Cluster each command reaches the primary of its key, also while slots move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.protocol.events import ConversationCreate
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect
from sio_server.store.keys import ConversationKeys
from sio_server.store.pipelined import LoadedScript
from sio_server.store.routed import RoutedPipelined
from sio_server.store.scripts import Scripts
from sio_server.store.slots import SLOTS, slot_of
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import poll

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
