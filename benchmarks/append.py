"""Appends a second, and per CPU-second of the process that sends them, beside what Redis can do by itself.

    python -m benchmarks.append --json append.json

`ConversationLog.append_message` is called 1, 16 and 256 times at once on a Redis of its own, with `appendfsync
always` and with `no`. The limit is the same script with the same arguments, sent by redis-benchmark; where that is
not installed, by a loop that packs its commands beforehand and reads the replies without looking at them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.ports import REDIS_PORT_OFFSET, is_free
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.protocol.events import ConversationCreate
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import connect
from sio_server.store.pipelined import LoadedScript
from sio_server.store.scripts import Scripts
from sio_server.store.wire import Wire, pack

AT_ONCE = (1, 16, 256)
FSYNC = ("always", "no")
ROOMS = 32
RETENTION = 1000
ANN = Author("ann", "Ann", "laptop", "Laptop")
MESSAGE = "A message of the usual length, of which a room sees some hundreds a day, more or less."
BENCHMARK = "redis-benchmark"
LOOP = "loop"


@dataclass(frozen=True)
class Row:
    """One measurement; a second is one of the clock, a CPU-second one of this process."""

    appendfsync: str
    at_once: int
    appends_per_s: float
    appends_per_cpu_s: float
    ms: float  # median, from the call to its ack
    limit_per_s: float


@dataclass(frozen=True)
class ScriptCall:
    """The call of the script for one append, as it is sent, with the request_id to be replaced."""

    script: LoadedScript
    keys: Sequence[str]
    args: Sequence[str | int]
    request_id: str

    def packed(self, request_id: str) -> bytes:
        """The command with another request_id."""

        def named(part: str | int) -> str | int:
            return part.replace(self.request_id, request_id) if isinstance(part, str) else part

        keys, args = map(named, self.keys), map(named, self.args)
        return pack(("EVALSHA", self.script.sha, len(self.keys), *keys, *args))

    def for_redis_benchmark(self) -> list[str]:
        """The command with a number for each request_id that redis-benchmark chooses."""
        parts = ["EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args]
        return [str(part).replace(self.request_id, "__rand_int__") for part in parts]


class Notebook(BoundedRedis):
    """Notes the call of a script."""

    noted: tuple[LoadedScript, Sequence[str], Sequence[str | int]]

    async def run_script(
        self,
        script: LoadedScript,
        keys: Sequence[str],
        args: Sequence[str | int],
        before: Sequence[Sequence[str]] = (),
        first_keys: tuple[str, ...] = (),
    ) -> Any:
        """Run it as ever."""
        self.noted = (script, [*first_keys, *keys], args)
        return await super().run_script(script, keys, args, before, first_keys)


async def rooms_in(redis: BoundedRedis, log: ConversationLog) -> list[str]:
    """Conversations of which Ann is a member."""
    members = Members(redis, Scripts(redis), log, retention=RETENTION)
    names = [f"room-{secrets.token_hex(4)}-{number}" for number in range(ROOMS)]
    for name in names:
        request = ConversationCreate(request_id=name, conversation_id=name, access="open", agent="off")
        await members.create(ANN, request)
    return names


async def ours(log: ConversationLog, rooms: Sequence[str], at_once: int, seconds: float) -> tuple[float, ...]:
    """Appends a second, appends per CPU-second, and the median milliseconds of one."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        room = rooms[number % len(rooms)]
        while (began := time.perf_counter()) < end:
            await log.append_message(room, ANN, secrets.token_hex(8), MESSAGE, run_id="r")
            took.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(number) for number in range(at_once)))
    spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    return len(took) / spent, len(took) / cpu, statistics.median(took) * 1000


async def limit_by_loop(url: str, call: ScriptCall, at_once: int, seconds: float) -> float:
    """The same calls a second, `at_once` of them under way, with as little work here as can be."""
    ready = [call.packed(secrets.token_hex(8)) for _ in range(at_once + int(20_000 * seconds))]
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    count = 0
    end = time.perf_counter() + seconds

    def on_reply(reply: Any) -> None:
        nonlocal count
        count += 1
        if isinstance(reply, Exception) or time.perf_counter() >= end or not ready:
            if not ended.done():
                ended.set_result(None)
            return
        wire.send_packed(ready.pop())

    def on_lost(error: BaseException | None) -> None:
        ended.set_exception(ConnectionError(f"Redis was lost: {error}"))

    wire = await Wire.open(url, on_reply, on_lost)
    began = time.perf_counter()
    for _ in range(at_once):
        wire.send_packed(ready.pop())
    await ended
    spent = time.perf_counter() - began
    wire.abort()
    return count / spent


