"""What each setting loses in a failover, as docs/failover.md says: measured with SOAK=1, with real servers."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from roomgraph.check import AnomalyKind
from sio_server.local.replicated import SERVICE, ReplicatedRedis
from tests.engines import engine
from tests.faults.load import Load, loaded
from tests.faults.sentinels import cable, nodes_on, replicated_redis

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not os.environ.get("SOAK"), reason="half a minute each: SOAK=1"),
]

CUT_S = 8.0


async def lost_of(load: Load) -> int:
    """How many acked messages are lost, when the load is over; prints the figure."""
    await load.stop()
    report = await load.report(30)
    lost = sum(anomaly.kind == AnomalyKind.LOST_ACKED for anomaly in report.anomalies)
    print(f"lost {lost} of {report.acked} acked; {report.counts()}")
    assert load.unknown == 0
    return lost


async def cut_off(load: Load, redis: ReplicatedRedis, wire, cut_s: float) -> int:
    """The primary and the nodes are cut off for a while; returns how many were acked meanwhile."""
    load.start()
    await load.until_acked(50)
    primary, before = await redis.primary(), load.acked
    wire.cut()
    await asyncio.sleep(cut_s)
    meanwhile = load.acked - before
    wire.mend()
    began = time.monotonic()
    await redis.until_primary_is_not(primary)
    await load.until_acked(1, 30)
    print(f"acked while cut off: {meanwhile}; acked again after {time.monotonic() - began:.2f} s")
    await load.until_acked(50, 30)
    return meanwhile


@pytest.mark.parametrize(
    ("durable", "min_replicas", "near_replicas"), [("0", 0, 0), ("0", 1, 0), ("1", 0, 0), ("1", 0, 1), ("2", 0, 0)]
)
async def test_a_primary_that_is_cut_off_with_its_nodes(tmp_path, durable, min_replicas, near_replicas):
    with cable() as wire:
        async with (
            replicated_redis(tmp_path, far=wire.far, near_replicas=near_replicas) as redis,
            nodes_on(redis, tmp_path, DURABLE_REPLICAS=durable) as cluster,
            loaded(cluster, 4) as load,
        ):
            for port in redis.ports:
                await redis.ask(port, "CONFIG", "SET", "min-replicas-to-write", min_replicas)
            # A replica counts for `min-replicas-max-lag`, which is 10 s.
            await cut_off(load, redis, wire, 15.0 if min_replicas else CUT_S)
            lost = await lost_of(load)
            # A replica on the primary's side confirms what the other one never gets: then something may be lost.
            if durable != "0" and near_replicas == 0:
                assert lost == 0


async def planned(tmp_path, durable: str, *how: str, mark_s: float = 60) -> int:
    async with (
        replicated_redis(tmp_path) as redis,
        nodes_on(redis, tmp_path, DURABLE_REPLICAS=durable) as cluster,
        loaded(cluster, 4) as load,
    ):
        load.start()
        await load.until_acked(200)
        primary, began = await redis.primary(), time.monotonic()
        await redis.ask(redis.sentinel_ports[0], "SENTINEL", "FAILOVER", SERVICE, *how)
        await redis.until_primary_is_not(primary)
        await load.until_acked(1 + len(load.devices), mark_s)
        print(f"acked again after {time.monotonic() - began:.2f} s")
        await load.until_acked(50, mark_s)
        return await lost_of(load)


@pytest.mark.parametrize("durable", ["0", "1", "2"])
async def test_a_planned_failover(tmp_path, durable):
    lost = await planned(tmp_path, durable)
    assert lost == 0 or durable != "2"


@pytest.mark.parametrize("durable", ["0", "1"])
async def test_a_planned_failover_that_valkey_coordinates_loses_nothing(tmp_path, monkeypatch, durable):
    monkeypatch.setenv("REDIS_SERVER", engine("valkey"))
    assert await planned(tmp_path, durable, "COORDINATED") == 0
