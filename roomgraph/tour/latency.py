"""Scene: all networks are slow, then one node is cut off from Redis, then all is well again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from roomgraph.tour.figures import level_at, percentiles
from roomgraph.tour.own import OwnNetwork
from roomgraph.tour.stage import Stage
from roomgraph.tour.traffic import Traffic

STEPS = ((100, 20), (500, 100))  # milliseconds there and back, and up to how many more
STEP_S = 4.0
CUT_OFF_S = 8.0
NOT_READY_S = 5.0  # a node that is cut off says so by then at the latest
AWAY_S = 6.0  # its devices are caught up on other nodes: it sends them away within 5 s, and they pause up to 0.5 s
LOOK_S = 0.05
ASKING = 2  # people who have something said back while the network is slow


async def play_latency(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene."""
    texts, devices, cluster = stage.texts, stage.devices, stage.own_cluster()
    stage.say("latency.plan", clients=len(devices), nodes=len(cluster.ports))
    traffic = Traffic(stage)
    try:
        await traffic.start(texts("latency"))
        for _ in range(ASKING):
            await traffic.open(texts("latency"), "echo")
        steps = [await _slow(stage, traffic, ms, jitter) for ms, jitter in STEPS]
        _tell(stage, steps)
        cut_off = await _cut_off(stage, traffic)
        await traffic.stop()
        level = await traffic.level()
    finally:
        await traffic.cancel()
    report = stage.judge()
    healed_at = cut_off.pop("healed_at")
    times = level_at(traffic.arrivals(), healed_at).values()
    recovery = None if None in times else max(at for at in times if at is not None) - healed_at
    again = stage.seconds(cut_off["ready_again_s"], "after")
    stage.say("latency.healed", ready=again, level=stage.seconds(recovery, "after"))
    stage.tell_anomalies(report)
    taken_over = sum(step["taken_over"] for step in steps)
    limits = {"not_ready_s": NOT_READY_S, "moved_s": AWAY_S}
    in_time = all(cut_off[name] is not None and cut_off[name] <= limit for name, limit in limits.items())
    in_time = in_time and cut_off["was_ready"]
    ok = report.ok and level and not taken_over and in_time and recovery is not None
    ok = ok and cut_off["ready_again_s"] is not None and all(step["runs"] for step in steps)
    counts = report.counts()
    stage.verdict(ok, "latency.verdict" if ok else "latency.broken", taken_over=taken_over, **cut_off, **counts)
    return {
        "ok": ok,
        **counts,
        "acked": report.acked,
        "faults": {"slow": len(STEPS), "partition": 1},
        "recovery_s": recovery and round(recovery, 2),
        "latency_ms": percentiles(time for step in steps for time in step.pop("times")),
        "steps": steps,
        **cut_off,
    }


async def _slow(stage: Stage, traffic: Traffic, ms: int, jitter: int) -> dict[str, Any]:
    """Everything is so slow for a while; what was asked for meanwhile is waited for."""
    cluster, loop = stage.own_cluster(), asyncio.get_running_loop()
    networks = [*cluster.node_proxies.values(), *cluster.redis_proxies.values()]
    text = stage.people[0].line(0)
    began = loop.time()
    with stage.console.status(stage.texts("latency.waiting", ms=ms)):
        _delay(networks, ms / 1000, jitter / 1000)
        try:
            asking = [
                traffic.ask(device, where, text)
                for device, where in zip(stage.devices, traffic.asked, strict=False)
            ]
            answers = await asyncio.gather(*asking)
            await asyncio.sleep(max(0.0, began + STEP_S - loop.time()))
            ended = loop.time()
            # What is on its way arrives as late as the rest: it goes to a node, to Redis, and all that back.
            await asyncio.sleep(2 * (ms + jitter) / 1000)
        finally:
            _delay(networks, 0.0, 0.0)
    times = traffic.latencies(since=began, until=ended)
    attempts = [answer.data["attempt"] for answer in answers if answer is not None]
    return {
        "delay_ms": ms,
        "jitter_ms": jitter,
        **percentiles(times),
        "runs": len(attempts),
        "taken_over": sum(attempt > 1 for attempt in attempts),
        "times": times,
    }


def _delay(networks: Iterable[OwnNetwork], delay_s: float, jitter_s: float) -> None:
    for network in networks:
        for direction in (network.up, network.down):
            direction.delay_s, direction.jitter_s = delay_s / 2, jitter_s / 2


def _tell(stage: Stage, steps: list[dict[str, Any]]) -> None:
    texts = stage.texts
    names = ("latency.step", "latency.half", "latency.most", "latency.runs", "latency.attempts")
    table = stage.table("", *(texts(name) for name in names))
    for column in table.columns[2:]:
        column.justify = "right"
    for step in steps:
        mark = "[green]✔[/]" if step["runs"] and not step["taken_over"] else "[red]✘[/]"
        delay = texts("latency.delay", ms=step["delay_ms"], jitter=step["jitter_ms"])
        times = (texts("latency.ms", value=f"{step[name]:.0f}") for name in ("p50", "p99"))
        table.add_row(mark, delay, *times, str(step["runs"]), str(step["taken_over"]))
    stage.console.print(table)


async def _cut_off(stage: Stage, traffic: Traffic) -> dict[str, Any]:
    """Nothing passes between Redis and a node that people are on, for a while."""
    cluster, loop = stage.own_cluster(), asyncio.get_running_loop()
    node = stage.devices[-1].client.node
    port = int(node)
    there = [device for device in stage.devices if device.client.node == node]
    network = cluster.redis_proxies[port]

    async def not_ready() -> bool:
        return not await stage.is_ready(port)

    async def moved() -> bool:
        return all(device.client.node != node and device.client.online for device in there)

    async def ready() -> bool:
        return await stage.is_ready(port)

    # Slow networks are no reason not to be ready.
    was_ready = await _after(ready, LOOK_S) is not None
    stage.say("latency.cut_off", node=node, seconds=f"{CUT_OFF_S:g}")
    began = loop.time()
    network.up.blackhole = network.down.blackhole = True
    try:
        seen = await asyncio.gather(_after(not_ready, CUT_OFF_S), _after(moved, CUT_OFF_S))
        stayed = sum(device.client.node == node for device in there)
        await asyncio.sleep(max(0.0, began + CUT_OFF_S - loop.time()))
    finally:
        network.up.blackhole = network.down.blackhole = False
    healed_at = loop.time()
    times = {"ready": stage.seconds(seen[0], "after"), "moved": stage.seconds(seen[1], "after")}
    stage.say("latency.not_ready", devices=len(there), **times)
    return {
        "node": node,
        "was_ready": was_ready,
        "not_ready_s": seen[0],
        "moved_s": seen[1],
        "stayed": stayed,
        "ready_again_s": await _after(ready, CUT_OFF_S),
        "healed_at": healed_at,
    }


async def _after(holds: Callable[[], Any], timeout: float) -> float | None:
    """In how many seconds from now on it holds; None when it does not in time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < timeout:
        if await holds():
            return round(loop.time() - began, 2)
        await asyncio.sleep(LOOK_S)
    return None
