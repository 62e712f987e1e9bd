"""Scene: all faults, at times drawn from a seed, while everyone writes and the agent answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.faults import Faults, Happening
from roomgraph.tour.figures import percentiles, recovery
from roomgraph.tour.schedule import FaultKind, schedule
from roomgraph.tour.stage import Stage
from roomgraph.tour.traffic import PAUSE_S, Traffic
from sio_server.tasks import end_tasks

ASKING = 2  # people who have something said back all the time, each in a conversation of their own
LINES_ASKED = 3  # so that an answer takes about a second
TIMELINE = 36  # characters


async def play_chaos(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene: what is played is a matter of the seed and the duration alone."""
    texts, devices, cluster = stage.texts, stage.devices, stage.own_cluster()
    seed, duration = stage.seed, stage.duration
    planned = schedule(seed, duration, nodes=len(cluster.ports), devices=len(devices))
    stage.say("chaos.plan", clients=len(devices), nodes=len(cluster.ports), duration=f"{duration:g}", seed=seed)
    traffic = Traffic(stage)
    faults = Faults(cluster, devices)
    tasks: list[asyncio.Task[None]] = []
    over = asyncio.Event()
    try:
        await traffic.start(texts("chaos"))
        for number, device in enumerate(devices[:ASKING]):
            where = await traffic.open(texts("chaos"), "echo")
            text = " ".join(stage.people[number].line(line) for line in range(LINES_ASKED))
            tasks.append(asyncio.create_task(_ask(traffic, device, where, text, over)))
        booking = await traffic.open(texts("chaos"), "concierge")
        tasks.append(asyncio.create_task(_book(traffic, booking, texts("approval.ask"), over)))
        asking = list(tasks)
        began = asyncio.get_running_loop().time()
        tasks.append(asyncio.create_task(_show(stage, traffic, faults, began)))
        await faults.play(planned, duration)
        await asyncio.sleep(max(0.0, began + duration - asyncio.get_running_loop().time()))
        over.set()
        await asyncio.gather(traffic.stop(), *asking)
        unended = await traffic.runs_end()
        level = await traffic.level()
    finally:
        await traffic.cancel()
        await end_tasks(tasks)
    report = stage.judge()
    stage.console.print(timeline(stage, faults.happened, began, began + duration))

    latency = percentiles(traffic.latencies())
    longest = recovery(traffic.arrivals(), [happening.spell for happening in faults.happened])
    runs = traffic.runs()
    taken_over = sum(finals[0].data["attempt"] > 1 for finals in runs.values())
    facts = {**report.counts(), "acked": report.acked, "runs": len(runs), "taken_over": taken_over}
    stage.say("chaos.figures", **facts)
    p50, p99 = (f"{latency[name]:.0f}" for name in ("p50", "p99"))
    stage.say("chaos.latency", p50=p50, p99=p99, recovery=stage.seconds(longest))
    stage.tell_anomalies(report)
    if unended:
        stage.say("unended", count=unended)
    ok = report.ok and level and not unended and longest is not None
    count = len(faults.happened)
    stage.verdict(ok, "chaos.verdict" if ok else "chaos.broken", faults=count, **facts)
    told = {
        "ok": ok,
        **facts,
        "seed": seed,
        "duration_s": duration,
        "faults": faults.counts(),
        "recovery_s": longest and round(longest, 2),
        "latency_ms": latency,
        "anomalies": [{"kind": anomaly.kind, "detail": anomaly.detail} for anomaly in report.anomalies],
    }
    if ok:
        return told
    stage.say("chaos.again", seed=seed, duration=f"{duration:g}")
    history = stage.keep_history(f"roomgraph-chaos-{seed}-")
    stage.say("chaos.history", path=history)
    return {**told, "history": history}


async def _ask(
    traffic: Traffic, device: RecordedDevice, conversation_id: str, text: str, over: asyncio.Event
) -> None:
    while not over.is_set():
        await traffic.ask(device, conversation_id, text)
        await asyncio.sleep(PAUSE_S)


async def _book(traffic: Traffic, conversation_id: str, text: str, over: asyncio.Event) -> None:
    *_, other, device = traffic.devices
    while not over.is_set():
        await traffic.book(device, other, conversation_id, text)
        await asyncio.sleep(PAUSE_S)


async def _show(stage: Stage, traffic: Traffic, faults: Faults, began: float) -> None:
    """What is broken just now, where somebody looks."""
    if not stage.console.is_terminal:
        return
    loop = asyncio.get_running_loop()
    with Live(console=stage.console, transient=True, auto_refresh=False) as live:
        while True:
            now = loop.time()
            count = len(traffic.arrivals(traffic.devices[:1])[traffic.devices[0].name])
            line = stage.texts(
                "chaos.now" if now - began < stage.duration else "chaos.settling",
                seconds=f"{now - began:.0f}",
                duration=f"{stage.duration:g}",
                count=count,
            )
            live.update(
                Group(timeline(stage, faults.happened, began, now), Text("  " + line, style="dim")), refresh=True
            )
            await asyncio.sleep(0.2)


def timeline(stage: Stage, happened: Sequence[Happening], began: float, now: float) -> Table:
    """What was broken when, until now: a line for each kind."""
    texts, duration = stage.texts, stage.duration
    scale = f"0{f'{duration:g} s':>{TIMELINE - 1}}"
    table = stage.table(texts("chaos.fault"), "", scale)
    table.columns[1].justify = "right"
    for kind in FaultKind:
        of_kind = [happening for happening in happened if happening.fault.kind == kind]
        if not of_kind:
            continue
        line = Text("·" * TIMELINE, style="dim")
        for happening in of_kind:
            ended = (now if happening.ended is None else happening.ended) - began
            first = min(TIMELINE - 1, int((happening.began - began) / duration * TIMELINE))
            last = min(TIMELINE - 1, int(ended / duration * TIMELINE))
            line = line[:first] + Text("█" * (last - first + 1), style="yellow") + line[last + 1 :]
        table.add_row(texts(f"fault.{kind}"), str(len(of_kind)), line)
    return table
