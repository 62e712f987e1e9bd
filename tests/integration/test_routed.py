"""On a Redis Cluster each command reaches the primary of its key, also while slots move."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ClusterDownError, MovedError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from typer.testing import CliRunner

from roomgraph.cli.app import app
from sio_server.cluster.nodes import Nodes
from sio_server.cluster.status import read_status
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.marks import Moves
from sio_server.conversation.members import Members
from sio_server.conversation.retention import Kept, Retention
from sio_server.conversation.search import Search
from sio_server.data.archive import Archive
from sio_server.data.archive_store import ArchiveStore
from sio_server.data.export import Exports
from sio_server.data.user_deletion import UserDeletion
from sio_server.dialog.routed_queue import RoutedRunQueue
from sio_server.dialog.run_queue import Bell, RunQueue
from sio_server.dialog.savers.errors import WrongSaver
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.gateway.api.answers import ClusterStatus
from sio_server.gateway.api.hook_lanes import HookLanes
from sio_server.gateway.fanout import sharded, subscriptions
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.shard import Shard
from sio_server.gateway.fanout.sharded import ShardedSubscriptions
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.conversations import ConversationRequests
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ConversationCreate, SessionSync
from sio_server.redis_url import parse_redis_url
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect, redis_errors
from sio_server.store.durable import RoutedDurable
from sio_server.store.emitter import Emitter
from sio_server.store.keys import (
    WORKERS,
    ConversationKeys,
    archive_gone,
    checkpoint_keys,
    conversation_channel,
    conversation_room,
    due,
    hooks,
    node_sessions,
    runs,
    stats,
    swept,
    user_keys,
)
from sio_server.store.partitions import PARTITIONS, partition, tag
from sio_server.store.pipelined import LoadedScript, Pipelined, TooMuchUnread
from sio_server.store.routed import REFRESH_EVERY_S, RoutedPipelined
from sio_server.store.scripts import Scripts
from sio_server.store.slots import SLOTS, Server, SlotMap, SlotRange, slot_of
from sio_server.store.wire import Wire, pack
from sio_server.tasks import end_tasks
from sio_server.trace.recording import Trace
from sio_server.users.session_records import LiveSession, SessionRecords
from sio_server.users.sign_out import RefusedTokens
from tests.integration.test_channels import Follower, Recipient
from tests.integration.test_lost_replies import everything
from tests.integration.test_redis_connection import bare_redis, is_in_step, port_of, ports_of
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
        await server.execute_command("CLUSTER", "MEET", "127.0.0.1", *ports_of(servers[0]))
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


async def test_a_search_and_a_list_have_the_conversations_of_all_primaries(shards):
    scripts = Scripts(shards.client)
    log = ConversationLog(scripts)
    members = Members(shards.client, scripts, log, retention=0)
    user = Author("seeker", "Ann", "d")
    rooms = [f"found-{number:02}" for number in range(12)]
    assert len({slot_of(conversation_channel(room)) for room in rooms}) > 3
    for room in rooms:
        new = ConversationCreate(request_id="new", conversation_id=room, access="open", agent="off")
        await members.create(user, new)
        await log.append_message(room, user, "m", f"needle in {room}", run_id="r")
    found = await Search(shards.client, scripts).find(
        "seeker", "NEEDLE", conversation_id=None, before=None, limit=20
    )
    assert [hit["conversation_id"] for hit in found.hits] == rooms[::-1]
    page = await members.listing.read("seeker", "Ann", after=None, limit=100, changed_since=None)
    assert [item["conversation_id"] for item in page["conversations"]] == rooms
    assert page["complete"]


async def test_the_status_tells_of_each_primary_and_of_one_that_is_away(shards, monkeypatch):
    status = ClusterStatus.model_validate(await read_status(shards.client))
    assert status.shards is not None
    assert sorted(one.address for one in status.shards) == sorted(
        f"127.0.0.1:{port_of(server)}" for server in shards.servers
    )
    assert (sum(one.partitions for one in status.shards), {one.answers for one in status.shards}) == (96, {True})
    told = {"shards": [one.model_dump() | {"answers": one is not status.shards[0]} for one in status.shards]}
    monkeypatch.setattr("roomgraph.cli.operate.on_redis", lambda work: status.model_dump() | told)
    shown = CliRunner().invoke(app, ["status"]).output
    for number, one in enumerate(status.shards):
        (row,) = [line for line in shown.splitlines() if one.address in line]
        assert ("away" if number == 0 else "ok") in row


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


async def test_the_threads_of_conversations_on_several_shards_are_deleted_together(shards):
    url = f"redis+cluster://127.0.0.1:{port_of(shards.servers[0])}"
    store = CheckpointStore(url, "plain")
    threads = [f"{conversation}/run" for conversation in (*on_each_shard(), "one-more")]
    keys = [checkpoint_keys(thread).all[0] for thread in threads]
    for key in keys:
        await shards.client.hset(key, "x", "x")
    await store.delete_threads(threads)
    assert [await shards.client.exists(key) for key in keys] == [0] * len(keys)
    await store.close()


async def test_a_call_on_keys_of_two_slots_is_refused_at_once(shards):
    here, there, _ = map(conversation_channel, on_each_shard())
    script = LoadedScript("return redis.call('SET', KEYS[1], 'x')")
    first, second = await shards.client.run_together([(script, [here], []), (script, [there], [])])
    assert first == "OK"
    assert isinstance(second, MovedError)
    await shards.client.delete(here)


async def test_the_saver_that_searches_all_keys_is_refused(shards):
    store = CheckpointStore("redis+cluster://127.0.0.1:1", "redis")
    with pytest.raises(WrongSaver, match="Write CHECKPOINTER=plain"):
        await store.set_up(1)
    await store.close()


async def test_a_cluster_that_cannot_be_reached_is_unavailable_in_time():
    client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    async with within(6, "a refusal"):
        with pytest.raises(Unavailable, match="cannot be reached"), redis_errors():
            await client.get("k")
    await client.aclose()


@asynccontextmanager
async def stopped(server: Redis) -> AsyncIterator[None]:
    """A server hangs while this context lasts."""
    pid = int((await server.info("server"))["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_what_waits_when_a_client_is_closed_is_not_sent_again(shards):
    client = connect(f"redis+cluster://127.0.0.1:{port_of(shards.servers[0])}")
    assert await client.incr("closed-counter") == 1
    routed = client.routed
    assert routed is not None
    async with stopped(await shards.owner(slot_of("closed-counter"))):
        waiting = routed.call(pack(("INCR", "closed-counter")), key="closed-counter")
        await client.aclose()
    with pytest.raises(RedisConnectionError, match="closed here"):
        await waiting
    with pytest.raises(RedisConnectionError, match="closed here"):
        await client.incr("closed-counter")
    assert not routed._pipelined
    assert not routed._tasks


async def spublished(server: Redis) -> int:
    found = await server.info("commandstats")
    return int(found.get("cmdstat_spublish", {}).get("calls", 0))


async def test_an_event_that_may_be_lost_is_not_sent_again_and_the_next_one_goes_to_where_its_slot_is(shards):
    emitter = Emitter(Scripts(shards.client))
    slot = slot_of(conversation_channel("ephemeral"))
    source = await shards.owner(slot)
    await move(shards, slot)
    target = next(server for server in shards.servers if server is not source)
    before = await spublished(target)
    await emitter.emit_many([("typing:changed", {}, conversation_room("ephemeral"))] * 20)
    assert not shards.client.routed._tasks
    await poll(lambda: shards.client.routed.primary(slot).port == port_of(target))
    assert await spublished(target) == before
    await emitter.emit("typing:changed", {}, conversation_room("ephemeral"))
    await poll(partial(has_published, target, before + 1))


async def has_published(server: Redis, count: int) -> bool:
    return await spublished(server) == count


async def test_a_command_that_is_not_sent_since_too_much_waits_is_refused_at_once(shards, monkeypatch):
    asked: list[Wire] = []

    def is_full(wire: Wire) -> bool:
        asked.append(wire)
        return True

    monkeypatch.setattr(Wire, "is_full", property(is_full))
    with pytest.raises(TooMuchUnread):
        await shards.client.get("k")
    assert len(asked) == 1


async def test_all_servers_are_not_asked_for_their_slots_in_a_tight_loop(shards):
    began = time.monotonic()
    for _ in range(3):
        await shards.client.routed.refresh()
    assert time.monotonic() - began >= 2 * REFRESH_EVERY_S


class Impatient(Pipelined):
    command_timeout_s = 0.3


async def test_when_the_time_of_a_command_is_over_nothing_more_is_waited_for():
    async def read_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(read_only, "127.0.0.1", 0) as hung:
        port = hung.sockets[0].getsockname()[1]
        routed = RoutedPipelined(parse_redis_url(f"redis+cluster://127.0.0.1:{port}"), Impatient)
        routed._map = SlotMap.from_ranges([SlotRange(0, SLOTS - 1, Server("127.0.0.1", port), "id")])
        with pytest.raises(RedisTimeoutError):
            await routed.call(pack(("GET", "k")), key="k")
        assert routed._refreshing is None
        await routed.aclose()


# The bus


async def test_a_cluster_that_refuses_a_password_is_told_as_that(shards, monkeypatch):
    url = f"redis+cluster://nobody:wrong@127.0.0.1:{port_of(shards.servers[0])}"
    routed = RoutedPipelined(parse_redis_url(url), Impatient)
    with pytest.raises(AuthenticationError):
        await routed.refresh()
    monkeypatch.setattr("sio_server.store.routed.REFRESH_EVERY_S", 600)
    with pytest.raises(AuthenticationError):
        await routed.call(pack(("GET", "k")), key="k")
    await routed.aclose()


class Listener:
    """What a node receives on the channels of some conversations."""

    def __init__(self, client: BoundedRedis, *conversation_ids: str) -> None:
        assert client.routed is not None
        self.scripts = Scripts(client)
        self.subscriptions = ShardedSubscriptions(client.routed, "n-1")
        self.ids = conversation_ids
        self.received: list[tuple[str, bytes]] = []
        self.missed: list[set[str]] = []  # the rooms that are to be read again
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Listener:
        listening = self.subscriptions.listen_to_shards(
            lambda room, message: self.received.append((room, message)),
            lambda rooms: self.missed.append(rooms) if rooms else None,
        )
        self._listening = asyncio.ensure_future(listening)
        self._beating = asyncio.ensure_future(self._beat())
        await poll(lambda: len(self.subscriptions.shards()) == 3)
        await self.subscriptions.subscribe(*map(conversation_channel, self.ids))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await end_tasks([self._listening, self._beating])

    async def _beat(self) -> None:
        while True:
            self.subscriptions.beat()
            await asyncio.sleep(0.2)

    async def tell(self, conversation_id: str, text: str) -> None:
        channel = conversation_channel(conversation_id)
        await self.scripts.plain("publish", [channel], message=text)
        await poll(lambda: (conversation_room(conversation_id), text.encode()) in self.received)


def on_each_shard() -> list[str]:
    """A conversation in each third of the slots."""
    return [
        next(f"c-{n}" for n in range(1000) if slot_of(conversation_channel(f"c-{n}")) * 3 // SLOTS == third)
        for third in range(3)
    ]


async def of_two_servers(shards: Shards, key_of: Callable[[str], str], prefix: str) -> list[str]:
    """A name for each of two servers, the first and the second, which has its key now."""
    routed = shards.client.routed
    assert routed is not None
    await routed.refresh()
    servers = [Server("127.0.0.1", port_of(one)) for one in shards.servers[:2]]
    names = [f"{prefix}-{number}" for number in range(1000)]
    return [next(one for one in names if routed.primary(slot_of(key_of(one))) == server) for server in servers]


async def test_a_node_hears_the_channels_of_all_shards_and_itself_on_each(shards, monkeypatch):
    monkeypatch.setattr(sharded, "SILENT_AFTER_S", 600)  # a slow machine is no lost connection
    async with Listener(shards.client, *on_each_shard()) as bus:
        for where in bus.ids:
            await bus.tell(where, "hello")
        await poll(lambda: bus.subscriptions.heard_at > 0 and bus.subscriptions.answered_at > 0)
        assert not any(shard.is_away for shard in bus.subscriptions.shards())
        assert bus.missed == []


async def test_only_the_rooms_of_a_slot_that_has_moved_are_read_again(shards):
    here, *others = on_each_shard()
    async with Listener(shards.client, here, *others) as bus:
        await move(shards, slot_of(conversation_channel(here)))
        await poll(lambda: {conversation_room(here)} in bus.missed)
        for where in bus.ids:
            await bus.tell(where, "after the move")
        assert set().union(*bus.missed) == {conversation_room(here)}


async def test_only_the_rooms_of_a_shard_whose_connection_was_lost_are_read_again(shards):
    here, *others = on_each_shard()
    async with Listener(shards.client, here, *others) as bus:
        await bus.tell(here, "before")
        owner = await shards.owner(slot_of(conversation_channel(here)))
        of_owner = {
            conversation_room(where)
            for where in bus.ids
            if await shards.owner(slot_of(conversation_channel(where))) is owner
        }
        await owner.client_kill_filter(_type="pubsub")
        await poll(lambda: set().union(*bus.missed) == of_owner)
        for where in bus.ids:
            await bus.tell(where, "after")


async def test_what_a_shard_that_is_away_has_is_unavailable_and_the_rest_is_served(shards):
    here, there = await of_two_servers(shards, conversation_channel, "s")
    _, own = await of_two_servers(shards, lambda user_id: user_keys(user_id)[0], "u")
    user = Author(own, "Ann", "d-ann")
    scripts = Scripts(shards.client)
    log = ConversationLog(scripts)
    members = Members(shards.client, scripts, log, retention=0)
    for number, where in enumerate((here, there)):
        new = ConversationCreate(request_id=f"{number}", conversation_id=where, access="open", agent="off")
        await members.create(user, new)
    bus = Bus(f"redis+cluster://127.0.0.1:{port_of(shards.servers[0])}", "n-1")
    bus._recipients["s"] = Recipient()
    listening = asyncio.ensure_future(bus.listen(lambda room, message: None, lambda rooms: None))
    await poll(lambda: len(bus.shards()) == 3)
    fanout = Fanout(bus, log, Metrics(), Trace("n"))
    catch_up = CatchUp(log, bus, fanout, is_live=lambda sid: True)
    requests: Any = ConversationRequests(members, log, catch_up, None, None)  # type: ignore[arg-type]
    sync = SessionSync(positions={here: None, there: None})
    async with stopped(await shards.owner(slot_of(conversation_channel(here)))):
        synced, marked, page = await asyncio.gather(
            requests.sync(Follower(user_id=own), sync),
            log.marks.move(user, {here: Moves(read=1), there: Moves(read=1)}),
            members.listing.read(own, "Ann", after=None, limit=10, changed_since=None),
        )
        one = await requests.sync(Follower(user_id=own), SessionSync(positions={here: None}))
    for answer in (synced["conversations"][here], one["conversations"][here]):
        assert answer["error"]["code"] == "unavailable"
        assert answer["error"]["retryable"]
    assert synced["conversations"][there]["head"] == 1
    assert isinstance(marked[here], Unavailable)
    assert marked[there] == {"read": 1}
    assert [item["conversation_id"] for item in page["conversations"]] == [there]
    assert (page["unavailable"], page["complete"], page["cursor"]) == ([here], False, None)
    fanout.leave_all("s")
    await fanout.close()
    await end_tasks([listening])
    await bus.close()


async def test_a_channel_that_is_not_confirmed_keeps_none_of_the_others_back(shards, monkeypatch):
    here, there = map(conversation_channel, await of_two_servers(shards, conversation_channel, "s"))
    async with Listener(shards.client) as bus:
        monkeypatch.setattr(subscriptions, "SUBSCRIBE_S", 1.0)
        async with stopped(await shards.owner(slot_of(here))):
            assert await bus.subscriptions.subscribe_some(here, there) == {there}
            monkeypatch.setattr(subscriptions, "SUBSCRIBE_S", 0.05)
            with pytest.raises(Unavailable):
                await bus.subscriptions.subscribe(here, there)
        assert bus.subscriptions._channels[there.encode()].holders == 1
        assert bus.subscriptions._channels[here.encode()].holders == 0


# The run queue


class Queue:
    """The run queue as a node reads it."""

    def __init__(self, client: BoundedRedis, node_id: str) -> None:
        self.queue = RoutedRunQueue(client, "", node_id)
        self.bells: list[Bell] = []

    @asynccontextmanager
    async def reading(self, *, claims: bool = False) -> AsyncIterator[Queue]:
        working = [self.queue.read_bells(self.bells.append, self._has_room)]
        working += [self.queue.claim_bells(self.bells.append)] if claims else []
        tasks = [asyncio.ensure_future(work) for work in working]
        try:
            yield self
        finally:
            await end_tasks(tasks)

    @staticmethod
    async def _has_room() -> None:
        pass

    def heard(self, conversation_id: str) -> bool:
        return conversation_id in [bell.conversation_id for bell in self.bells]


async def test_a_bell_is_read_when_the_bus_tells_of_it_or_without_also_after_its_slot_has_moved(shards):
    number = partition("queue")
    async with Queue(shards.client, "n-1").reading() as node:
        for turn in range(2):
            await node.queue.ring(runs(number), f"told-{turn}")
            node.queue.on_told(number)
            await poll(partial(node.heard, f"told-{turn}"))
            await move(shards, slot_of(runs(number)))
    async with Queue(shards.client, "n-1").reading(claims=True) as node:
        await node.queue.ring(runs(number), "untold")
        await poll(lambda: node.heard("untold"))
        await node.queue.acknowledge(node.bells)
        assert await shards.client.xlen(runs(number)) == 0


async def test_the_bell_of_a_node_that_is_gone_is_claimed_after_its_slot_has_moved(shards):
    number = partition("claimed")
    async with Queue(shards.client, "gone").reading() as gone:
        await gone.queue.ring(runs(number), "its")
        gone.queue.on_told(number)
        await poll(lambda: gone.heard("its"))
    await move(shards, slot_of(runs(number)))
    async with Queue(shards.client, "n-2").reading(claims=True) as node:
        await poll(lambda: node.heard("its"))
        await node.queue.acknowledge(node.bells)


async def test_a_run_queue_that_cannot_be_read_keeps_nothing_of_the_others_back(tmp_path):
    async with bare_redis(tmp_path) as server:
        client = connect(f"redis://127.0.0.1:{port_of(server)}")
        await server.set(runs(0), "no stream")
        await server.xgroup_create(runs(1), WORKERS, id="0", mkstream=True)
        await server.xadd(runs(1), {"conversation_id": "its"})
        await server.xreadgroup(WORKERS, "gone", {runs(1): ">"})
        bells: list[Bell] = []
        claiming = asyncio.ensure_future(RunQueue(client, "", "n-1").claim_bells(bells.append))
        await poll(lambda: "its" in [bell.conversation_id for bell in bells])
        await end_tasks([claiming])
        await client.aclose()


# Scripts


async def test_a_script_is_refused_as_a_whole_while_keys_of_its_slot_are_on_their_way(shards):
    for keys, never in ((list(ConversationKeys("way").all()), ":run:"), (user_keys("way"), ":last-end:")):
        slot = slot_of(keys[0])
        source = await shards.owner(slot)
        target = next(server for server in shards.servers if server is not source)
        ids = [await server.execute_command("CLUSTER", "MYID") for server in (source, target)]
        # All that may be there; what other keys begin with is no key itself, so some are always missing.
        for key in keys:
            if not key.endswith(never):
                await source.set(key, "x")
        assert sum(key.endswith(never) for key in keys) == 1
        await target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        await source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        write = "redis.call('SET', KEYS[1], 'written') return redis.call('SET', KEYS[1] .. ':new', 'x')"
        with pytest.raises(TryAgainError):
            await source.eval(write, len(keys), *keys)
        for server in (source, target):
            await server.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
        assert await source.get(keys[0]) == "x"
        await source.eval(write, len(keys), *keys)
        await source.delete(f"{keys[0]}:new", *keys)


async def test_what_one_shard_cannot_do_keeps_nothing_of_the_others_back(shards):
    scripts = Scripts(shards.client)
    await shards.client.set(due(0), "no sorted set")
    await shards.client.zadd(due(1), {"plans s-1": 1})
    calls = [([due(number)], {"count": 10}) for number in range(2)]
    failed, found = await scripts.some("list_due", calls)
    assert failed is None
    assert found is not None
    assert found["due"] == ["plans s-1"]
    with pytest.raises(Unavailable):
        await scripts.many("list_due", calls)
    with pytest.raises(Unavailable):
        await scripts.some("list_due", [calls[0], calls[0]])
    await shards.client.delete(due(0))


async def test_every_step_there_is_can_be_done_on_several_shards_and_a_user_exported_and_deleted(shards):
    """Those of the API, webhooks, schedules, retention and the archive as well."""
    for server in shards.servers:
        await server.flushall()
    client = connect(f"redis+cluster://127.0.0.1:{port_of(shards.servers[0])}")
    await everything(client, set())
    scripts = Scripts(client)
    log = ConversationLog(scripts)
    members = Members(client, scripts, log, retention=0)
    theirs = on_each_shard()
    for conversation_id in theirs:
        new = ConversationCreate(request_id=token_hex(8), conversation_id=conversation_id, access="open")
        await members.create(ANN, new)
        await log.append_message(conversation_id, ANN, token_hex(8), "a secret", run_id=token_hex(8))
    lines = "".join([line async for line in Exports(client, log, members).user("ann")])
    assert [conversation_id in lines for conversation_id in theirs] == [True] * 3
    assert lines.count("a secret") == 3
    deletions = UserDeletion(client, scripts, members, RefusedTokens(client, scripts))
    await deletions.begin("ann")
    assert await deletions.resume() == {}
    assert not await deletions.is_pending("ann")
    for conversation_id in theirs:
        assert not await client.exists(ConversationKeys(conversation_id).log)
    await client.aclose()


async def test_webhooks_of_the_other_shards_begin_while_one_cannot_be_used(shards):
    lanes = HookLanes(Scripts(shards.client), "n-1", ["begin"])
    away, *others = lanes.all
    await shards.client.set(hooks(away.partition), "no stream")
    await lanes.open()
    taken, _ = await lanes.take(lanes.all)
    assert set(taken) == set(others)
    await shards.client.delete(hooks(away.partition))
    await lanes.take([away])
    taken, _ = await lanes.take([away])
    assert set(taken) == {away}, "it begins when its shard is back"


async def test_conversations_of_the_other_shards_are_swept_while_one_cannot_be_used(shards):
    writer = Writer(shards.client, "swept")
    await writer.create()
    away = (partition(writer.id) + 1) % PARTITIONS
    await shards.client.delete(swept(away))
    await shards.client.set(swept(away), "no sorted set")
    for _ in range(3):
        await writer.write()
    await shards.client.zadd(swept(partition(writer.id)), {writer.id: 0})  # it is due
    found = await Retention(Scripts(shards.client), Kept(entries=2)).sweep()
    await shards.client.delete(swept(away))
    assert (await writer.log.page(writer.id, "ann", limit=10)).bounds.first == 3
    assert found.failed == {}


async def test_objects_of_the_other_shards_are_removed_while_one_cannot_be_used(shards, tmp_path):
    archive = Archive(shards.client, Scripts(shards.client), ArchiveStore(f"file://{tmp_path}"))
    await shards.client.set(archive_gone(0), "no sorted set")
    await shards.client.zadd(archive_gone(1), {"gone/1/object": 0})
    assert await archive.remove_gone() == {}
    await shards.client.delete(archive_gone(0))
    assert not await shards.client.exists(archive_gone(1))


async def test_a_server_without_a_majority_is_not_subscribed_again_at_full_speed(shards, monkeypatch):
    monkeypatch.setattr(sharded, "AGAIN_S", 0.05)
    monkeypatch.setattr(sharded, "MAX_AGAIN_S", 600)
    attempts: dict[Server, int] = defaultdict(int)
    await shards.client.routed.refresh()
    closes = shards.client.routed.servers[0]

    async def refused(self: ShardedSubscriptions, shard: Shard) -> None:
        attempts[shard.server] += 1
        raise ClusterDownError("CLUSTERDOWN The cluster is down") if shard.server != closes else OSError("lost")

    monkeypatch.setattr(ShardedSubscriptions, "_listen_to", refused)
    bus = ShardedSubscriptions(shards.client.routed, "n-1")
    listening = asyncio.ensure_future(bus.listen_to_shards(lambda room, message: None, lambda rooms: None))
    await poll(lambda: attempts[closes] >= 12)
    assert len(attempts) == 3
    assert max(count for server, count in attempts.items() if server != closes) < 12
    await end_tasks([listening])


async def test_the_scripts_for_a_server_that_is_gone_lose_their_connection(shards):
    routed = shards.client.routed
    durable = RoutedDurable(routed, 1)
    gone, present = Server("127.0.0.1", 1), routed.servers[0]
    waiting = asyncio.ensure_future(durable._of(gone).run(pack(("PING",)), 1, LoadedScript("return 1")))
    await asyncio.sleep(0)
    durable._of(present)
    with pytest.raises(RedisConnectionError):
        await waiting
    assert list(durable._shards) == [present]
    await durable.aclose()
    with pytest.raises(RedisConnectionError):
        durable._of(present)


def test_each_slot_has_a_label_that_the_heartbeats_of_a_primary_can_have():
    found = sharded._labels()
    assert all(slot_of(f"{{rg:{label}}}") == slot for slot, label in found.items())
    assert len(found) > SLOTS / 2


# Promotions


class Writer:
    """A client that writes into one conversation; gives the epoch of each entry."""

    def __init__(self, client: BoundedRedis, conversation_id: str) -> None:
        self.client = client
        scripts = Scripts(client)
        self.log = ConversationLog(scripts)
        self.members = Members(client, scripts, self.log, retention=0)
        self.id = conversation_id

    async def create(self) -> None:
        new = ConversationCreate(request_id="create", conversation_id=self.id, access="open", agent="off")
        await self.members.create(ANN, new)

    async def write(self) -> str:
        ack, _ = await self.log.append_message(self.id, ANN, token_hex(8), "hello", run_id="r")
        return str(ack["epoch"])


async def test_a_conversation_keeps_its_epoch_when_its_slot_moves(shards):
    writer = Writer(shards.client, "moved-epoch")
    await writer.create()
    before = await writer.write()
    await move(shards, slot_of(ConversationKeys(writer.id).log))
    assert await writer.write() == before
    other = connect(f"redis+cluster://127.0.0.1:{port_of(shards.servers[0])}")
    assert await Writer(other, writer.id).write() == before
    await other.aclose()


@asynccontextmanager
async def one_shard(folder: Path) -> AsyncIterator[tuple[Redis, Redis]]:
    """A Redis Cluster of one primary and its replica."""
    async with AsyncExitStack() as stack:
        arguments = (
            "--cluster-enabled",
            "yes",
            "--enable-debug-command",
            "yes",
            "--repl-diskless-sync-delay",
            "0",
        )
        servers = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            servers.append(await stack.enter_async_context(bare_redis(folder / name, *arguments)))
        primary, replica = servers
        await primary.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        await replica.execute_command("CLUSTER", "MEET", "127.0.0.1", *ports_of(primary))
        primary_id = await primary.execute_command("CLUSTER", "MYID")

        async def is_followed() -> bool:
            with contextlib.suppress(ResponseError):  # they do not know each other yet
                await replica.execute_command("CLUSTER", "REPLICATE", primary_id)
            return await is_in_step(replica)

        async def is_ok() -> bool:
            infos = [await server.execute_command("CLUSTER", "INFO") for server in servers]
            return all("cluster_state:ok" in str(info) for info in infos)

        await poll(is_followed)
        await poll(is_ok)
        yield primary, replica


async def promote(replica: Redis, primary: Redis) -> None:
    """A planned failover; returns when the old primary follows the new one."""

    async def is_begun() -> bool:
        with contextlib.suppress(ResponseError):  # it is not in step yet
            await replica.execute_command("CLUSTER", "FAILOVER")
        return "master" in await replica.execute_command("ROLE")

    await poll(is_begun)
    await poll(partial(is_in_step, primary))


async def test_a_primary_that_was_promoted_counts_and_one_that_moved_or_was_started_again_does_not(shards):
    scripts, key = Scripts(shards.client), stats(5)
    await shards.client.delete(key)  # what the client has noted itself
    seen = []
    for replid, server_id, epoch, present in (
        ("a1", "A", 1, "a1 b1"),  # the first that is known
        ("a1", "A", 1, "a1 b1"),  # another client
        ("b1", "B", 2, "a1 b1"),  # the slot has moved
        ("b2", "B", 2, "a1 b2"),  # it was started again
        ("c1", "C", 3, "a1 c1"),  # its replica was promoted
        ("b3", "B", 4, "a1 b3"),  # and it again
    ):
        await scripts.plain(
            "note_primary", [key], replid=replid, server_id=server_id, epoch=epoch, present=present
        )
        seen.append(await shards.client.hget(key, "primary"))
    assert seen == [None, None, None, None, "1", "2"]
    await shards.client.delete(key)


@pytest.mark.faults
async def test_a_promotion_in_a_cluster_gives_a_conversation_a_new_epoch_once(tmp_path):
    async with one_shard(tmp_path) as (first, second):
        url = f"redis+cluster://127.0.0.1:{port_of(first)},127.0.0.1:{port_of(second)}"
        client, late = connect(url), connect(url)
        writer = Writer(client, "plans")
        await writer.create()
        epochs = [await writer.write()]
        await promote(second, first)
        epochs += [await writer.write(), await writer.write(), await Writer(late, "plans").write()]
        assert len(set(epochs[:2])) == 2
        assert len(set(epochs[1:])) == 1, "each client notes it, and it counts once"
        await promote(first, second)
        epochs.append(await writer.write())
        assert epochs[-1] not in epochs[:-1]
        # A primary may take another replid without a promotion, as when it is started again.
        await first.execute_command("DEBUG", "CHANGE-REPL-ID")
        fresh = connect(url)
        assert await Writer(fresh, "plans").write() == epochs[-1]
        for one in (client, late, fresh):
            await one.aclose()


@pytest.mark.faults
async def test_a_promotion_and_another_back_that_nothing_was_sent_between_give_a_new_epoch(tmp_path):
    async with one_shard(tmp_path) as (first, second):
        url = f"redis+cluster://127.0.0.1:{port_of(first)}"
        before, after = connect(url), connect(url)
        writer = Writer(before, "plans")
        await writer.create()
        epoch = await writer.write()
        await promote(second, first)
        await promote(first, second)
        assert await Writer(after, "plans").write() != epoch
        await before.aclose()
        await after.aclose()


async def test_what_waits_for_a_primary_that_is_away_costs_one_task_and_fails_in_time():
    gone = Server("127.0.0.1", 1)
    routed = RoutedPipelined(parse_redis_url("redis+cluster://127.0.0.1:1"), Impatient)
    routed._map = SlotMap.from_ranges([SlotRange(0, SLOTS - 1, gone, "id")])
    waiting = [routed.call(pack(("GET", tag(0))), key=tag(0)) for _ in range(10)]
    assert [task.get_name() for task in asyncio.all_tasks()].count("note-primary") == 1
    assert not routed._tasks
    replies = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(reply) for reply in replies} == {RedisTimeoutError}
    await routed.aclose()
