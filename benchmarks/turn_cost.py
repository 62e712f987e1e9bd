"""What one turn of a conversation costs at its beginning and after hundreds of turns, for each checkpointer.

    python -m benchmarks.turn_cost --json turn_cost.json

The code of a node does here all that it does for a turn, on Redis servers that nobody else talks to: the message
is appended, the run is taken, the dialog's state is copied, the graph is executed with a checkpoint after each
step, text is shown, the final entry is written, the bell is acknowledged, old checkpoints are deleted. The
servers' own counters say what came of it. In the same moments the same graph is played by LangGraph alone, on the
same savers, in one thread that is never pruned. The exit status is 1 when the last point costs more than 1.5 times
the first, in time or in bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from langgraph.types import Command
from redis.asyncio import Redis
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.runs import ClaimedRun, NothingToDo, Runs
from sio_server.conversation.turns import Turns
from sio_server.dialog.attempts import Attempts, RunLimits
from sio_server.dialog.execution import MODES
from sio_server.dialog.graphs import concierge
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.gateway.requests.runs import new_run_id
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.ports import REDIS_PORT_OFFSET, is_free
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.protocol.events import ConversationCreate
from sio_server.settings import Settings
from sio_server.store.connection import connect, connect_reader
from sio_server.store.keys import WORKERS, ConversationKeys
from sio_server.store.scripts import Scripts

SaverName = Literal["redis", "plain"]

SAVERS: tuple[SaverName, ...] = ("redis", "plain")
# Bare LangGraph on the same savers.
BASELINES: dict[SaverName, str] = {"redis": "redis-unpruned", "plain": "plain-unpruned"}
TARGET = 1.25  # times the time of bare LangGraph
COMPARED = ("answer_ms", "ms", "cpu_ms", "bytes", "round_trips")
GRAPH = "concierge"
CONVERSATION = "turn-cost"
ANN = Author(user_id="ann", name="Ann", device_id="laptop")

# What Ann does, again and again: she gets each kind of answer, and approves in both ways. The points are multiples
# of its length, so that each is measured over the same turns.
PRESS_APPROVE = ""
DIALOG = (
    ("I would like to book a room", "answered"),
    ("a workshop", "answered"),
    ("tomorrow at 10", "answered"),
    ("6 people", "interrupted"),
    (PRESS_APPROVE, "answered"),
    ("what can you do?", "answered"),
    ("book a room for an interview on Friday", "answered"),
    ("summarise, please", "answered"),
    ("we are 4 people at 3pm", "interrupted"),
    ("yes", "answered"),
)
AROUND = 5  # turns on either side of a point, over which the median is taken
TURN_TIMEOUT_S = 60
LIMIT = 1.5
LIMITED = ("ms", "bytes")


@dataclass(frozen=True)
class Cost:
    """What one turn cost."""

    ms: float  # until the node is ready for the next message; it deletes old checkpoints after that
    cpu_ms: float  # of this process, all in all
    answer_ms: float  # until the final entry is in the log
    bytes: int  # that went over Redis' sockets, in both directions
    commands: int  # that Redis executed, those within scripts too
    round_trips: int


@dataclass(frozen=True)
class Stock:
    """What a server holds."""

    used_memory: int
    keys: int
    checkpoint_keys: int
    checkpoint_memory: int  # of these keys, without the indexes on them
    run_records: int


@dataclass(frozen=True)
class Point:
    """One conversation up to a turn: the costs of the turns around it, and what its server held after it."""

    turns: Sequence[Cost]
    stock: Stock


class Meter:
    """Reads a server's own counters. Its connection's traffic is known to the byte and is left out."""

    ASK = b"INFO stats\r\n"

    def __init__(self, url: str, port: int) -> None:
        self._url = url
        self._port = port
        self.answered_at = 0.0

    async def open(self) -> None:
        """Connect. Raises RuntimeError when this Redis counts otherwise than is assumed here."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self.begin()
        self.stop()
        nothing = await self.end()
        if nothing.bytes or nothing.commands or nothing.round_trips:
            raise RuntimeError(f"this Redis counts otherwise than is assumed: nothing was {nothing}")

    async def close(self) -> None:
        """Disconnect."""
        self._writer.close()
        await self._writer.wait_closed()

    async def begin(self) -> None:
        """Measure from here."""
        self._before, self._reply_length = await self._look()
        self._cpu_before = time.process_time()
        self._began_at = self.answered_at = time.perf_counter()

    def stop(self) -> None:
        """The turn is over; what it leaves to be done counts, except in time."""
        self._ended_at = time.perf_counter()

    async def end(self) -> Cost:
        """What has been spent since `begin`."""
        cpu_ms = (time.process_time() - self._cpu_before) * 1000
        after, _ = await self._look()
        spent = {name: value - self._before[name] for name, value in after.items()}
        # Counted between the two looks: the request of the second, and the reply to the first with its command.
        own_bytes = len(self.ASK) + self._reply_length
        return Cost(
            ms=(self._ended_at - self._began_at) * 1000,
            cpu_ms=cpu_ms,
            answer_ms=(self.answered_at - self._began_at) * 1000,
            bytes=spent["net_input_bytes"] + spent["net_output_bytes"] - own_bytes,
            commands=spent["commands_processed"] - 1,
            # A pipeline's replies are written at once, so there is one write for each round trip.
            round_trips=spent["writes_processed"] - 1,
        )

    async def stock(self) -> Stock:
        """What the server holds now."""
        async with Redis.from_url(self._url, decode_responses=True) as redis:
            memory = await redis.info("memory")
            keys = [str(key) async for key in redis.scan_iter(count=1000)]
            checkpoints = [key for key in keys if re.match(r"(\{rg:\w+\}:)?checkpoint|write_keys_zset", key)]
            sizes: list[int | None] = []
            for start in range(0, len(checkpoints), 1000):
                pipe = redis.pipeline(transaction=False)
                for key in checkpoints[start : start + 1000]:
                    pipe.memory_usage(key, samples=0)
                sizes += await pipe.execute()
        return Stock(
            used_memory=int(memory["used_memory"]),
            keys=len(keys),
            checkpoint_keys=len(checkpoints),
            checkpoint_memory=sum(size or 0 for size in sizes),
            run_records=sum(bool(re.match(r"\{rg:\w+\}:run:", key)) for key in keys),
        )

    async def _look(self) -> tuple[dict[str, int], int]:
        self._writer.write(self.ASK)
        head = await self._reader.readuntil(b"\r\n")
        body = await self._reader.readexactly(int(head[1:]) + 2)
        found = re.findall(r"^total_(\w+):(\d+)", body.decode(), re.MULTILINE)
        return {name: int(value) for name, value in found}, len(head) + len(body)


