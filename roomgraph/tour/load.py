"""Scene: a hundred clients, then thousands, as far as the machine goes; what they get is counted one by one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from roomgraph.load import Figures, Fleet, WireError
from roomgraph.load.processes import Machine, Processes, Usage
from roomgraph.tour.stage import Stage
from sio_clients.errors import NotConnected, RoomgraphError

RAMP = (100, 500, 1000, 2000, 4000)
EVERY_S = 10.0  # between two messages of one person
TALK_S = 8.0
SETTLE_S = 15.0
LOOK_S = 0.5
SLOW_MS = 1000.0  # a step does not hold when 1 % of the deliveries take longer
BUSY = 0.9  # of all cores: with what is used here there is no room for more
ENOUGH_S = 55.0  # no step begins later, so that the scene ends within a minute and a half
GONE_S = 20.0
THIS = "clients"  # the process that plays the scene
BARS = "▁▂▃▄▅▆▇█"


@runtime_checkable
class HasProcesses(Protocol):
    """A cluster on this machine, whose processes can be looked at: "redis" and "node-9000"."""

    @property
    def pids(self) -> Mapping[str, int]: ...


@dataclass
class Step:
    """What was seen with so many clients."""

    clients: int
    figures: Figures
    seconds: float
    lost: int
    machine: float | None
    cpu: dict[str, float]
    memory: dict[str, int]

    @property
    def rate(self) -> int:
        """Deliveries in a second."""
        return round(self.figures.delivered / self.seconds)

    @property
    def whole(self) -> bool:
        """Nothing was lost, and nothing came twice, out of order or changed."""
        figures = self.figures
        wrong = figures.duplicated + figures.reordered + figures.differing + figures.misplaced + figures.resets
        return self.lost == 0 and wrong == 0 and figures.refused == 0

    @property
    def quick(self) -> bool:
        """Whether all that was sent was acked, and soon enough."""
        return self.figures.acked == self.figures.sent and self.p99 <= SLOW_MS

    @property
    def p99(self) -> float:
        return self.figures.latency.percentiles_ms()["p99"]

    def facts(self) -> dict[str, Any]:
        figures = self.figures
        return {
            "clients": self.clients,
            "held": self.whole and self.quick,
            "deliveries_per_s": self.rate,
            "latency_ms": figures.latency.percentiles_ms(),
            "ack_ms": figures.acks.percentiles_ms(),
            "sent": figures.sent,
            "acked": figures.acked,
            "delivered": figures.delivered,
            "lost": self.lost,
            "machine_busy": None if self.machine is None else round(self.machine, 2),
            "cpu": {name: round(share, 2) for name, share in self.cpu.items()},
            "memory_mb": {name: round(size / 2**20) for name, size in self.memory.items()},
        }


async def play_load(stage: Stage) -> dict[str, Any] | None:
    """Play and judge the scene."""
    stage.say("load.plan", clients=RAMP[0], every=round(EVERY_S), most=RAMP[-1])
    began = time.monotonic()
    before = (await stage.status())["active_sessions"]
    fleet = Fleet(stage.urls)
    chart = _Chart(stage, fleet)
    steps: list[Step] = []
    try:
        with chart:
            for clients in RAMP:
                if steps and (reason := _limit(steps[-1], began)) is not None:
                    stage.say(reason[0], **reason[1])
                    break
                try:
                    steps.append(await _step(fleet, chart, clients))
                except (RoomgraphError, WireError, OSError) as exc:
                    stage.say("load.no_room", clients=clients, reason=exc)
                    break
                if not stage.console.is_terminal:
                    _tell(stage, steps[-1])
    finally:
        await fleet.close()
    if stage.alone:
        await _until_gone(stage, before)
    if not steps:
        stage.verdict(False, "load.no_room", clients=RAMP[0], reason="")
        return {"ok": False, "error": "the first clients could not be connected"}
    stage.console.print(_table(stage, steps))
    if isinstance(stage.nodes, HasProcesses):
        stage.say("load.legend")

    best = max((step for step in steps if step.quick), key=lambda step: step.clients, default=steps[0])
    totals = Figures()
    for step in steps:
        totals.merge(step.figures)
    lost = sum(step.lost for step in steps)
    ok = all(step.whole for step in steps) and steps[0].quick
    counts = {"sent": totals.sent, "acked": totals.acked, "lost": lost}
    counts |= {"duplicated": totals.duplicated, "reordered": totals.reordered}
    stage.verdict(ok, "load.verdict", clients=best.clients, rate=f"{best.rate:,}", p99=best.p99, **counts)
    return {
        "ok": ok,
        **counts,
        "faults": {},
        "recovery_s": 0.0,
        "latency_ms": best.figures.latency.percentiles_ms(),
        "clients": best.clients,
        "deliveries_per_s": best.rate,
        "differing": totals.differing,
        "misplaced": totals.misplaced,
        "lost_connections": totals.lost_connections,
        "cores": os.cpu_count(),
        "steps": [step.facts() for step in steps],
    }


async def _step(fleet: Fleet, chart: _Chart, clients: int) -> Step:
    """Connect until there are so many, let them talk, and wait until every device has everything."""
    chart.clients = clients
    looking = asyncio.create_task(chart.keep())
    try:
        await fleet.grow(clients)
        await fleet.settle(SETTLE_S)
        fleet.take_figures()
        chart.begin()
        began = time.monotonic()
        await fleet.talk(TALK_S, EVERY_S)
        seconds = time.monotonic() - began
        machine, cpu = chart.machine.look(), chart.cpu()
        lost = await fleet.settle(SETTLE_S)
    finally:
        looking.cancel()
    return Step(clients, fleet.take_figures(), seconds, lost, machine, cpu, dict(chart.processes.highest_memory))


def _limit(step: Step, began: float) -> tuple[str, dict[str, object]] | None:
    """Why no further step is played, if there is a reason: a text and its values."""
    if not step.quick:
        return "load.slow", {"clients": step.clients, "p99": step.p99, "limit": round(SLOW_MS)}
    if (busy := sum(step.cpu.values()) / (os.cpu_count() or 1)) > BUSY:
        return "load.busy", {"cpu": round(busy * 100), "clients": step.clients}
    if time.monotonic() - began > ENOUGH_S:
        return "load.no_time", {"clients": step.clients}
    return None


async def _until_gone(stage: Stage, before: int) -> None:
    """Thousands of sessions take the nodes some seconds to end; the figures of later scenes begin after that."""
    deadline = time.monotonic() + GONE_S
    while time.monotonic() < deadline:
        # Asked in the middle of it, a node may have no time to answer.
        with contextlib.suppress(NotConnected):
            if (await stage.status())["active_sessions"] <= before:
                return
        await asyncio.sleep(0.2)


def _tell(stage: Stage, step: Step) -> None:
    p50 = step.figures.latency.percentiles_ms()["p50"]
    stage.say("load.step", clients=step.clients, rate=f"{step.rate:,}", p50=p50, p99=step.p99, lost=step.lost)


class _Chart:
    """What goes on, drawn again twice a second on a terminal; elsewhere it only looks."""

    def __init__(self, stage: Stage, fleet: Fleet) -> None:
        own = {THIS: os.getpid()}
        cluster = stage.nodes
        self.processes = Processes({**cluster.pids, **own} if isinstance(cluster, HasProcesses) else own)
        self.machine = Machine()
        self.clients = 0
        self._stage = stage
        self._fleet = fleet
        self._rates: deque[float] = deque(maxlen=40)
        self._usage: dict[str, Usage] = {}
        self._shares: dict[str, list[float]] = {}
        self._began: float | None = None
        self._seen = 0
        self._seen_at = time.monotonic()
        self._live = Live(console=stage.console, auto_refresh=False, transient=True)

    def __enter__(self) -> _Chart:
        if self._stage.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def begin(self) -> None:
        """The step's clients are connected, and begin to talk."""
        self._began = time.monotonic()
        self._seen = 0
        self._shares.clear()
        self.processes.look()
        self.machine.look()

    def cpu(self) -> dict[str, float]:
        """The average use of each process since `begin`, as a share of one core."""
        return {name: sum(shares) / len(shares) for name, shares in self._shares.items()}

    async def keep(self) -> None:
        """Look, and draw, for as long as the step lasts."""
        self._began = None
        while True:
            await asyncio.sleep(LOOK_S)
            now, delivered = time.monotonic(), self._fleet.figures.delivered
            self._usage = self.processes.look()
            for name, usage in self._usage.items():
                self._shares.setdefault(name, []).append(usage.cpu)
            if self._began is not None:
                self._rates.append(max(0.0, (delivered - self._seen) / (now - self._seen_at)))
            self._seen, self._seen_at = delivered, now
            if self._live.is_started:
                self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Padding:
        texts, figures = self._stage.texts, self._fleet.figures
        connected = len(self._fleet.devices)
        if self._began is None:
            title = texts("load.connecting", clients=connected, all=self.clients)
        else:
            seconds = round(time.monotonic() - self._began)
            talk = {"rooms": self._fleet.conversations, "sent": figures.sent, "seconds": seconds}
            title = texts("load.talking", clients=connected, **talk)
        lines = Table.grid(padding=(0, 2))
        highest = max(self._rates, default=0.0) or 1.0
        curve = "".join(BARS[min(int(rate / highest * len(BARS)), len(BARS) - 1)] for rate in self._rates)
        rate = f"{self._rates[-1]:,.0f}" if self._rates else ""
        lines.add_row(texts("load.rate"), Text(curve.rjust(40), "green"), Text(rate, "bold"))
        ms = figures.latency.percentiles_ms()
        quantiles = f"p50 {ms['p50']}   p99 {ms['p99']}   p99.9 {ms['p99_9']} ms"
        lines.add_row(texts("load.latency"), quantiles if figures.latency.count else "", "")
        for name, usage in self._usage.items():
            share = min(usage.cpu, 1.0)
            filled = round(share * 40)
            colour = "red" if share > 0.9 else "yellow" if share > 0.6 else "cyan"
            bar = Text("━" * filled, colour) + Text("━" * (40 - filled), "bright_black")
            used = f"{usage.cpu * 100:3.0f} %  {usage.memory_bytes >> 20} MB"
            lines.add_row(_named(self._stage, name), bar, used)
        return Padding(Group(Text(title, "bold"), lines), (0, 0, 0, 2))


