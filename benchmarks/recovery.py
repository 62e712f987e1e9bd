"""How long a device takes to be level again: after it has missed 1,000 entries, and when its node dies.

    python -m benchmarks.recovery --json recovery.json

The devices are bare websockets in this process that speak the protocol and decode every answer. A device is level
when it has all entries that were in the log when it asked. The exit status is 1 when one is not level in time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from sio_clients import guest_token
from sio_clients.route import RETURN_S
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.store.connection import connect
from sio_server.store.scripts import Scripts

TEXT = "a message of a hundred characters, as people write them, not long and not short either, with a point."
LEVEL_TIMEOUT_S = 20.0
SETTINGS = {
    "AUTH_MODE": "guest",
    "AUTH_SECRET": "a-secret-that-only-this-benchmark-uses-0123456789",
    "LOG_LEVEL": "error",
    **dict.fromkeys(("RATE_LIMIT_USER", "RATE_LIMIT_MARKS", "RATE_LIMIT_EVENTS", "RATE_LIMIT_ADDRESS"), "off"),
}


class NotLevel(Exception):
    """A device has not become level in time, or the server refused what it asked."""


@dataclass
class Person:
    """A guest with one conversation, in which somebody writes."""

    user_id: str
    token: str
    conversation_id: str = ""
    epoch: str = ""
    seq: int = 0  # of the last entry that its device has seen

    @property
    def author(self) -> Author:
        """The same, as the writer of entries."""
        return Author(self.user_id, "Ann", "elsewhere")


class Device:
    """One connection of a person to a node."""

    def __init__(self, http: aiohttp.ClientSession, person: Person) -> None:
        self._http = http
        self._person = person
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._acks = 0
        self.requests = 0
        self.bytes = 0

    async def connect(self, url: str) -> None:
        """Connect, and wait until the session is open."""
        address = f"{url.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket"
        self._socket = await self._http.ws_connect(address, max_msg_size=0)
        await self._read("0")
        await self._socket.send_str("40" + json.dumps({"token": self._person.token}))
        await self._read("40")

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its ack. Raises NotLevel for a refusal."""
        assert self._socket is not None
        self._acks += 1
        self.requests += 1
        await self._socket.send_str(f"42{self._acks}" + orjson.dumps([event, payload]).decode())
        text = await self._read(f"43{self._acks}[")
        self.bytes += len(text)
        ack: dict[str, Any] = orjson.loads(text[text.index("[") :])[0]
        if not ack["ok"]:
            raise NotLevel(f"{event} was refused: {ack['error']}")
        return ack

    async def catch_up(self) -> int:
        """Ask for what was missed until nothing is; return how many entries came."""
        person, count = self._person, 0
        while True:
            positions = {person.conversation_id: {"epoch": person.epoch, "seq": person.seq}}
            ack = await self.request("session:sync", {"positions": positions, "marks": False})
            result = ack["conversations"][person.conversation_id]
            if "error" in result or result["verdict"] != "resumed":
                raise NotLevel(f"the device was not resumed: {result.get('error') or result['reason']}")
            seqs = [entry["seq"] for entry in result["entries"]]
            if seqs != list(range(person.seq + 1, person.seq + 1 + len(seqs))):
                raise NotLevel(f"the entries after {person.seq} are not those that follow it")
            person.seq, count = result["position"]["seq"], count + len(seqs)
            if not result["more"]:
                return count

    async def lost(self) -> None:
        """Wait until the connection is gone."""
        assert self._socket is not None
        while True:
            message = await self._socket.receive()
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR):
                return
            await self._pong(message.data)

    async def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            await self._socket.close()

    async def _read(self, beginning: str) -> str:
        assert self._socket is not None
        while True:
            text = await self._socket.receive_str()
            if text.startswith(beginning):
                return text
            if text.startswith("44"):
                raise NotLevel(f"the connection was refused: {text}")
            await self._pong(text)

    async def _pong(self, text: str) -> None:
        if text == "2" and self._socket is not None:
            await self._socket.send_str("3")


