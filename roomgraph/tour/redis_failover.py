"""Scene: the primary of a replicated Redis is killed, the next one paused, and one handed over, under load."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

from roomgraph.tour.breaking import start_again
from roomgraph.tour.figures import level_at, percentiles
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.stage import Stage
from roomgraph.tour.traffic import Traffic
from roomgraph.tour.watch import RunWatch
from sio_server.local.cluster import REPLICAS
from sio_server.local.replicated import ReplicatedRedis

RUNS = 3  # are answered in each step
ASKED_AGAIN = 3  # times at the most, when all of them have ended before everyone saw them
LINES_ASKED = 32  # so that an answer takes some seconds
ENOUGH = 20  # characters of each answer that everyone shows before the fault
BACK_S = 20.0  # at the most, until every device has something newer than the fault: two elections, 10 s apart
IN_FLIGHT_S = 0.25  # what comes within this time after a fault may have been written before it

End = Callable[[], Awaitable[None]]


@dataclass
class _Step:
    """One fault: which server was the primary, which is it now, and when it began (of the event loop).

    A planned failover begins when the sentinels name the new primary: until then all is well.
    """

    name: str
    before: int
    after: int
    began: float
    hit: int = 0  # runs that had not ended when it began


async def play_redis_failover(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene. One replica is waited for before anything is acked (`prepare_cluster`).

    All are waited for in the planned failover: an ack of fewer can be one of the old primary, as a replica.
    """
    texts, cluster = stage.texts, stage.own_cluster()
    redis = cluster.replicated
    if redis is None:
        raise RuntimeError("this scene breaks a replicated Redis: roomgraph up --redis sentinel")
    stage.say("redis-failover.plan", clients=len(stage.devices), replicas=REPLICAS, runs=RUNS)
    traffic, steps, unended, runs = Traffic(stage), list[_Step](), 0, list[str]()
    try:
        await traffic.start(texts("redis-failover"))
        for name, fault in (("killed", _kill), ("paused", _pause), ("planned", _hand_over)):
            if name == "planned":
                await _wait_for_all_replicas(cluster)
                stage.say("redis-failover.all", replicas=REPLICAS)
            asked = await ask_for_answers(stage, traffic, "redis-failover")
            runs += asked
            with stage.console.status(texts("redis-failover.waiting")):
                hit = len(set(asked) - traffic.runs().keys())
                step = replace(await _fail_over(redis, name, fault), hit=hit)
                unended += await traffic.runs_end()
            steps.append(step)
            stage.say(f"redis-failover.{name}", before=step.before, after=step.after)
        await traffic.stop()
        level = await traffic.level()
    finally:
        await traffic.cancel()
    report = stage.judge()

    arrivals = traffic.arrivals()
    times = [back_after(level_at(arrivals, step.began + IN_FLIGHT_S), step.began) for step in steps]
    acked = [back_after(_acked_after(stage, step.began + IN_FLIGHT_S), step.began) for step in steps]
    for step, took, until_acked in zip(steps, times, acked, strict=True):
        told = {"seconds": stage.seconds(took), "acked": stage.seconds(until_acked)}
        stage.say("redis-failover.back", primary=step.before, **told)
    ends = traffic.runs()
    once = sum(len(ends.get(run_id, ())) == 1 for run_id in runs)
    stage.say("redis-failover.runs", runs=len(runs), once=once)
    stage.tell_anomalies(report)
    known = [took for took in times if took is not None]
    longest = max(known) if len(known) == len(times) else None
    # What `until_in_step` waits for limits a planned one: the second replica hears of it from Sentinel only.
    unplanned = [took for step, took in zip(steps, times, strict=True) if step.name != "planned"]
    in_time = longest is not None and all(took is not None and took <= BACK_S for took in unplanned)
    all_hit = all(step.hit for step in steps)  # otherwise nothing was tried of runs
    ok = report.ok and level and once == len(runs) and not unended and in_time and all_hit and None not in acked
    stage.verdict(ok, "redis-failover.verdict", recovery=stage.seconds(longest), **report.counts())
    return {
        "ok": ok,
        **report.counts(),
        "acked": report.acked,
        "faults": {"redis_kill": 1, "redis_pause": 1, "planned_failover": 1},
        "recovery_s": longest and round(longest, 2),
        "latency_ms": percentiles(traffic.latencies()),
        "runs": len(runs),
        "steps": [
            {
                "fault": step.name,
                "from": step.before,
                "to": step.after,
                "back_s": took and round(took, 2),
                "acked_s": until_acked and round(until_acked, 2),
                "runs_hit": step.hit,
            }
            for step, took, until_acked in zip(steps, times, acked, strict=True)
        ],
    }


