"""How many runs a second one node executes, for all of its conversations, against LangGraph alone.

    python -m benchmarks.runs --json runs.json

Conversations talk at once, each waiting for its answer before its next message. The dialog side of a node serves
them: messages are appended, bells are read from the queue, runs are claimed, executed and ended. LangGraph alone
calls `ainvoke` in a thread of checkpoints for each conversation, on the same saver. All take turns, so that noise
meets them alike, each with a Redis of its own (append-only file, `appendfsync always`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from langgraph.graph import StateGraph
from redis.asyncio import BlockingConnectionPool, Redis
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.turn_cost import ANN, SAVERS, SaverName, default, own_redis, run
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.runs import ClaimedRun, RunFinished, Runs
from sio_server.dialog.attempts import Attempts, RunLimits
from sio_server.dialog.graphs import concierge, echo
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.run_queue import RunQueue
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.dialog.worker import DialogWorker
from sio_server.gateway.requests.runs import new_run_id
from sio_server.local.errors import ClusterError
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import connect
from sio_server.store.scripts import Scripts

GRAPHS: dict[str, StateGraph[Any]] = {"concierge": concierge.builder(0), "echo": echo.builder(0)}
TEXT = "what can you do?"
RUN_TIMEOUT_S = 60
FIGURES = ("per_second", "per_core", "redis_cpu_ms", "p50_ms")


class Side(Protocol):
    """What answers messages: a node, or LangGraph alone."""

    async def answer(self, conversation_id: str, number: int) -> None:
        """Have one message answered; the first has number 1."""


class _TellingRuns(Runs):
    """Tells when a conversation's run has its final entry."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ended: dict[str, asyncio.Event] = {}

    async def finish_run(self, run: ClaimedRun, *args: Any, **kwargs: Any) -> RunFinished:
        finished = await super().finish_run(run, *args, **kwargs)
        self.ended[run.conversation_id].set()
        return finished


class Served:
    """The dialog side of a node, and the part of a gateway that appends messages."""

    def __init__(self, log: ConversationLog, runs: _TellingRuns) -> None:
        self._log = log
        self._runs = runs

    async def answer(self, conversation_id: str, number: int) -> None:
        ended = self._runs.ended[conversation_id] = asyncio.Event()
        await self._log.append_message(conversation_id, ANN, f"m-{number}", TEXT, run_id=new_run_id())
        await ended.wait()


class Bare:
    """LangGraph alone."""

    def __init__(self, graph: StateGraph[Any], saver: BaseCheckpointSaver[Any]) -> None:
        self._graph = graph.compile(checkpointer=saver)

    async def answer(self, conversation_id: str, number: int) -> None:
        config: RunnableConfig = {"configurable": {"thread_id": conversation_id}}
        message = HumanMessage(content=TEXT, name=ANN.user_id, id=f"{conversation_id}:{number}")
        await self._graph.ainvoke({"messages": [message]}, config, durability="sync")


@asynccontextmanager
async def served(url: str, graph: str, saver: SaverName, conversations: Sequence[str]) -> AsyncIterator[Served]:
    """A node as `sio_server.wiring` puts it together, with as many slots as there are conversations."""
    async with AsyncExitStack() as stack:
        gateway, dialog = connect(url), connect(url)
        checkpoints = CheckpointStore(url, saver)
        for close in (gateway.aclose, dialog.aclose, checkpoints.close):
            stack.push_async_callback(close)
        await checkpoints.set_up()
        scripts = Scripts(gateway)
        log = ConversationLog(scripts)
        members = Members(gateway, scripts, log, retention=default("log_retention"))
        for conversation_id in conversations:
            request = ConversationCreate(
                request_id="create", conversation_id=conversation_id, access="open", title="Runs", graph=graph
            )
            await members.create(ANN, request)
        runs = _TellingRuns(Scripts(dialog), "runs", "runs")
        leases = LeaseKeeper(Runs(scripts, "runs", "runs"))
        attempts = Attempts(
            run_records=runs,
            leases=leases,
            graphs={graph: GRAPHS[graph].compile(name=graph, checkpointer=checkpoints.saver)},
            checkpoints=checkpoints,
            limits=RunLimits(
                timeout_s=default("run_timeout"),
                attempts=default("run_attempts"),
                steps=default("recursion_limit"),
                threads_kept=default("checkpoints_kept"),
            ),
            on_ended=lambda status: None,
        )
        worker = DialogWorker(
            run_records=runs,
            queue=RunQueue(dialog, url, "runs"),
            attempts=attempts,
            concurrency=len(conversations),
        )
        renewing = asyncio.create_task(leases.renew_leases())
        worker.start()
        try:
            yield Served(log, runs)
        finally:
            await worker.drain(0.0)
            renewing.cancel()
            await asyncio.wait({renewing})


@asynccontextmanager
async def bare(url: str, graph: str, saver: SaverName) -> AsyncIterator[Bare]:
    """LangGraph alone, with as many connections as the node's saver may have."""
    pool = BlockingConnectionPool.from_url(url, max_connections=64, timeout=10.0)
    async with Redis.from_pool(pool) as redis:
        if saver == "plain":
            yield Bare(GRAPHS[graph], PlainRedisSaver(redis))
        else:
            async with AsyncRedisSaver(redis_client=redis) as library:
                await library.asetup()
                yield Bare(GRAPHS[graph], library)