class Bench:
    """A cluster of two nodes, and people whose conversations are written to beside it."""

    def __init__(self, cluster: LocalCluster, http: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        self.http = http
        self._redis = connect(cluster.redis_url)
        self._log = ConversationLog(Scripts(self._redis))
        self._sent = 0

    async def close(self) -> None:
        """Disconnect from Redis."""
        await self._redis.aclose()

    async def person(self) -> Person:
        """A guest with a conversation without an agent."""
        url = self.cluster.urls[-1]
        person = Person(*await guest_token(url, "Ann"))
        device = Device(self.http, person)
        await device.connect(url)
        ack = await device.request("conversation:create", {"request_id": "create", "agent": "off"})
        person.conversation_id, person.epoch = ack["conversation_id"], ack["position"]["epoch"]
        person.seq = ack["position"]["seq"]
        await device.close()
        return person

    async def write(self, person: Person, count: int) -> None:
        """Add messages to the person's conversation."""
        for _ in range(count):
            self._sent += 1
            request_id = f"m-{self._sent}"
            await self._log.append_message(
                person.conversation_id, person.author, request_id, TEXT, run_id=f"r-{self._sent}"
            )


async def missed_entries(bench: Bench, entries: int, samples: int) -> dict[str, Any]:
    """A device that returns again and again, having missed `entries`: from its first request until it is level."""
    person = await bench.person()
    began_at = person.seq
    await bench.write(person, entries)
    level, connected, requests, size = [], [], 0, 0
    for _ in range(samples):
        person.seq = began_at
        device = Device(bench.http, person)
        t0 = time.perf_counter()
        await device.connect(bench.cluster.urls[0])
        t1 = time.perf_counter()
        async with asyncio.timeout(LEVEL_TIMEOUT_S):
            if await device.catch_up() != entries:
                raise NotLevel(f"not all of {entries} entries came")
        level.append(time.perf_counter() - t1)
        connected.append(t1 - t0)
        requests, size = device.requests, device.bytes
        await device.close()
    return {
        "entries": entries,
        "requests": requests,
        "bytes": size,
        "level_ms": _spread(level),
        "connect_ms": _spread(connected),
    }


async def dead_node(bench: Bench, devices: int, rounds: int, spread_s: float) -> dict[str, Any]:
    """Devices whose node is killed: from the kill until each is level on the other node. Each has missed entries.

    They come back spread over `spread_s` seconds, at once if 0.
    """
    first, other = bench.cluster.ports[0], bench.cluster.urls[1]
    people = [await bench.person() for _ in range(devices)]
    level: list[float] = []
    slowest: list[float] = []
    for _ in range(rounds):
        following = []
        for person in people:
            device = Device(bench.http, person)
            await device.connect(bench.cluster.urls[0])
            await device.catch_up()
            following.append(asyncio.create_task(device.lost()))  # it answers pings
        for person in people:  # what is on its way when the node dies
            await bench.write(person, 1)
        if any(task.done() for task in following):
            raise NotLevel("a connection was lost before the node died")
        killed = time.perf_counter()
        await bench.cluster.signal_node(first, signal.SIGKILL)
        work = [
            _level_again(bench, person, lost, other, spread_s)
            for person, lost in zip(people, following, strict=True)
        ]
        async with asyncio.timeout(LEVEL_TIMEOUT_S):
            times = [at - killed for at in await asyncio.gather(*work)]
        level += times
        slowest.append(max(times))
        await bench.cluster.start_node(first)
    return {"devices": devices, "spread_s": spread_s, "level_ms": _spread(level), "last_ms": _spread(slowest)}


async def _level_again(bench: Bench, person: Person, lost: asyncio.Task[None], url: str, spread_s: float) -> float:
    """Return to another node once the connection is lost; when the device is level there."""
    await lost
    await asyncio.sleep(random.uniform(0, spread_s))
    device = Device(bench.http, person)
    await device.connect(url)
    await device.catch_up()
    level_at = time.perf_counter()
    await device.close()
    return level_at


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    ms = {"p50": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {name: round(value * 1000, 2) for name, value in ms.items()}


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    cluster = LocalCluster(options.port, 2, folder, settings=SETTINGS)
    try:
        await cluster.start()
        async with aiohttp.ClientSession() as http:
            bench = Bench(cluster, http)
            try:
                missed = await missed_entries(bench, options.entries, options.samples)
                dead = [
                    await dead_node(bench, options.devices, options.rounds, spread_s) for spread_s in (0, RETURN_S)
                ]
            finally:
                await bench.close()
    finally:
        await cluster.stop()
    return {"missed": missed, "dead_node": dead}


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title="Until level, in ms", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in ("p50", "p99", "max"):
        table.add_column(column, justify="right")

    def row(name: str, at: dict[str, float]) -> None:
        table.add_row(name, *(f"{at[column]:.1f}" for column in ("p50", "p99", "max")))

    missed = figures["missed"]
    row(f"{missed['entries']} entries missed, in {missed['requests']} requests", missed["level_ms"])
    row("  the connect before that", missed["connect_ms"])
    for dead in figures["dead_node"]:
        how = f"back within {dead['spread_s']:g} s" if dead["spread_s"] else "back at once"
        row(f"node killed, {dead['devices']} devices {how}: each", dead["level_ms"])
        row("  the last of them", dead["last_ms"])
    Console(width=80).print(table)


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--entries", type=int, default=1000, help="missed by one device (default: 1000)")
    parser.add_argument("--samples", type=int, default=200, help="returns of that device (default: 200)")
    parser.add_argument("--devices", type=int, default=100, help="on the node that dies (default: 100)")
    parser.add_argument("--rounds", type=int, default=10, help="deaths of the node, of each kind (default: 10)")
    parser.add_argument("--port", type=int, default=28_300, help="the first of the ports used (default: 28300)")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="roomgraph-recovery-") as folder:
            figures = asyncio.run(measure(options, Path(folder)))
    except (ClusterError, NoEmbeddedRedis) as exc:
        print(exc, file=sys.stderr)
        return 2
    except (NotLevel, TimeoutError) as exc:
        print(f"not level in time: {exc or f'{LEVEL_TIMEOUT_S:g} s have passed'}", file=sys.stderr)
        return 1
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