async def ask_for_answers(stage: Stage, traffic: Traffic, title: str) -> list[str]:
    """Ask for RUNS answers, and wait until everyone sees that they are given; returns the ids of the runs.

    On a machine that stands still they may have ended by then: it is asked again, and all runs are returned.
    """
    runs: list[str] = []
    for _ in range(ASKED_AGAIN):
        asked = [await traffic.open(stage.texts(title), "echo") for _ in range(RUNS)]
        watch = RunWatch(stage.devices, *asked)
        text = " ".join(stage.people[0].line(number) for number in range(LINES_ASKED))
        by = [stage.devices[number % len(stage.devices)] for number in range(RUNS)]
        acks = await asyncio.gather(*(device.send(where, text) for device, where in zip(by, asked, strict=True)))
        new = [ack.run_id or "" for ack in acks]
        runs += new
        await watch.until(partial(_are_shown, watch, new))
        if not watch.ended.keys() >= set(new):
            break
    return runs


def _are_shown(watch: RunWatch, run_ids: list[str]) -> bool:
    """Whether everyone shows something of each run that has not ended."""
    return all(
        run_id in watch.ended or all(len(shown) >= ENOUGH for shown in watch.shown(run_id, watch.attempt(run_id)))
        for run_id in run_ids
    )


async def _fail_over(
    redis: ReplicatedRedis, name: str, fault: Callable[[ReplicatedRedis, int], Awaitable[End]]
) -> _Step:
    """Break the primary, wait until there is another, and bring the old one back as its replica."""
    before, began = await redis.primary(), asyncio.get_running_loop().time()
    end = await fault(redis, before)
    if fault is _hand_over:
        began = asyncio.get_running_loop().time()
    try:
        after = await redis.until_primary_is_not(before)
    finally:
        await end()
    await redis.until_in_step(REPLICAS)
    return _Step(name, before, after, began)


async def _kill(redis: ReplicatedRedis, port: int) -> End:
    await redis.signal(port, signal.SIGKILL)
    return lambda: redis.start_server(port)


async def _pause(redis: ReplicatedRedis, port: int) -> End:
    await redis.signal(port, signal.SIGSTOP)
    return lambda: redis.signal(port, signal.SIGCONT)


async def _hand_over(redis: ReplicatedRedis, port: int) -> End:
    await redis.hand_over()

    async def nothing_to_end() -> None: ...

    return nothing_to_end


async def _wait_for_all_replicas(cluster: OwnCluster) -> None:
    """Restart the nodes one after another, so that an ack means that all replicas have it."""
    cluster.settings["DURABLE_REPLICAS"] = str(REPLICAS)
    for port in cluster.ports:
        if cluster.is_running(port):
            await cluster.signal_node(port, signal.SIGTERM)
        await start_again(cluster, port)


def _acked_after(stage: Stage, moment: float) -> dict[str, float | None]:
    """When each device got its first ack after a moment; None: never."""
    acked: dict[str, float | None] = {device.name: None for device in stage.devices}
    for send in stage.recorder.sends():
        if send.outcome == "ok" and send.completed is not None and send.completed > moment:
            acked[send.device] = min(send.completed, acked[send.device] or inf)
    return acked


def back_after(level: dict[str, float | None], began: float) -> float | None:
    """How long after the fault the last device had something newer; None: one never had."""
    times = [at for at in level.values() if at is not None]
    return max(times, default=began) - began if len(times) == len(level) else None
