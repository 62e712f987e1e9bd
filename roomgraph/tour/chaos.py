"""Scene: all faults and actions, at times drawn from a seed, while everyone writes and the agents answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from roomgraph.check.checker import Report
from roomgraph.check.history import FINAL_TYPES
from roomgraph.tour.actions import Actions, Asking
from roomgraph.tour.chaos_nodes import STEPS, executions
from roomgraph.tour.faults import Faults
from roomgraph.tour.figures import percentiles, recovery
from roomgraph.tour.player import Happening
from roomgraph.tour.raw_people import RawPeople
from roomgraph.tour.schedule import REDIS_NETWORKS, ActionKind, FaultKind, Kind, schedule, schedule_actions
from roomgraph.tour.stage import WAIT_S, Stage
from roomgraph.tour.traffic import PAUSE_S, Traffic
from sio_server.tasks import end_tasks

ASKING = 3  # people who have something said back all the time, each in a conversation of their own
LINES_ASKED = 3  # so that an answer takes about a second
KEPT = 100  # entries of each conversation that a device keeps as they came
TIMELINE = 36  # characters


async def play_chaos(stage: Stage) -> dict[str, Any]:
    """Play and judge the scene: what is played is a matter of the seed and the duration alone."""
    texts, devices, cluster = stage.texts, stage.devices, stage.own_cluster()
    seed, duration = stage.seed, stage.duration
    planned = schedule(seed, duration, nodes=len(cluster.ports), devices=len(devices))
    if not cluster.redis_proxies:  # nodes find primaries by themselves, behind sentinels and of a Redis Cluster
        planned = tuple(fault for fault in planned if fault.kind not in REDIS_NETWORKS)
    for device in devices:
        device.keep = KEPT
    traffic, people = Traffic(stage), RawPeople(cluster, stage.recorder)
    clients = len(devices) + len(people.devices)
    stage.say("chaos.plan", clients=clients, nodes=len(cluster.ports), duration=f"{duration:g}", seed=seed)
    faults = Faults(cluster, devices)
    tasks: list[asyncio.Task[None]] = []
    over = asyncio.Event()
    try:
        await traffic.start(texts("chaos"))
        await people.start(traffic.conversation_id)
        asking = await _conversations(stage, traffic)
        actions = Actions(traffic, people, asking)
        booking = await traffic.open(texts("chaos"), "concierge")
        tasks += [asyncio.create_task(_ask(traffic, one, over)) for one in asking]
        tasks.append(asyncio.create_task(_book(traffic, booking, texts("approval.ask"), over)))
        asked = list(tasks)
        began = asyncio.get_running_loop().time()
        shown = partial(timeline, stage, [faults.happened, actions.happened], began)
        tasks.append(asyncio.create_task(_show(stage, traffic, shown, began)))
        done = schedule_actions(seed, duration, targets=actions.kinds)
        playing = (faults.play(planned, duration), actions.play(done, duration), asyncio.sleep(duration))
        tasks += (working := [asyncio.create_task(work) for work in playing])
        await asyncio.gather(*working)
        over.set()
        await asyncio.gather(traffic.stop(), people.stop(), *asked)
        unended = await traffic.runs_end()
        level = await traffic.level()
        late = await people.level(WAIT_S)
    finally:
        await traffic.cancel()
        await end_tasks(tasks)
        await people.close()
    if (
        cluster.replicated is None and cluster.redis_cluster is None
    ):  # checkpoints do not wait for replicas: a failover may take finished steps
        stage.recorder.execution(*executions(cluster))
    report = stage.judge()
    stage.console.print(shown(began + duration))
    return _tell(stage, report, _Outcome(faults, actions, traffic, level and not late, unended, late))


@dataclass(frozen=True)
class _Outcome:
    """What was seen besides the history."""

    faults: Faults
    actions: Actions
    traffic: Traffic
    level: bool
    unended: int
    late: list[str]


def _tell(stage: Stage, report: Report, outcome: _Outcome) -> dict[str, Any]:
    """Tell the verdict; returns the facts."""
    traffic, happened = outcome.traffic, outcome.faults.happened
    latency = percentiles(traffic.latencies())
    longest = recovery(traffic.arrivals(), [happening.spell for happening in happened])
    attempts = _attempts(stage, traffic)
    taken_over = sum(attempt > 1 for attempt in attempts.values())
    facts = {**report.counts(), "acked": report.acked, "runs": len(attempts), "taken_over": taken_over}
    stage.say("chaos.figures", **facts)
    p50, p99 = (f"{latency[name]:.0f}" for name in ("p50", "p99"))
    stage.say("chaos.latency", p50=p50, p99=p99, recovery=stage.seconds(longest))
    stage.tell_anomalies(report)
    if outcome.unended:
        stage.say("unended", count=outcome.unended)
    if outcome.late:
        stage.say("chaos.late", names=", ".join(outcome.late))
    ok = report.ok and outcome.level and not outcome.unended and longest is not None
    counts = {"faults": len(happened), "actions": len(outcome.actions.happened)}
    stage.verdict(ok, "chaos.verdict" if ok else "chaos.broken", **counts, **facts)
    if not ok:
        stage.say("chaos.again", seed=stage.seed, duration=f"{stage.duration:g}")
    return {
        "ok": ok,
        **facts,
        "seed": stage.seed,
        "duration_s": stage.duration,
        "faults": outcome.faults.counts(),
        "actions": outcome.actions.counts(),
        "recovery_s": longest and round(longest, 2),
        "latency_ms": latency,
    }


def _attempts(stage: Stage, traffic: Traffic) -> dict[str, int]:
    """In which attempt each run of the recorded logs has ended; a device that started over lacks old ones."""
    logs = stage.recorder.history().logs
    entries = chain.from_iterable(logs.get(conversation_id, ()) for conversation_id in traffic.asked)
    return {entry.run_id: entry.attempt or 1 for entry in entries if entry.type in FINAL_TYPES and entry.run_id}


async def _conversations(stage: Stage, traffic: Traffic) -> list[Asking]:
    """The conversations in which agents are asked all the time: the echo, and one whose steps are recorded."""
    found: list[Asking] = []
    for number, device in enumerate(stage.devices[:ASKING]):
        graph = STEPS if number == ASKING - 1 and STEPS in device.client.graphs else "echo"
        where = await traffic.open(stage.texts("chaos"), graph)
        text = " ".join(stage.people[number].line(line) for line in range(LINES_ASKED))
        found.append(Asking(device, where, text))
    return found


async def _ask(traffic: Traffic, asking: Asking, over: asyncio.Event) -> None:
    while not over.is_set():
        async with asking.lock:
            await traffic.ask(asking.device, asking.conversation_id, asking.text)
        await asyncio.sleep(PAUSE_S)


async def _book(traffic: Traffic, conversation_id: str, text: str, over: asyncio.Event) -> None:
    *_, other, device = traffic.devices
    while not over.is_set():
        await traffic.book(device, other, conversation_id, text)
        await asyncio.sleep(PAUSE_S)


async def _show(stage: Stage, traffic: Traffic, shown: Callable[[float], Table], began: float) -> None:
    """What is broken just now, drawn on a terminal."""
    if not stage.console.is_terminal:
        return
    loop, messages = asyncio.get_running_loop(), traffic.devices[0].messages[traffic.conversation_id]
    with Live(console=stage.console, transient=True, auto_refresh=False) as live:
        while True:
            now = loop.time()
            line = stage.texts(
                "chaos.now" if now - began < stage.duration else "chaos.settling",
                seconds=f"{now - began:.0f}",
                duration=f"{stage.duration:g}",
                count=len(messages),
            )
            live.update(Group(shown(now), Text("  " + line, style="dim")), refresh=True)
            await asyncio.sleep(0.2)


def timeline(stage: Stage, happened: Sequence[Sequence[Happening]], began: float, now: float) -> Table:
    """What was broken and done when, until now: a line for each kind."""
    texts, duration = stage.texts, stage.duration
    scale = f"0{f'{duration:g} s':>{TIMELINE - 1}}"
    table = stage.table(texts("chaos.fault"), "", scale)
    table.columns[1].justify = "right"
    of_kinds: dict[Kind, list[Happening]] = {kind: [] for kind in (*FaultKind, *ActionKind)}
    for happening in chain(*happened):
        of_kinds[happening.kind].append(happening)
    for kind, of_kind in of_kinds.items():
        if not of_kind:
            continue
        action = isinstance(kind, ActionKind)
        line, colour = Text("·" * TIMELINE, style="dim"), "cyan" if action else "yellow"
        for happening in of_kind:
            ended = (now if happening.ended is None else happening.ended) - began
            first = min(TIMELINE - 1, int((happening.began - began) / duration * TIMELINE))
            last = min(TIMELINE - 1, int(ended / duration * TIMELINE))
            line = line[:first] + Text("█" * (last - first + 1), style=colour) + line[last + 1 :]
        name = texts(f"action.{kind}") if action else texts(f"fault.{kind}")
        table.add_row(name, str(len(of_kind)), line)
    return table