@dataclass
class Contestant:
    """One side with one graph on one saver, and what it has done in each window."""

    graph: str
    saver: SaverName
    name: str  # "node" or "langgraph"
    side: Side
    redis: Redis
    conversations: Sequence[str]
    per_second: list[float] = field(default_factory=list)
    per_core: list[float] = field(default_factory=list)  # runs a CPU-second of this process
    redis_cpu_ms: list[float] = field(default_factory=list)  # of Redis, a run
    p50_ms: list[float] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    async def window(self, seconds: float) -> None:
        """All conversations talk for so long."""
        took: list[float] = []
        until = time.perf_counter() + seconds
        redis_before = await self._redis_cpu_s()
        began, cpu_before = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._talk(one, until, took) for one in self.conversations))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu_before
        redis_cpu = await self._redis_cpu_s() - redis_before
        self.per_second.append(len(took) / wall)
        self.per_core.append(len(took) / cpu)
        self.redis_cpu_ms.append(redis_cpu / len(took) * 1000)
        self.p50_ms.append(statistics.median(took) * 1000)

    async def _talk(self, conversation_id: str, until: float, took: list[float]) -> None:
        while True:
            began = time.perf_counter()
            number = self._numbers[conversation_id] = self._numbers.get(conversation_id, 0) + 1
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await self.side.answer(conversation_id, number)
            took.append(time.perf_counter() - began)
            if time.perf_counter() > until:
                return

    async def _redis_cpu_s(self) -> float:
        used: dict[str, Any] = await self.redis.info("cpu")
        return float(used["used_cpu_sys"]) + float(used["used_cpu_user"])

    def summary(self) -> dict[str, float]:
        """Medians of its windows."""
        return {name: round(statistics.median(getattr(self, name)), 2) for name in FIGURES}


async def measure(options: argparse.Namespace, folder: Path) -> list[Contestant]:
    """Have all contestants do their windows in turn, forward and backward."""
    conversations = [f"runs-{number}" for number in range(options.conversations)]
    async with AsyncExitStack() as stack:
        contestants: list[Contestant] = []
        places = [(g, s, n) for g in options.graphs for s in options.savers for n in ("node", "langgraph")]
        for port, (graph, saver, name) in enumerate(places, start=options.port):
            url = await stack.enter_async_context(own_redis(port, folder / str(port)))
            redis = await stack.enter_async_context(Redis.from_url(url, decode_responses=True))
            side: Side
            if name == "node":
                side = await stack.enter_async_context(served(url, graph, saver, conversations))
            else:
                side = await stack.enter_async_context(bare(url, graph, saver))
            contestants.append(Contestant(graph, saver, name, side, redis, conversations))
        for number in range(options.rounds + 1):
            for contestant in contestants[:: 1 if number % 2 else -1]:
                await contestant.window(options.seconds)
        for contestant in contestants:  # the first round warms up
            for name in FIGURES:
                del getattr(contestant, name)[0]
    return contestants


def summed_up(contestants: Sequence[Contestant]) -> dict[str, dict[str, dict[str, Any]]]:
    """By graph and saver: the figures of both sides, and how many times LangGraph's rates the node has."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in contestants:
        found.setdefault(one.graph, {}).setdefault(one.saver, {})[one.name] = one.summary()
    for savers in found.values():
        for sides in savers.values():
            node, alone = sides["node"], sides["langgraph"]
            sides["ratios"] = {
                name: round(node[name] / alone[name], 3) for name in ("per_second", "per_core", "p50_ms")
            }
    return found


def table_of(figures: dict[str, dict[str, dict[str, Any]]], conversations: int) -> Table:
    """The figures for people, in 80 columns."""
    title = f"Runs of one process, {conversations} conversations at once"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for head in ("graph", "saver", "", "runs/s", "runs/\nCPU-s", "ms CPU\nof Redis", "p50 ms"):
        table.add_column(head, justify="left" if head in ("graph", "saver", "") else "right")
    for graph, savers in figures.items():
        for saver, sides in savers.items():
            for name in ("node", "langgraph"):
                at = sides[name]
                figures_of = (at["per_second"], at["per_core"], at["redis_cpu_ms"], at["p50_ms"])
                table.add_row(graph, saver, name, *(f"{value:.1f}" for value in figures_of))
            ratios = sides["ratios"]
            cells = (f"{ratios['per_second']:.2f}", f"{ratios['per_core']:.2f}", "", f"{ratios['p50_ms']:.2f}")
            table.add_row("", "", "ratio", *cells, style="bold", end_section=True)
    return table


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="How many runs a second one node executes.")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--conversations", type=int, default=20, help="at once (default: 20)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a window (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="windows of each (default: 5)")
    parser.add_argument("--graphs", nargs="+", choices=list(GRAPHS), default=list(GRAPHS), help="(default: both)")
    parser.add_argument("--savers", nargs="+", choices=SAVERS, default=list(SAVERS), help="(default: both)")
    parser.add_argument("--port", type=int, default=9920, help="of the first of eight Redis (default: 9920)")
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Measure and tell."""
    with tempfile.TemporaryDirectory(prefix="runs-") as folder:
        figures = summed_up(await measure(options, Path(folder)))
    machine = {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("langgraph", "langgraph-checkpoint-redis", "redis")},
    }
    told = {"runs": figures, "conversations": options.conversations, "machine": machine}
    options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    Console().print(table_of(figures, options.conversations))
    return 0


if __name__ == "__main__":
    chosen = arguments(None)
    try:
        sys.exit(run(lambda: main(chosen)))
    except (ClusterError, NoEmbeddedRedis) as exc:
        sys.exit(f"✘ {exc}")
