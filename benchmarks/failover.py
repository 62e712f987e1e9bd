"""How long devices wait for the next token of a run whose node is killed, or stopped.

    python -m benchmarks.failover --json failover.json

Three nodes and Redis on this machine, a device on each node, and conversations in each of which a run is always on
(`failover_graph.py`: a step, and so a checkpoint, about each 0.5 s). At a random point a random node gets SIGKILL;
in the second part, SIGTERM with DRAIN_GRACE=0. Each run that was on the node counts once: from the signal to the
first text of its next attempt, on the first device, on the last one of the other nodes, and on the last of all.
The node is started again, its device returns to it, and the next one follows. With --check the exit status is 1
when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sio_clients import ChatClient, Conversation, RoomgraphError, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.ports import find_ports
from sio_server.local.redis import NoEmbeddedRedis

ROOT = Path(__file__).parents[1]
NODES = 3
STEPS = 40  # of a run: about 20 s
TARGETS_MS = {("SIGKILL", 3.0): 3500, ("SIGKILL", 1.0): 1500, ("SIGTERM", None): 200}  # p99
OVERHEAD_MS = 500  # beyond the lease, where a lease has no target of its own
BETWEEN_S = (0.5, 2.0)  # the last token of one signal, or the device's return, and the next signal
SEEN_S = 30.0  # a run that nobody sees by then is lost
FINAL = ("answer", "failed", "stopped", "interrupt")


@dataclass
class Sample:
    """One run of a node that was ended: seconds from the signal to the text of its next attempt."""

    signal: str
    beside: int  # other runs that were on the node
    first: float  # on the first device
    others: float  # on the last device of the other nodes
    every: float  # on the last device


@dataclass
class Victim:
    """A run on a node that is about to be ended, and when the devices saw its next attempt speak."""

    conversation_id: str
    run_id: str
    version: int
    seen: dict[int, float] = field(default_factory=dict)  # device -> monotonic
    over: bool = False  # it ended before its node did
    all_seen: asyncio.Event = field(default_factory=asyncio.Event)


class Devices:
    """A device on each node; each follows every conversation and says when it sees a run speak again."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.clients: list[ChatClient] = []
        self.conversations: list[dict[str, Conversation]] = []
        self.victims: dict[str, Victim] = {}
        self._ends: dict[str, asyncio.Queue[str]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, count: int) -> None:
        """Connect, and begin so many conversations."""
        urls = self._cluster.urls
        for index in range(NODES):
            _, token = await guest_token(urls[index], f"Device {index}")
            client = ChatClient(urls[index:] + urls[:index], token)
            await client.connect()
            self.clients.append(client)
            self.conversations.append({})
        for number in range(count):
            conversation_id = f"failover-{number}"
            self._ends[conversation_id] = asyncio.Queue()
            for index, client in enumerate(self.clients):
                if index == 0:
                    conversation = await client.create(
                        conversation_id=conversation_id, access="open", agent="always"
                    )
                else:
                    conversation = await client.join(conversation_id)
                conversation.on_runs_changed = partial(self._on_runs, index, conversation)
                self.conversations[index][conversation_id] = conversation
                self._tasks.append(asyncio.create_task(self._read(index, conversation)))
            self._tasks.append(asyncio.create_task(self._keep_busy(conversation_id)))

    async def close(self) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self.clients))

    def on_node(self, node: int) -> list[Victim]:
        """The runs that speak on this node now, as far as any device knows."""
        name = str(self._cluster.ports[node])
        found = []
        for conversation_id in self._ends:
            runs = [run for each in self.conversations for run in each[conversation_id].runs.values()]
            newest = max(runs, key=lambda run: run.version, default=None)
            if newest is not None and newest.status == "running" and newest.node == name and newest.text:
                found.append(Victim(conversation_id, newest.run_id, newest.version))
        return found

    async def come_back(self, node: int) -> None:
        """The device of a node that was started again returns to it."""
        await self.clients[node].go_offline()
        await self.clients[node].go_online(self._cluster.urls[node])

    async def _keep_busy(self, conversation_id: str) -> None:
        """Send the next message whenever the run has ended."""
        ends = self._ends[conversation_id]
        while True:
            for client, conversations in random.sample(
                list(zip(self.clients, self.conversations, strict=True)), NODES
            ):
                if client.online:
                    with contextlib.suppress(RoomgraphError):
                        ack = await conversations[conversation_id].send(str(STEPS))
                        break
            else:
                await asyncio.sleep(0.05)
                continue
            while await ends.get() != ack.run_id:
                pass

    def _on_runs(self, device: int, conversation: Conversation, run_ids: Sequence[str], event: str) -> None:
        for run_id in run_ids:
            victim, run = self.victims.get(run_id), conversation.runs.get(run_id)
            if victim is not None and run is not None and run.version > victim.version and run.text:
                self._saw(victim, device)

    def _saw(self, victim: Victim, device: int) -> None:
        victim.seen.setdefault(device, time.monotonic())
        if len(victim.seen) == NODES:
            victim.all_seen.set()

    async def _read(self, device: int, conversation: Conversation) -> None:
        async for entry in conversation.entries():
            if entry.type not in FINAL:
                continue
            run_id = str(entry.data["run_id"])
            if entry.type != "answer":
                raise RuntimeError(f"a run ended as {entry.type}: {entry.data}")
            if victim := self.victims.get(run_id):
                if entry.data["attempt"] > victim.version:
                    self._saw(victim, device)
                else:
                    victim.over = True
                    victim.all_seen.set()
            if device == 0:
                self._ends[conversation.id].put_nowait(run_id)

    def check(self) -> None:
        """Raise what a task of these has raised."""
        for task in self._tasks:
            if task.done():
                task.result()


