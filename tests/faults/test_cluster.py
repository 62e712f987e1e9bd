"""On a Redis Cluster no promise is broken when primaries die, slots move, and shards are cut off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.exceptions import RedisError

from roomgraph.check import Recorder, check
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, guest_token
from sio_server.cluster.status import read_status
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.local.cluster import SHARDS, LocalCluster
from sio_server.local.ports import find_ports
from sio_server.local.redis_cluster import RedisCluster
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import connect
from sio_server.store.keys import ConversationKeys
from sio_server.store.partitions import partition, tag
from sio_server.store.scripts import Scripts
from sio_server.store.slots import SLOTS, slot_of
from sio_server.tasks import end_tasks
from tests.conftest import NODE_SETTINGS
from tests.faults.load import loaded
from tests.faults.nodes import log_file, metrics
from tests.integration.test_redis_connection import bare_redis, port_of, ports_of
from tests.integration.test_routed import Shards, form
from tests.waiting import poll

pytestmark = pytest.mark.faults

ANN = Author("ann", "Ann", "d-ann")
OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
SWITCH_S = 6.0


async def test_messages_are_acked_once_when_the_primary_of_their_shard_dies(tmp_path_factory):
    async with AsyncExitStack() as stack:
        folders = [tmp_path_factory.mktemp("shard") for _ in range(4)]
        *servers, replica = [await stack.enter_async_context(bare_redis(folder, *OPTIONS)) for folder in folders]
        shards = await form(servers)
        first = servers[0]
        await replica.execute_command("CLUSTER", "MEET", "127.0.0.1", *ports_of(first))
        first_id = await first.execute_command("CLUSTER", "MYID")
        await poll(lambda: follows(replica, first_id))
        await poll(lambda: is_linked(replica))
        await poll(lambda: know_all([*servers, replica]))

        scripts = Scripts(shards.client)
        log = ConversationLog(scripts)
        where = next(f"c-{n}" for n in range(100) if slot_of(ConversationKeys(f"c-{n}").log) < SLOTS / 3)
        assert partition(where) < 32
        new = ConversationCreate(request_id="create", conversation_id=where, access="open", agent="off")
        await Members(shards.client, scripts, log, retention=0).create(ANN, new)
        await only_a_shard_with_a_replica_promises(shards)
        acked: list[int] = []
        stopping = False

        async def write() -> None:
            while not stopping:
                with contextlib.suppress(Unavailable):
                    ack, _ = await log.append_message(where, ANN, f"m{len(acked)}", "hello", run_id="r")
                    acked.append(int(ack["seq"]))
                await asyncio.sleep(0.005)

        async def until_acked(more: int) -> float:
            began, goal = time.monotonic(), len(acked) + more
            await poll(lambda: len(acked) >= goal)
            return time.monotonic() - began

        writing = asyncio.ensure_future(write())
        await until_acked(20)
        # The client of the test tries again for some seconds when the server is gone.
        dying = asyncio.ensure_future(first.execute_command("SHUTDOWN", "NOSAVE", "NOW", "FORCE"))
        died = await until_acked(20)
        print(f"20 more were acked {died:.2f} s after the death of the primary")
        assert died < SWITCH_S
        stopping = True
        await asyncio.gather(writing, dying, return_exceptions=True)
        assert writing.exception() is None
        assert acked == list(range(2, 2 + len(acked)))
        assert (await log.page(where, "ann", limit=1)).bounds.head == acked[-1]
        await shards.client.aclose()


async def only_a_shard_with_a_replica_promises(shards: Shards) -> None:
    """With DURABLE_REPLICAS=1 the replicas of the conversation's own shard count: here the first one has one."""
    client = connect(f"redis+cluster://127.0.0.1:{port_of(shards.servers[1])}", replicas=1)
    scripts = Scripts(client)
    members = Members(client, scripts, ConversationLog(scripts), retention=0)
    for third, promises in enumerate((True, False, False)):
        where = next(
            f"d-{n}" for n in range(1000) if slot_of(ConversationKeys(f"d-{n}").log) * 3 // SLOTS == third
        )
        new = ConversationCreate(request_id=where, conversation_id=where, access="open", agent="off")
        if promises:
            await members.create(ANN, new)
            continue
        with pytest.raises(Unavailable, match="waits for its replicas"):
            await members.create(ANN, new)
    await client.aclose()