async def limit_by_benchmark(port: int, call: ScriptCall, at_once: int, expected: float, seconds: float) -> float:
    """What redis-benchmark says that Redis does a second, with as many connections as calls are under way."""
    process = await asyncio.create_subprocess_exec(
        *(BENCHMARK, "-h", "127.0.0.1", "-p", str(port), "-c", str(at_once), "--csv"),
        *("-n", str(max(int(expected * seconds), 10 * at_once)), "-r", "1000000000"),
        *call.for_redis_benchmark(),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return float(said.decode().strip().splitlines()[-1].rsplit('","', 7)[1].strip('"'))


async def measure(url: str, port: int, chosen: Sequence[int], seconds: float, limit_by: str) -> list[Row]:
    """All rows, in the order of the table."""
    rows = []
    redis = connect(url)
    notebook = Notebook(url, redis.connection_pool)
    log = ConversationLog(Scripts(redis))
    rooms = await rooms_in(redis, log)
    await ConversationLog(Scripts(notebook)).append_message(rooms[0], ANN, "to-be-noted", MESSAGE, run_id="r")
    call = ScriptCall(*notebook.noted, request_id="to-be-noted")
    for fsync in FSYNC:
        await redis.config_set("appendfsync", fsync)
        for at_once in chosen:
            per_s, per_cpu_s, ms = await ours(log, rooms, at_once, seconds)
            if limit_by == LOOP:
                limit = await limit_by_loop(url, call, at_once, seconds)
            else:
                limit = await limit_by_benchmark(port, call, at_once, per_s, seconds)
            rows.append(Row(fsync, at_once, per_s, per_cpu_s, ms, limit))
    await notebook.pipelined.aclose()
    await redis.aclose()
    return rows


@asynccontextmanager
async def own_redis(port: int, folder: Path) -> AsyncIterator[str]:
    """A server as `roomgraph redis` runs it, on a port of its own; its URL."""
    if not is_free(port):  # a server that is there already would be taken for ours
        raise ClusterError("port_taken", ports=port, other=port + 1000)
    cluster = LocalCluster(port - REDIS_PORT_OFFSET, 0, folder)
    try:
        await cluster.start_redis()
        yield cluster.redis_url
    finally:
        await cluster.stop()


def table_of(rows: Sequence[Row], limit_by: str) -> Table:
    """The figures for people."""
    table = Table(box=box.SIMPLE_HEAD, title=f"the limit: {limit_by}")
    for head in ("fsync", "at once", "appends/s", "per CPU-s", "ms", "limit/s", "share"):
        table.add_column(head, justify="left" if head == "fsync" else "right")
    for row in rows:
        table.add_row(
            row.appendfsync,
            str(row.at_once),
            f"{row.appends_per_s:,.0f}",
            f"{row.appends_per_cpu_s:,.0f}",
            f"{row.ms:.2f}",
            f"{row.limit_per_s:,.0f}",
            f"{row.appends_per_s / row.limit_per_s:.0%}",
        )
    return table


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Appends a second, beside what Redis can do by itself.")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement (default: 3)")
    parser.add_argument("--at-once", type=int, nargs="+", default=list(AT_ONCE), help="(default: 1 16 256)")
    parser.add_argument("--port", type=int, default=9920, help="of the Redis (default: 9920)")
    parser.add_argument("--limit", choices=(BENCHMARK, LOOP), help=f"(default: {BENCHMARK} if it is there)")
    options = parser.parse_args(given)
    if options.limit is None:
        options.limit = BENCHMARK if shutil.which(BENCHMARK) else LOOP
    return options


async def main(options: argparse.Namespace) -> None:
    """Measure, and tell."""
    with tempfile.TemporaryDirectory(prefix="append-") as folder:
        async with own_redis(options.port, Path(folder)) as url:
            rows = await measure(url, options.port, options.at_once, options.seconds, options.limit)
    machine = {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("hiredis", "redis")},
    }
    figures = {"rows": [asdict(row) for row in rows], "limit": options.limit, "machine": machine}
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    Console().print(table_of(rows, options.limit))


def run(options: argparse.Namespace) -> None:
    """Run it on uvloop where that exists, as a node runs."""
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(options))


if __name__ == "__main__":
    try:
        run(arguments(None))
    except (ClusterError, NoEmbeddedRedis) as exc:
        sys.exit(f"✘ {exc}")