async def end_node(cluster: LocalCluster, devices: Devices, node: int, number: signal.Signals) -> list[Sample]:
    """End a node, wait until every device has seen its runs speak again, and start it again."""
    victims = devices.on_node(node)
    devices.victims = {victim.run_id: victim for victim in victims}
    port = cluster.ports[node]
    began = time.monotonic()
    ending = asyncio.create_task(cluster.signal_node(port, number))
    try:
        async with asyncio.timeout(SEEN_S):
            await asyncio.gather(*(victim.all_seen.wait() for victim in victims))
    except TimeoutError:
        devices.check()
        lost = [victim for victim in victims if not victim.all_seen.is_set()]
        raise RuntimeError(f"not seen to speak again within {SEEN_S:g} s: {lost}") from None
    finally:
        await ending
        devices.victims = {}
    counted = [victim for victim in victims if not victim.over]
    await cluster.start_node(port)
    await devices.come_back(node)
    return [
        Sample(
            number.name,
            len(counted) - 1,
            min(victim.seen.values()) - began,
            max(at for device, at in victim.seen.items() if device != node) - began,
            max(victim.seen.values()) - began,
        )
        for victim in counted
    ]


@asynccontextmanager
async def running(options: argparse.Namespace, folder: Path) -> AsyncIterator[tuple[LocalCluster, Devices]]:
    """A cluster, and devices whose conversations are busy."""
    settings = {
        "GRAPH": "benchmarks.failover_graph:graph",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "LEASE": f"{options.lease:g}",
        "DRAIN_GRACE": f"{options.grace:g}",
        "RECURSION_LIMIT": "1000",
        "RUN_CONCURRENCY": "100",
        "WORD_DELAY": "0.08",
    }
    cluster = LocalCluster(options.port or find_ports(NODES), NODES, folder, settings=settings)
    devices = Devices(cluster)
    try:
        await cluster.start()
        await devices.start(options.conversations)
        yield cluster, devices
    finally:
        await devices.close()
        await cluster.stop()


