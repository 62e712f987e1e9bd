"""The primary is killed, hangs, or hands over under load: Sentinel names another, and nothing acked is lost."""

from __future__ import annotations

import asyncio
import re
import signal
import time

import aiohttp
import pytest

from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.local.replicated import SERVICE, ReplicatedRedis
from tests.conftest import NODE_SETTINGS, free_ports
from tests.faults.load import loaded
from tests.faults.sentinels import cable, nodes_on, replicated_redis
from tests.waiting import poll

pytestmark = pytest.mark.faults

CUT_S = 8.0
SWITCH_S = 8.0  # Sentinel tells a primary that it was replaced after 10 s


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_primary_that_is_gone_is_replaced_and_nothing_acked_is_lost(tmp_path, how):
    async with replicated_redis(tmp_path) as redis, nodes_on(redis, tmp_path) as cluster:
        async with loaded(cluster, 4) as load:
            load.start()
            await load.until_acked(50)
            assert not await no_node_is_connected(redis, await redis.primary())
            primary = await redis.primary()
            began = time.monotonic()
            await redis.signal(primary, how)
            await redis.until_primary_is_not(primary)
            await load.until_acked(1 + len(load.devices))
            # No limit: an election that finds no majority is repeated after 10 s.
            print(f"after {how.name} sends were acked again in {time.monotonic() - began:.2f} s")
            await load.until_acked(50)
            # The old primary comes back as a replica; nobody stays with it, and nothing comes from it.
            if how is signal.SIGKILL:
                await redis.start_server(primary)
            else:
                await redis.signal(primary, signal.SIGCONT)
            await load.until_acked(50)
            await redis.until_in_step(2)
            await load.until_acked(50)
            await load.stop()
            await load.judge()
            print(f"{load.acked} acked, none lost")
        await poll(lambda: no_node_is_connected(redis, primary))
        await all_are_ready(cluster)


# What nodes do last on their connections, and neither sentinels nor replication do.
OF_NODES = {"evalsha", "xreadgroup", "xautoclaim", "ssubscribe", "hgetall", "pexpire"}


async def no_node_is_connected(redis: ReplicatedRedis, port: int) -> bool:
    return OF_NODES.isdisjoint(re.findall(r"\bcmd=(\S+)", await redis.ask(port, "CLIENT", "LIST")))


async def all_are_ready(cluster) -> None:
    async with aiohttp.ClientSession() as http:
        for node in cluster.urls:
            async with http.get(f"{node}/ready") as ready:
                assert ready.status == 200, await ready.text()


async def test_a_primary_that_is_cut_off_with_its_nodes_acks_nothing_that_is_lost(tmp_path):
    with cable() as wire:
        async with (
            replicated_redis(tmp_path, far=wire.far) as redis,
            nodes_on(redis, tmp_path, DURABLE_REPLICAS="1") as cluster,
            loaded(cluster, 4) as load,
        ):
            load.start()
            await load.until_acked(50)
            primary = await redis.primary()
            before = load.acked
            wire.cut()
            await asyncio.sleep(CUT_S)  # the replicas' side has another primary after 2 to 4 s
            print(f"acked while cut off: {load.acked - before}")
            wire.mend()
            await redis.until_primary_is_not(primary)  # as a rule it was replaced before
            began = time.monotonic()
            await load.until_acked(1, 20)
            took = time.monotonic() - began
            print(f"sends were acked {took:.2f} s after the network was whole")
            assert took < SWITCH_S, "nodes do not wait until Sentinel has told the old primary"
            await load.until_acked(50, 20)
            await load.stop()
            await load.judge(20)
            print(f"{load.acked} acked, none lost")


async def test_a_planned_failover_loses_nothing_acked_when_all_replicas_are_waited_for(tmp_path):
    # With one of two, the old primary and the other replica would confirm what the new primary never gets.
    async with (
        replicated_redis(tmp_path) as redis,
        nodes_on(redis, tmp_path, DURABLE_REPLICAS="2") as cluster,
        loaded(cluster, 4) as load,
    ):
        load.start()
        await load.until_acked(50)
        primary = await redis.primary()
        began = time.monotonic()
        await redis.ask(redis.sentinel_ports[0], "SENTINEL", "FAILOVER", SERVICE)
        await redis.until_primary_is_not(primary)
        # Both replicas have to be in step with the new primary; Sentinel asks servers each ten seconds only.
        await load.until_acked(50, 40)
        print(f"after a planned failover 50 more were acked in {time.monotonic() - began:.2f} s")
        await load.stop()
        await load.judge()
        print(f"{load.acked} acked, none lost")
        await poll(lambda: no_node_is_connected(redis, primary))
        await all_are_ready(cluster)


async def test_a_local_cluster_with_sentinels_continues_where_it_was_stopped_also_after_a_failover(tmp_path):
    first = free_ports(1)

    def cluster() -> LocalCluster:
        return LocalCluster(first, 1, tmp_path, settings=NODE_SETTINGS, topology="sentinel")

    running = cluster()
    try:
        await running.start()
        assert running.replicated is not None
        _, token = await guest_token(running.urls[0], "Ann")
        async with ChatClient(running.urls, token) as ann:
            conversation = await ann.create(agent="off")
            primary = await running.replicated.primary()
            await running.signal_redis(signal.SIGKILL)
            await running.replicated.until_primary_is_not(primary)
            seq = (await conversation.send("after the failover")).seq
            await running.start_redis()
            await running.replicated.until_in_step(2)
        last = await running.replicated.primary()
        await running.stop()
        running = cluster()
        await running.start()
        assert running.replicated is not None
        assert await running.replicated.primary() == last
        assert last != primary
        async with ChatClient(running.urls, token) as ann:
            position = (await ann.join(conversation.id)).position
            assert position is not None
            assert position.seq >= seq
    finally:
        await running.stop()