def _named(stage: Stage, process: str) -> str:
    """A process as people know it."""
    if process == THIS:
        return stage.texts("load.this")
    return "Redis" if process == "redis" else process.replace("node-", f"{stage.texts('node')} ")


def _table(stage: Stage, steps: list[Step]) -> Table:
    texts = stage.texts
    highest = max(step.rate for step in steps) or 1
    columns = ("", texts("load.clients"), texts("load.rate"), "", "p50 · p99 · p99.9", "CPU %", "MB")
    table = stage.table(*columns)
    for step in steps:
        mark = "[green]✔[/]" if step.whole and step.quick else "[yellow]–[/]" if step.whole else "[red]✘[/]"
        nodes = [name for name in step.memory if name.startswith("node-")]
        cpu = memory = "–"
        if nodes:
            total = sum(step.cpu.get(name, 0.0) for name in nodes)
            cpu = f"{total * 100:.0f} · {step.cpu.get('redis', 0.0) * 100:.0f}"
            memory = f"{max(step.memory[name] for name in nodes) >> 20} · {step.memory.get('redis', 0) >> 20}"
        bar = f"[green]{'█' * max(1, round(step.rate / highest * 5))}[/]"
        latency = " · ".join(_short(ms) for ms in step.figures.latency.percentiles_ms().values())
        table.add_row(mark, f"{step.clients:,}", f"{step.rate:,}", bar, latency, cpu, memory)
    return table


def _short(ms: float) -> str:
    return f"{ms:.1f}" if ms < 10 else f"{ms:,.0f}"
