"""Scene: a node is killed while everyone writes and it is answering, and is started again."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.breaking import start_again
from roomgraph.tour.figures import level_at, percentiles
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.stage import Stage
from roomgraph.tour.traffic import Traffic
from roomgraph.tour.watch import RunWatch

RUNS = 6
LINES_ASKED = 32  # so that an answer takes some seconds
ENOUGH = 20  # characters of each answer that everyone shows before the kill
BEHIND_S = 3.0  # at the most, on a device whose node was killed
OTHERS_MS = 1000.0  # at the most, 99 of 100 messages between the others


async def play_node_failure(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene."""
    texts, devices, cluster = stage.texts, stage.devices, stage.own_cluster()
    loop = asyncio.get_running_loop()
    stage.say("node-failure.plan", clients=len(devices), nodes=len(cluster.ports), runs=RUNS)
    traffic = Traffic(stage)
    try:
        await traffic.start(texts("node-failure"))
        asked = [await traffic.open(texts("node-failure"), "echo") for _ in range(RUNS)]
        watch = RunWatch(devices, *asked)
        by_people = [(devices[number % len(devices)], where) for number, where in enumerate(asked)]
        text = " ".join(stage.people[0].line(number) for number in range(LINES_ASKED))
        acks = await asyncio.gather(*(device.send(where, text) for device, where in by_people))
        runs = [ack.run_id or "" for ack in acks]
        await watch.until(lambda: all(_is_shown(watch, run_id) for run_id in runs))
        port = _busiest(cluster, devices, watch, runs)
        was_on = {device.name: device.client.node for device in devices}
        theirs = [run_id for run_id in runs if _node(watch, run_id, 1) == str(port) and run_id not in watch.ended]
        killed_at = loop.time()
        await cluster.signal_node(port, signal.SIGKILL)
        hit = [device for device in devices if was_on[device.name] == str(port)]
        stage.say("node-failure.killed", node=port, devices=len(hit), runs=len(theirs))
        with stage.console.status(texts("node-failure.waiting")):
            # A node that is started at once might be quick enough to take its own answers over.
            await watch.until(lambda: all(run in watch.ended or watch.attempt(run) > 1 for run in theirs))
            started_at = loop.time()
            await start_again(cluster, port)
            ready_at = loop.time()
            unended = await traffic.runs_end()
            await traffic.stop()
            level = await traffic.level()
    finally:
        await traffic.cancel()
    report = stage.judge()

    behind = {
        name: None if at is None else max(0.0, at - killed_at)
        for name, at in level_at(traffic.arrivals(), killed_at).items()
    }
    table = stage.table("", texts("client"), texts("node"), texts("behind"), texts("sent"), texts("from_others"))
    for column in table.columns[3:]:
        column.justify = "right"
    moved = []
    for device in devices:
        before, after, late = was_on[device.name], device.client.node, behind[device.name]
        gone = late is None or late > BEHIND_S or (device in hit and after == before)
        where = before if before == after else f"{before} → {after}"
        counts = map(str, traffic.counts(device))
        table.add_row("[red]✘[/]" if gone else "[green]✔[/]", device.name, where, stage.seconds(late), *counts)
        if device in hit:
            moved.append({"name": device.name, "from": before, "to": after, "behind_s": late and round(late, 2)})
    stage.console.print(table)

    ends = traffic.runs()
    once = sum(len(ends.get(run_id, ())) == 1 for run_id in runs)
    takers = [(_node(watch, run_id, 2), watch.started.get((run_id, 2), ("", killed_at))[1]) for run_id in theirs]
    # One may have ended just before the kill, which nobody could know yet.
    over = sum(ends[run_id][0].attempt > 1 for run_id in theirs if run_id in ends)
    takeover_s = round(max((at for _, at in takers), default=killed_at) - killed_at, 2)
    runs_ok = once == len(runs) and over > 0 and not unended
    if runs_ok:
        by = texts("recovery.and").join(sorted({node for node, _ in takers if node})) or "–"
        stage.say("node-failure.runs", by=by, seconds=takeover_s, runs=once)
    else:
        counted = {"over": over, "taken": len(theirs), "runs": len(runs), "ended": once}
        stage.say("node-failure.runs_broken", **counted)
    others = [device for device in devices if device not in hit]
    latency = percentiles(traffic.latencies(others, since=killed_at, until=ready_at))
    stage.say("node-failure.others", **latency)
    stage.say("node-failure.ready", node=port, seconds=round(ready_at - started_at, 1))
    stage.tell_anomalies(report)
    times = [late for late in behind.values() if late is not None]
    longest = max(times) if len(times) == len(behind) else None
    ok = report.ok and level and runs_ok and latency["p99"] <= OTHERS_MS
    ok = ok and longest is not None and longest <= BEHIND_S and all(item["to"] != item["from"] for item in moved)
    stage.verdict(ok, "node-failure.verdict", recovery=stage.seconds(longest), **report.counts())
    return {
        "ok": ok,
        **report.counts(),
        "acked": report.acked,
        "faults": {"node_kill": 1},
        "recovery_s": longest and round(longest, 2),
        "latency_ms": latency,
        "node": str(port),
        "moved": moved,
        "runs": len(runs),
        "runs_taken_over": over,
        "takeover_s": takeover_s,
    }


def _node(watch: RunWatch, run_id: str, attempt: int) -> str:
    return watch.started.get((run_id, attempt), ("", 0.0))[0]


def _is_shown(watch: RunWatch, run_id: str) -> bool:
    return run_id in watch.ended or all(len(text) >= ENOUGH for text in watch.shown(run_id, watch.attempt(run_id)))


def _busiest(cluster: OwnCluster, devices: list[RecordedDevice], watch: RunWatch, runs: list[str]) -> int:
    """Of the nodes that people are on the one that gives the most answers."""
    giving = Counter(_node(watch, run_id, 1) for run_id in runs if run_id not in watch.ended)
    peopled = {device.client.node for device in devices}
    return max((port for port in cluster.ports if str(port) in peopled), key=lambda port: giving[str(port)])