async def measure(options: argparse.Namespace, folder: Path, progress: Progress) -> list[Sample]:
    """End nodes until enough runs were on them."""
    chance = random.Random(options.seed)
    samples: list[Sample] = []
    async with running(options, folder) as (cluster, devices):
        for number, wanted in ((signal.SIGKILL, options.kills), (signal.SIGTERM, options.terms)):
            bar = progress.add_task(number.name, total=wanted)
            done = 0
            while done < wanted:
                await asyncio.sleep(chance.uniform(*BETWEEN_S))
                devices.check()
                node = chance.randrange(NODES)
                if not devices.on_node(node):
                    continue
                found = await end_node(cluster, devices, node, number)
                samples += found
                done += len(found)
                progress.update(bar, completed=min(done, wanted))
    return samples


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies; of few values the highest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def summed_up(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Of each signal, and of its runs that were alone on their node, the quantiles in milliseconds."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.signal, []).append(sample)
        if sample.beside == 0:
            groups.setdefault(f"{sample.signal} alone", []).append(sample)
    return {
        name: {
            "runs": len(group),
            **{
                where: {
                    "p50": round(quantile(values, 0.5) * 1000),
                    "p99": round(quantile(values, 0.99) * 1000),
                    "max": round(max(values) * 1000),
                }
                for where in ("first", "others", "every")
                if (values := [float(getattr(sample, where)) for sample in group])
            },
        }
        for name, group in groups.items()
    }


def fsync_ms(folder: Path) -> float:
    """How long the disk takes for a short write that is to last; each step of a run waits for some."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(500))
            began = time.monotonic()
            os.fsync(file.fileno())
            took.append(time.monotonic() - began)
    return round(statistics.median(took) * 1000, 1)


def target_of(name: str, lease_s: float) -> float:
    """The p99 in milliseconds that a signal may have on every device."""
    if name == "SIGTERM":
        return TARGETS_MS["SIGTERM", None]
    return TARGETS_MS.get(("SIGKILL", lease_s), lease_s * 1000 + OVERHEAD_MS)


def missed(summary: Mapping[str, dict[str, Any]], lease_s: float, grace_s: float) -> list[str]:
    """Which targets are missed, one line for each."""
    problems = []
    for name in ("SIGKILL", "SIGTERM"):
        if name in summary and not (name == "SIGTERM" and grace_s):
            p99, target = summary[name]["every"]["p99"], target_of(name, lease_s)
            if p99 > target:
                problems.append(f"{name}: p99 is {p99} ms on every device, above {target:g} ms")
    return problems


def table_of(summary: Mapping[str, dict[str, Any]], lease_s: float, grace_s: float) -> Table:
    """The figures for people, in 80 columns."""
    table = Table(
        title=f"ms from the signal to the next token, LEASE={lease_s:g} DRAIN_GRACE={grace_s:g}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("signal", no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)
    for where in ("first", "other", "every"):
        for part in ("p50", "p99", "max"):
            table.add_column(f"{where}\n{part}", justify="right", no_wrap=True)
    table.add_column("goal\np99", justify="right", no_wrap=True)
    for name, at in summary.items():
        values = [f"{at[where][part]}" for where in ("first", "others", "every") for part in ("p50", "p99", "max")]
        target = f"{target_of(name, lease_s):g}" if name in ("SIGKILL", "SIGTERM") else ""
        table.add_row(name, str(at["runs"]), *values, target)
    return table


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a mistake in it ends the program with one line."""
    parser = argparse.ArgumentParser(description="How long devices wait for the next token of a run.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--kills", type=int, default=300, help="runs whose node is killed (default: 300)")
    parser.add_argument("--terms", type=int, default=100, help="runs whose node gets SIGTERM (default: 100)")
    parser.add_argument("--lease", type=float, default=3.0, help="LEASE of the nodes (default: 3)")
    parser.add_argument("--grace", type=float, default=0.0, help="DRAIN_GRACE of the nodes (default: 0)")
    parser.add_argument("--conversations", type=int, default=6, help="with a run each (default: 6)")
    parser.add_argument("--seed", type=int, default=None, help="of the chance (default: another one each time)")
    parser.add_argument("--port", type=int, default=0, help="of the first node (default: any that is free)")
    parser.add_argument("--folder", type=Path, help="in which Redis writes (default: that of temporary files)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(given)
    if options.kills < 0 or options.terms < 0 or options.kills + options.terms == 0:
        parser.error("--kills, --terms: write how many, at least one in all")
    if not 1 <= options.lease <= 30:
        parser.error(f"--lease {options.lease:g}: write a number of seconds from 1 to 30")
    if options.conversations < 1:
        parser.error(f"--conversations {options.conversations}: write at least 1")
    options.seed = random.randrange(10**6) if options.seed is None else options.seed
    try:
        if options.json is not None:
            with options.json.open("a", encoding="utf-8"):
                pass
    except OSError as exc:
        parser.error(f"--json {options.json}: {exc.strerror}; name a file that can be written")
    return options


async def main(options: argparse.Namespace) -> int:
    """Measure, tell, and return the exit status."""
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory(prefix="failover-", dir=options.folder) as folder:
        machine = {
            "cpus": os.cpu_count(),
            "fsync_ms": fsync_ms(Path(folder)),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            **{name: version(name) for name in ("langgraph", "python-socketio", "redis")},
        }
        with Progress(*columns, console=console) as progress:
            samples = await measure(options, Path(folder), progress)
    machine["load"] = round(os.getloadavg()[1], 1)
    summary = summed_up(samples)
    if options.json:
        asked = {name: value for name, value in vars(options).items() if name not in ("json", "folder")}
        figures = {
            "summary": summary,
            "asked": asked,
            "machine": machine,
            "samples": [asdict(one) for one in samples],
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(table_of(summary, options.lease, options.grace))
    about = f"seed {options.seed}; {machine['cpus']} cores with a load of {machine['load']} (5 minutes)"
    console.print(f"{about}; fsync {machine['fsync_ms']} ms (p50)", highlight=False, soft_wrap=True)
    problems = missed(summary, options.lease, options.grace)
    for problem in problems:
        console.print(Text.assemble(("✘", "red"), " ", problem))
    return 1 if problems and options.check else 0


if __name__ == "__main__":
    chosen = arguments(None)
    try:
        sys.exit(asyncio.run(main(chosen)))
    except (ClusterError, NoEmbeddedRedis) as exc:
        sys.exit(f"✘ {exc}")