class Talk(Protocol):
    """A conversation that goes on turn by turn."""

    async def turn(self, number: int) -> None:
        """Make one turn; the first has number 1."""

    async def settle(self) -> None:
        """Do what the turn has left to be done."""


class ServedTalk:
    """A conversation as a node serves it, with one of our checkpointers."""

    def __init__(
        self,
        bells: Redis,
        log: ConversationLog,
        turns: Turns,
        runs: Runs,
        attempts: Attempts,
        ended: list[str],
    ) -> None:
        self._bells = bells
        self._log = log
        self._turns = turns
        self._runs = runs
        self._attempts = attempts
        self._ended = ended  # the status of each run that has ended
        self._queue = ConversationKeys(CONVERSATION).runs
        self._run_id = ""

    async def turn(self, number: int) -> None:
        text, status = DIALOG[(number - 1) % len(DIALOG)]
        asked_by, self._run_id = self._run_id, new_run_id()
        # As the worker does, which waits for bells in a command that blocks.
        bell = asyncio.create_task(self._next_bell())
        if text == PRESS_APPROVE:
            await self._turns.respond(CONVERSATION, ANN, f"{asked_by}:0", "approve", run_id=self._run_id)
        else:
            await self._log.append_message(CONVERSATION, ANN, f"m-{number}", text, run_id=self._run_id)
        rung = await bell
        taken = await self._runs.claim_run(CONVERSATION)
        if not isinstance(taken, ClaimedRun):
            raise RuntimeError(f"turn {number}: there is no run to take: {taken}")
        left = await self._attempts.execute(taken, [one for _, messages in rung for one, _ in messages])
        if self._ended[number - 1 :] != [status]:
            raise RuntimeError(f"turn {number} was to end as {status}, not as {self._ended[number - 1 :]}")
        if not isinstance(left, NothingToDo):
            raise RuntimeError(f"turn {number} left something to do: {left}")

    async def _next_bell(self) -> Any:
        block_ms = TURN_TIMEOUT_S * 1000
        return await self._bells.xreadgroup(WORKERS, "turn-cost", {self._queue: ">"}, count=1, block=block_ms)

    async def settle(self) -> None:
        """Delete old checkpoints, which a node does beside its runs."""
        await self._attempts.settle()