async def follows(replica, primary_id: str) -> bool:
    with contextlib.suppress(RedisError):  # it has not met the primary yet
        return bool(await replica.execute_command("CLUSTER", "REPLICATE", primary_id))
    return False


async def know_all(servers) -> bool:
    """Whether all know all, and whom the replica follows: otherwise nobody votes for it."""
    told = [str(await server.execute_command("CLUSTER", "NODES")) for server in servers]
    return all(nodes.count("connected") == 4 and nodes.count("slave") == 1 for nodes in told)


async def is_linked(replica) -> bool:
    return "connected" in await replica.execute_command("ROLE")


@asynccontextmanager
async def nodes_on_cluster(folder: Path, nodes: int = 2, **settings: str) -> AsyncIterator[LocalCluster]:
    """Nodes on three primaries with a replica each."""
    port = find_ports(nodes, 4 * SHARDS)
    cluster = LocalCluster(port, nodes, folder, settings={**NODE_SETTINGS, **settings}, topology="cluster")
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


def sharded(cluster: LocalCluster) -> RedisCluster:
    """The servers of its Redis Cluster."""
    assert cluster.redis_cluster is not None
    return cluster.redis_cluster


async def move_on(redis: RedisCluster, slot: int, held_s: float = 0.0) -> None:
    """Move a slot to the next primary; it is on its way for `held_s` seconds longer, half of its keys here."""
    source = await redis.primary_of(slot)
    primaries = await redis.primaries()
    ports = [one.port for one in primaries]
    target = primaries[(ports.index(source.port) + 1) % len(primaries)]
    if held_s:
        await redis.ask(target.port, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.server_id)
        await redis.ask(source.port, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.server_id)
        count = await redis.ask(source.port, "CLUSTER", "COUNTKEYSINSLOT", slot)
        names = await redis.ask(source.port, "CLUSTER", "GETKEYSINSLOT", slot, count // 2)
        if names:
            await redis.ask(source.port, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
        await asyncio.sleep(held_s)  # the fault lasts so long
    await redis.move_slot(slot, source, target)


# Longer than a lease: runs lose theirs on the way.
@pytest.mark.timeout(240)
@pytest.mark.parametrize("held_s", [0.0, 5.0])
async def test_every_run_ends_once_though_the_slot_of_its_conversation_moves(tmp_path, held_s):
    async with nodes_on_cluster(tmp_path, 3) as cluster, AsyncExitStack() as open_devices:
        redis = sharded(cluster)
        recorder, devices = Recorder(), list[RecordedDevice]()
        for number in range(4):
            _, token = await guest_token(cluster.urls[number % 3], f"Device {number}")
            client = ChatClient([cluster.urls[number % 3]], token, give_up_after=60)
            await client.connect()
            devices.append(RecordedDevice(f"device-{number}", client, recorder))
            open_devices.push_async_callback(devices[-1].close)
        first = devices[0]
        created = [
            await first.client.create(f"Plans {number}", access="open", agent="always", graph="echo")
            for number in range(4)
        ]
        for device in devices:
            for conversation in created:
                await device.join(conversation.id)
        stopping, runs = False, Counter[str]()

        async def ask(device: RecordedDevice, where: str) -> None:
            while not stopping:
                ack = await device.send(where, f"{device.name} asks {runs[where]}")
                assert await device.ended(where, ack.run_id or "", 60), f"{ack.run_id} has no end"
                assert len(device.finals[where][ack.run_id or ""]) == 1
                runs[where] += 1

        asking = [
            asyncio.ensure_future(ask(device, conversation.id))
            for device, conversation in zip(devices, created, strict=True)
        ]
        open_devices.push_async_callback(end_tasks, asking)

        async def until_served(where: str) -> None:
            goal = runs[where] + 3
            served = asyncio.ensure_future(poll(lambda: runs[where] >= goal, timeout=60))
            # What one of them has raised is told at once.
            await asyncio.wait([served, *asking], return_when=asyncio.FIRST_COMPLETED)
            await served

        for conversation in created[:2] if held_s else 2 * created:
            await move_on(redis, slot_of(tag(partition(conversation.id))), held_s)
            await until_served(conversation.id)
        stopping = True
        await asyncio.gather(*asking)
        for conversation in created:
            log = await first.record_log(conversation.id)
            for device in devices:
                assert await device.reaches(conversation.id, log[-1].seq, 30)
                recorder.settle(device.name, conversation.id)
        report = check(recorder.history())
        assert report.anomalies == ()
        assert report.acked == report.sent == runs.total() > 20
        print(f"{report.acked} acked, each with a run that ended once")


@pytest.mark.timeout(120)
async def test_a_node_whose_one_shard_is_away_serves_what_the_others_have_and_says_so(tmp_path):
    async with nodes_on_cluster(tmp_path) as cluster, loaded(cluster, 3) as load:
        redis = sharded(cluster)
        held = slot_of(tag(partition(load.conversation_id)))
        members = await redis.members()
        away = next(
            one for one in await redis.primaries() if not any(first <= held <= last for first, last in one.slots)
        )
        name = f"127.0.0.1:{away.port}"
        ports = [away.port, *(one.port for one in members if one.follows == away.server_id)]
        load.start()
        await load.until_acked(30)
        for port in ports:
            await redis.signal(port, signal.SIGSTOP)
        try:
            for node in cluster.ports:
                await poll(partial(says_away, node, name), timeout=20)
                assert (await metrics(node))[f'roomgraph_shard_away{{shard="{name}"}}'] == 1
            acked = load.acked
            await load.until_acked(60, 40)
            print(f"{load.acked - acked} more were acked with a shard away")
            assert (await ready_of(cluster.ports[0]))["ready"] is True
            client = connect(redis.url)
            status = await read_status(client)
            await client.aclose()
            assert f"shard {name}: away" in status["problems"]
        finally:
            for port in ports:
                await redis.signal(port, signal.SIGCONT)
        await redis.until_whole()
        for node in cluster.ports:
            await poll(partial(says_none_away, node), timeout=20)
        await load.until_acked(30)
        await load.stop()
        await load.judge()
        for node in cluster.ports:
            log = log_file(cluster, node).read_text()
            assert f"a shard is away, what it has is not served: shard={name}" in log


@pytest.mark.timeout(120)
async def test_planned_failovers_of_all_shards_lose_nothing_and_clients_hardly_notice(tmp_path):
    async with nodes_on_cluster(tmp_path, DURABLE_REPLICAS="1") as cluster, loaded(cluster, 3) as load:
        redis = sharded(cluster)
        load.start()
        await load.until_acked(30)
        for primary in await redis.primaries():
            began = time.monotonic()
            after = await redis.hand_over(primary)
            await redis.until_whole()
            await load.until_acked(30, 40)
            print(f"{primary.port} -> {after}, 30 more acked {time.monotonic() - began:.2f} s later")
        await load.stop()
        await load.judge()
        for node in cluster.ports:
            await poll(partial(says_none_away, node), timeout=20)


async def ready_of(port: int) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/ready") as response:
        return await response.json()


async def says_away(port: int, name: str) -> bool:
    return (await ready_of(port))["shards_away"] == [name]


async def says_none_away(port: int) -> bool:
    report = await ready_of(port)
    return report["ready"] and not report["shards_away"]
