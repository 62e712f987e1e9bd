"""Scene: slots of a Redis Cluster move, primaries hand over, die and hang, a shard is cut off, under load."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass
from typing import Any

from roomgraph.tour.figures import level_at, percentiles
from roomgraph.tour.redis_failover import RUNS, ask_for_answers, back_after
from roomgraph.tour.stage import Stage
from roomgraph.tour.traffic import Traffic
from sio_server.local.redis_cluster import RedisCluster
from sio_server.store.partitions import partition, tag
from sio_server.store.slots import slot_of

BACK_S = 15.0  # at the most, until every device has something newer than the death of a primary
IN_FLIGHT_S = 0.25  # what comes within this time after a fault may have been written before it
CUT_S = 5.0  # so long a shard is cut off: longer than a lease
TURNS = 2  # times that each slot moves on


@dataclass
class _Step:
    """One fault: on which port, and when it began (of the event loop)."""

    name: str
    port: int
    began: float
    took_s: float | None = None  # until everyone had new messages; None: somebody never had


async def play_reshard(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene. One replica is waited for before anything is acked (`prepare_cluster`)."""
    texts, redis = stage.texts, stage.own_cluster().redis_cluster
    if redis is None:
        raise RuntimeError("this scene breaks a Redis Cluster: roomgraph up --redis cluster")
    traffic, steps, unended, runs, moved = Traffic(stage), list[_Step](), 0, list[str](), 0
    stage.say("reshard.plan", clients=len(stage.devices), shards=len(await redis.primaries()), runs=RUNS)
    try:
        await traffic.start(texts("reshard"))
        where = _slot(traffic.conversation_id)

        runs += await ask_for_answers(stage, traffic, "reshard")
        with stage.console.status(texts("reshard.moving")):
            for slot in TURNS * [where, *{_slot(asked) for asked in traffic.asked} - {where}]:
                await _move_on(redis, slot)
                moved += 1
            unended += await traffic.runs_end()
        stage.say("reshard.moved", slots=moved)

        runs += await ask_for_answers(stage, traffic, "reshard")
        with stage.console.status(texts("reshard.waiting")):
            for primary in await redis.primaries():
                step = _Step("planned", primary.port, asyncio.get_running_loop().time())
                after = await redis.hand_over(primary)
                await redis.until_whole()
                steps.append(step)
                stage.say("reshard.planned", before=primary.port, after=after)
            unended += await traffic.runs_end()

        for primary in await redis.primaries():
            runs += await ask_for_answers(stage, traffic, "reshard")
            # The one of the conversation hangs, and continues when it was replaced: what it has shown may be lost.
            hangs = any(first <= where <= last for first, last in primary.slots)
            step = _Step("paused" if hangs else "killed", primary.port, asyncio.get_running_loop().time())
            with stage.console.status(texts("reshard.waiting")):
                await redis.signal(primary.port, signal.SIGSTOP if hangs else signal.SIGKILL)
                try:
                    after = await redis.until_primary_is_not(primary.slots[0][0], primary.port)
                finally:
                    if hangs:
                        await redis.signal(primary.port, signal.SIGCONT)
                if not hangs:
                    await redis.start_server(primary.port)
                await redis.until_whole()
                unended += await traffic.runs_end()
            steps.append(step)
            stage.say(f"reshard.{step.name}", before=primary.port, after=after)

        runs += await ask_for_answers(stage, traffic, "reshard")
        with stage.console.status(texts("reshard.waiting")):
            step = await _cut_off_another(redis, where)
            unended += await traffic.runs_end()
        steps.append(step)
        stage.say("reshard.cut", port=step.port, seconds=stage.seconds(CUT_S))
        await traffic.stop()
        level = await traffic.level()
    finally:
        await traffic.cancel()
    report = stage.judge()

    arrivals = traffic.arrivals()
    for step in steps:
        step.took_s = back_after(level_at(arrivals, step.began + IN_FLIGHT_S), step.began)
        stage.say("reshard.back", port=step.port, seconds=stage.seconds(step.took_s))
    ends = traffic.runs()
    once = sum(len(ends.get(run_id, ())) == 1 for run_id in runs)
    stage.say("reshard.runs", runs=len(runs), once=once)
    stage.tell_anomalies(report)
    known = [step.took_s for step in steps if step.took_s is not None]
    longest = max(known) if len(known) == len(steps) else None
    in_time = longest is not None and longest <= BACK_S
    # The conversation is on another shard than the one that is cut off, so nobody waits for that.
    served = steps[-1].took_s is not None and steps[-1].took_s < CUT_S
    ok = report.ok and level and once == len(runs) and not unended and in_time and served
    stage.verdict(ok, "reshard.verdict", recovery=stage.seconds(longest), **report.counts())
    kinds = Counter(step.name for step in steps)
    return {
        "ok": ok,
        **report.counts(),
        "acked": report.acked,
        "faults": {
            "slot_move": moved,
            "planned_failover": kinds["planned"],
            "redis_kill": kinds["killed"],
            "redis_pause": kinds["paused"],
            "shard_cut": 1,
        },
        "recovery_s": longest and round(longest, 2),
        "latency_ms": percentiles(traffic.latencies()),
        "runs": len(runs),
        "steps": [
            {"fault": step.name, "port": step.port, "back_s": step.took_s and round(step.took_s, 2)}
            for step in steps
        ],
    }


def _slot(conversation_id: str) -> int:
    return slot_of(tag(partition(conversation_id)))


async def _move_on(redis: RedisCluster, slot: int) -> None:
    """Move a slot to the primary behind the one that has it."""
    primaries = await redis.primaries()
    source = await redis.primary_of(slot)
    at = next(number for number, one in enumerate(primaries) if one.port == source.port)
    await redis.move_slot(slot, source, primaries[(at + 1) % len(primaries)])


async def _cut_off_another(redis: RedisCluster, slot: int) -> _Step:
    """Cut off a shard that does not have this slot, its primary and its replica, for CUT_S seconds."""
    members = await redis.members()
    primary = next(
        one for one in await redis.primaries() if not any(first <= slot <= last for first, last in one.slots)
    )
    ports = [primary.port, *(one.port for one in members if one.follows == primary.server_id)]
    step = _Step("cut", primary.port, asyncio.get_running_loop().time())
    try:
        for port in ports:
            await redis.signal(port, signal.SIGSTOP)
        await asyncio.sleep(CUT_S)  # the fault lasts so long
    finally:
        for port in ports:
            await redis.signal(port, signal.SIGCONT)
    await redis.until_whole()
    return step