class UnprunedTalk:
    """The same graph as LangGraph runs it by itself: one thread, which grows; no log, no queue, no lease."""

    def __init__(self, saver: BaseCheckpointSaver[Any], meter: Meter) -> None:
        self._graph = concierge.builder(0).compile(name=GRAPH, checkpointer=saver)
        self._meter = meter

    async def turn(self, number: int) -> None:
        text, status = DIALOG[(number - 1) % len(DIALOG)]
        config: RunnableConfig = {"configurable": {"thread_id": CONVERSATION}}
        given: Any = Command(resume="approve")
        if text != PRESS_APPROVE:
            message = HumanMessage(content=text, name=ANN.user_id, id=f"{CONVERSATION}:{number}")
            given = {"messages": [message]}
        interrupted = False
        parts = self._graph.astream(given, config, stream_mode=MODES, subgraphs=True, durability="sync")
        async for _, mode, part in parts:
            interrupted |= mode == "updates" and "__interrupt__" in part
        self._meter.answered_at = time.perf_counter()
        if interrupted != (status == "interrupted"):
            raise RuntimeError(f"turn {number} was to end as {status}")

    async def settle(self) -> None:
        """Nothing is left."""


def default(setting: str) -> Any:
    """What a node takes when it is told nothing else."""
    return Settings.model_fields[setting].default


@asynccontextmanager
async def served(url: str, saver: SaverName, meter: Meter) -> AsyncIterator[ServedTalk]:
    """A conversation served as `sio_server.node` puts a node together: the dialog has connections of its own."""
    ended: list[str] = []

    def on_ended(status: str) -> None:
        meter.answered_at = time.perf_counter()
        ended.append(str(status))

    async with AsyncExitStack() as stack:
        gateways = connect(url)
        dialogs = connect(url)
        bells = connect_reader(url, TURN_TIMEOUT_S)
        checkpoints = CheckpointStore(url, saver)
        for close in (gateways.aclose, dialogs.aclose, bells.aclose, checkpoints.close):
            stack.push_async_callback(close)
        await checkpoints.set_up()
        scripts = Scripts(gateways)
        log = ConversationLog(scripts)
        members = Members(gateways, scripts, log, retention=default("log_retention"))
        title = "What a turn costs"
        request = ConversationCreate(
            request_id="create", conversation_id=CONVERSATION, access="open", title=title, graph=GRAPH
        )
        await members.create(ANN, request)
        runs = Runs(Scripts(dialogs), "turn-cost", "turn-cost")
        leases = LeaseKeeper(Runs(scripts, "turn-cost", "turn-cost"))
        attempts = Attempts(
            run_records=runs,
            leases=leases,
            graphs={GRAPH: concierge.builder(0).compile(name=GRAPH, checkpointer=checkpoints.saver)},
            checkpoints=checkpoints,
            limits=RunLimits(
                timeout_s=default("run_timeout"),
                attempts=default("run_attempts"),
                steps=default("recursion_limit"),
                threads_kept=default("checkpoints_kept"),
            ),
            on_ended=on_ended,
        )
        await dialogs.xgroup_create(ConversationKeys(CONVERSATION).runs, WORKERS, id="0", mkstream=True)
        renewing = asyncio.create_task(leases.renew_leases())  # for turns that take long on a busy machine
        try:
            yield ServedTalk(bells, log, Turns(scripts), runs, attempts, ended)
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})


@asynccontextmanager
async def unpruned(url: str, saver_name: SaverName, meter: Meter) -> AsyncIterator[UnprunedTalk]:
    """The conversation that the others are compared with."""
    if saver_name == "plain":
        async with Redis.from_url(url) as redis:
            yield UnprunedTalk(PlainRedisSaver(redis), meter)
        return
    async with AsyncRedisSaver.from_conn_string(url) as saver:
        await saver.asetup()
        yield UnprunedTalk(saver, meter)


@asynccontextmanager
async def own_redis(port: int, folder: Path) -> AsyncIterator[str]:
    """A server as `roomgraph redis` runs it, on a port of its own; its URL."""
    # A server that is there already would be taken for ours.
    if not is_free(port):
        raise ClusterError("port_taken", ports=port, other=port + 1000)
    cluster = LocalCluster(port - REDIS_PORT_OFFSET, 0, folder)
    try:
        await cluster.start_redis()
        yield cluster.redis_url
    finally:
        await cluster.stop()


def points_of(turns: int) -> tuple[int, int, int]:
    """The turns to look at: 10, 100 or what else lies between, and the last."""
    return 10, 100 if turns > 100 else (10 + turns) // 20 * 10, turns


class Contestant:
    """A conversation that shall get to a certain turn, on a server of its own."""

    def __init__(self, name: str, point: int, talk: Talk, meter: Meter) -> None:
        self.name = name
        self.point = point
        self._talk = talk
        self._meter = meter
        self._costs: list[Cost] = []
        self._stock: Stock | None = None

    async def turn(self, number: int) -> None:
        """Make one turn and note what it cost."""
        await self._meter.begin()
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await self._talk.turn(number)
                self._meter.stop()
                await self._talk.settle()
        except TimeoutError:
            raise RuntimeError(f"{self.name}: turn {number} did not end in {TURN_TIMEOUT_S} s") from None
        cost = await self._meter.end()
        if abs(number - self.point) <= AROUND:
            self._costs.append(cost)
        if number == self.point:
            self._stock = await self._meter.stock()

    def result(self) -> Point:
        """What has been measured around the point."""
        if self._stock is None:
            raise RuntimeError(f"{self.name} did not get to turn {self.point}")
        return Point(self._costs, self._stock)


async def measure(
    turns: int, savers: Sequence[SaverName], port: int, folder: Path, on_turn: Callable[[int], None]
) -> dict[str, dict[int, Point]]:
    """Have conversations of each saver get to all points in the same moments, in which noise meets them alike."""
    points = points_of(turns)
    async with AsyncExitStack() as stack:
        contestants = []
        baselines = {BASELINES[name]: name for name in savers}
        places = [(name, point) for name in (*savers, *baselines) for point in points]
        for number, (name, point) in enumerate(places, start=port):
            url = await stack.enter_async_context(own_redis(number, folder / str(number)))
            meter = Meter(url, number)
            await meter.open()
            stack.push_async_callback(meter.close)
            talk: Talk
            if name in baselines:
                talk = await stack.enter_async_context(unpruned(url, baselines[name], meter))
            else:
                talk = await stack.enter_async_context(served(url, "plain" if name == "plain" else "redis", meter))
            contestants.append(Contestant(name, point, talk, meter))
        for step in range(1, turns + AROUND + 1):
            on_turn(step)
            # Turn by turn, and in both directions: who comes after whom makes no difference then.
            for contestant in contestants[:: 1 if step % 2 else -1]:
                number = step - (turns - contestant.point)  # who has a shorter way starts later
                if number > 0:
                    await contestant.turn(number)
    results: dict[str, dict[int, Point]] = {name: {} for name, _ in places}
    for contestant in contestants:
        results[contestant.name][contestant.point] = contestant.result()
    return results


def summed_up(measured: Mapping[int, Point]) -> dict[str, Any]:
    """Of each point the medians and what the server held; and the ratios of the last point to the first."""
    at: dict[str, dict[str, float]] = {}
    for point, result in measured.items():
        at[str(point)] = {
            "ms": round(statistics.median(cost.ms for cost in result.turns), 2),
            "cpu_ms": round(statistics.median(cost.cpu_ms for cost in result.turns), 2),
            "bytes": statistics.median(cost.bytes for cost in result.turns),
            "commands": statistics.median(cost.commands for cost in result.turns),
            "round_trips": statistics.median(cost.round_trips for cost in result.turns),
            "answer_ms": round(statistics.median(cost.answer_ms for cost in result.turns), 2),
            **vars(result.stock),
        }
    first, *_, last = at.values()
    ratios = {what: round(last[what] / first[what], 3) for what in ("ms", "bytes", "commands")}
    return {"turns": at, "ratios": ratios}


def against(served: Mapping[int, Point], bare: Mapping[int, Point]) -> dict[str, dict[str, float]]:
    """How many times the cost of bare LangGraph a turn is at each point: medians over the same turns."""
    return {
        str(point): {
            what: round(
                statistics.median(
                    getattr(ours, what) / getattr(its, what)
                    for ours, its in zip(served[point].turns, bare[point].turns, strict=True)
                ),
                3,
            )
            for what in COMPARED
        }
        for point in served
    }


def exceeded(savers: Mapping[str, Any]) -> list[str]:
    """Which savers' last points cost too much, one line for each."""
    return [
        f"{name}: the last point costs {summary['ratios'][what]:.2f} times the first in {what}, more than {LIMIT}"
        for name, summary in savers.items()
        for what in LIMITED
        if summary["ratios"][what] > LIMIT
    ]


def table_of(summaries: Mapping[str, Any]) -> Table:
    """The figures for people, in 80 columns."""
    table = Table(title="What a turn costs, and what Redis holds then", title_justify="left")
    table.box, table.padding = box.SIMPLE_HEAD, 0
    table.add_column("saver", no_wrap=True)
    costs = ["turn", "ms", "to\nanswer", "kB", "com-\nmands", "round\ntrips"]
    held = ["MB\nin all", "keys\nin all", "check-\npoints", "kB of\nthese"]
    for head in costs + held:
        table.add_column(head, justify="right", no_wrap=True)
    for name, summary in summaries.items():
        names = iter(name.replace("-", "- ").split())  # on two lines
        for point, at in summary["turns"].items():
            table.add_row(
                next(names, ""),
                point,
                f"{at['ms']:.1f}",
                f"{at['answer_ms']:.1f}",
                f"{at['bytes'] / 1000:.1f}",
                f"{at['commands']:.0f}",
                f"{at['round_trips']:.0f}",
                f"{at['used_memory'] / 1e6:.1f}",
                f"{at['keys']}",
                f"{at['checkpoint_keys']}",
                f"{at['checkpoint_memory'] / 1000:.0f}",
            )
        ratio = {what: f"{value:.2f}" for what, value in summary["ratios"].items()}
        first, *_, last = summary["turns"]
        cells = ["", f"{last}:{first}", ratio["ms"], "", ratio["bytes"], ratio["commands"]]
        table.add_row(*cells, style="bold", end_section=True)
    return table


def ratios_of(ratios: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """How a turn compares with bare LangGraph on the same saver."""
    title = f"Times the cost of bare LangGraph on the same saver (target: {TARGET} in time)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for head in ("saver", "turn", "to answer", "ms", "CPU", "bytes", "round trips"):
        table.add_column(head, justify="left" if head == "saver" else "right")
    for name, points in ratios.items():
        for point, at in points.items():
            table.add_row(name, point, *(f"{at[what]:.2f}" for what in COMPARED))
    return table


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a mistake in it ends the program with one line."""
    parser = argparse.ArgumentParser(description="What one turn of a conversation costs, early and late.")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--turns", type=int, default=500, help="the last point: 30, 40, 50 ... (default: 500)")
    parser.add_argument("--savers", nargs="+", choices=SAVERS, default=list(SAVERS), help="(default: both)")
    parser.add_argument("--port", type=int, default=9900, help="of the first of twelve Redis (default: 9900)")
    options = parser.parse_args(given)
    if options.turns < 30 or options.turns % len(DIALOG):
        parser.error(f"--turns {options.turns}: write a multiple of {len(DIALOG)}, at least 30")
    options.savers = list(dict.fromkeys(options.savers))
    try:
        with options.json.open("a", encoding="utf-8"):
            pass
    except OSError as exc:
        parser.error(f"--json {options.json}: {exc.strerror}; name a file that can be written")
    return options


async def main(options: argparse.Namespace) -> int:
    """Measure, tell, and return the exit status."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="turn-cost-") as folder, console.status("") as status:

        def on_turn(number: int) -> None:
            status.update(f"turn {number} of {options.turns + AROUND}")

        measured = await measure(options.turns, options.savers, options.port, Path(folder), on_turn)
    summaries = {name: summed_up(each) for name, each in measured.items()}
    baseline = {name: summaries.pop(name) for name in BASELINES.values() if name in summaries}
    ratios = {name: against(measured[name], measured[BASELINES[name]]) for name in options.savers}
    machine = {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("langgraph", "langgraph-checkpoint-redis", "redis")},
    }
    figures = {
        "savers": summaries,
        "baseline": baseline,
        "against_baseline": ratios,
        "machine": machine,
        "limit": LIMIT,
        "target": TARGET,
    }
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(table_of(summaries | baseline))
    console.print(ratios_of(ratios))
    last = str(options.turns)
    if len(summaries) == len(SAVERS):
        redis, plain = (summaries[name]["turns"][last] for name in SAVERS)
        parts = [f"{redis[what] / plain[what]:.2f} times the {what}" for what in ("ms", "bytes", "commands")]
        console.print(f"Turn {last} with redis: {', '.join(parts)} of plain.", highlight=False)
    problems = exceeded(summaries)
    for problem in problems:
        console.print(Text.assemble(("✘", "red"), " ", problem))
    return 1 if problems else 0


def run(started: Callable[[], Awaitable[int]]) -> int:
    """Run it on uvloop where that exists, as a node runs."""
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop

    async def awaited() -> int:
        return await started()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(awaited())


if __name__ == "__main__":
    chosen = arguments(None)
    try:
        sys.exit(run(lambda: main(chosen)))
    except (ClusterError, NoEmbeddedRedis) as exc:
        sys.exit(f"✘ {exc}")
