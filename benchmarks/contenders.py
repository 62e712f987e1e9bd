"""The servers that are compared: how each is installed, started and spoken to."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from redis import Redis

from benchmarks.load_generator import DATA, BenchmarkError, Generator
from benchmarks.machine import OTHERS, SERVERS, cpu_seconds, memory_kb, on_cores
from sio_server.local.cluster import LocalCluster
from sio_server.local.ports import find_ports, is_free

PEERS = Path(__file__).parent / "peers"
NODE = DATA / "node"
VENV = DATA / "venv"
SECRET = "a secret of the benchmarks which is no secret"
NODE_WARM_S = 6.0
START_TIMEOUT_S = 30.0
QUIET_COMMANDS = 30  # in 0.1 s: INFO, heartbeats


@dataclass(frozen=True)
class Kind:
    """A server of a certain kind with its settings."""

    name: str
    title: str
    command: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    warm_s: float = 1.0  # of load before the first figure
    ours: bool = False


def _ours(name: str, title: str, **settings: str) -> Kind:
    command = [sys.executable, "-m", "roomgraph", "node"]
    settings = {"AUTH_MODE": "token", "AUTH_SECRET": SECRET, "CONNECTIONS_PER_USER": "0", **settings}
    return Kind(name, title, command, settings, ours=True)


def _node(adapter: str, title: str) -> Kind:
    settings = {"ADAPTER": adapter, "NODE_ENV": "production"}
    return Kind(f"node-{adapter}", title, ["node", str(NODE / "server.js")], settings, NODE_WARM_S)


def _in_venv(name: str, title: str, file: str) -> Kind:
    return Kind(name, title, [str(VENV / "bin" / "python"), str(PEERS / file)])


KINDS = {
    kind.name: kind
    for kind in (
        _ours("ours", "Roomgraph"),
        _ours("ours-joined", "Roomgraph, JOIN_WRITES=2", JOIN_WRITES="2"),
        _ours("ours-stock", "Roomgraph, TRANSPORT=stock", TRANSPORT="stock"),
        Kind("stock", "python-socketio", [sys.executable, str(PEERS / "stock.py")]),
        _in_venv("channels", "Django Channels", "channels_server.py"),
        _node("pubsub", "Node, redis-adapter"),
        _node("sharded", "Node, sharded redis-adapter"),
        _node("streams", "Node, redis-streams-adapter"),
        _in_venv("bare", "bare uvloop and hiredis", "bare.py"),
        _in_venv("bare-picows", "bare picows and hiredis", "bare_picows.py"),
    )
}


def install(kinds: Sequence[Kind]) -> None:
    """Install what these servers need into `.data/benchmarks`, at the pinned versions. Raises BenchmarkError."""
    DATA.mkdir(parents=True, exist_ok=True)
    if any(kind.command[0] == "node" for kind in kinds):
        if not shutil.which("npm") or not shutil.which("node"):
            raise BenchmarkError("Node's servers need node and npm, from 20 on: install them, or leave them out")
        lock = PEERS / "node" / "package-lock.json"
        if _is_new(NODE / "package-lock.json", lock):
            shutil.rmtree(NODE, ignore_errors=True)
            NODE.mkdir()
            shutil.copy(PEERS / "node" / "package.json", NODE)
            _run(["npm", "ci", "--no-audit", "--no-fund"], lock, NODE)
        shutil.copy(PEERS / "node" / "server.js", NODE)
    if any(kind.command[0].startswith(str(VENV)) for kind in kinds):
        requirements = PEERS / "requirements.txt"
        if _is_new(VENV / "requirements.txt", requirements):
            shutil.rmtree(VENV, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", VENV], check=True)
            pip = [sys.executable, "-m", "pip", "--python", str(VENV / "bin" / "python"), "install", "-q"]
            _run([*pip, "--no-deps", "-r", "requirements.txt"], requirements, VENV)


def _is_new(installed: Path, wanted: Path) -> bool:
    return not installed.exists() or installed.read_bytes() != wanted.read_bytes()


def _run(command: Sequence[str], pinned: Path, folder: Path) -> None:
    """Install what a file pins; it stays beside what it names only when that has succeeded."""
    copy = Path(shutil.copy(pinned, folder))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        copy.unlink()
        raise BenchmarkError(f"{' '.join(command)} has failed:\n{done.stdout}{done.stderr}")


class PeerCluster(LocalCluster):
    """Nodes of another server, which is ready when it listens."""

    async def _until_ready(self, name: str, port: int) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while is_free(port):
                self._processes.check_started(name)
                await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Spent:
    """What a server has used: CPU seconds of each node and of Redis, commands of Redis, bytes to and from it."""

    each_node: tuple[float, ...]
    redis: float
    commands: int  # with those that scripts call
    redis_bytes: int

    @property
    def nodes(self) -> float:
        """CPU seconds of all nodes."""
        return sum(self.each_node)

    def __sub__(self, before: Spent) -> Spent:
        return Spent(
            tuple(now - then for now, then in zip(self.each_node, before.each_node, strict=True)),
            self.redis - before.redis,
            self.commands - before.commands,
            self.redis_bytes - before.redis_bytes,
        )


class Contender:
    """A server of some nodes that runs, with a Redis and a load generator of its own."""

    def __init__(self, kind: Kind, nodes: int, folder: Path) -> None:
        self.kind = kind
        cluster = LocalCluster if kind.ours else PeerCluster
        self.cluster = cluster(find_ports(nodes), nodes, folder / kind.name, settings=kind.settings)
        self.cluster.node_command = list(kind.command)
        self.generator = Generator(kind.name)
        self._run = secrets.token_hex(4)
        self._requests = 0

    async def start(self) -> None:
        """Start Redis, the nodes and the generator."""
        with on_cores(OTHERS):
            await self.cluster.start_redis()
        with on_cores(SERVERS):
            await asyncio.gather(*(self.cluster.start_node(port) for port in self.cluster.ports))
        await self.new_generator(self.generator)

    async def new_generator(self, generator: Generator) -> Generator:
        """Start one more generator for this server."""
        await generator.start(self.cluster.ports, '42["session:opened"' if self.kind.ours else "40")
        return generator

    async def stop(self) -> None:
        """End all of it."""
        if hasattr(self.generator, "_process"):
            await self.generator.close()
        await self.cluster.stop()

    # What it costs

    def node_pids(self) -> list[int]:
        """The processes of the nodes, in the order of their ports."""
        pids = self.cluster.pids
        try:
            return [pids[f"node-{port}"] for port in self.cluster.ports]
        except KeyError as exc:
            raise BenchmarkError(f"{self.kind.name}: {exc.args[0]} has ended; see its log") from None

    def spent(self) -> Spent:
        """What has been used until now."""
        with Redis.from_url(self.cluster.redis_url) as redis:
            counted: dict[str, Any] = redis.info("stats")
        return Spent(
            each_node=tuple(cpu_seconds([pid]) for pid in self.node_pids()),
            redis=cpu_seconds([self.cluster.pids["redis"]]),
            commands=counted["total_commands_processed"],
            redis_bytes=counted["total_net_input_bytes"] + counted["total_net_output_bytes"],
        )

    async def until_quiet(self) -> None:
        """Wait until the nodes have done what they have put off.

        Node's redis-adapter delivers at once and publishes later: most of it after the load has ended.
        """
        commands = self.spent().commands
        for _ in range(100):
            await self.generator.run("idle 0.1")
            before, commands = commands, self.spent().commands
            if commands - before <= QUIET_COMMANDS:
                return
        raise BenchmarkError(f"{self.kind.name}: the nodes do not come to rest")

    def memory_kb(self) -> tuple[int, int]:
        """RSS and PSS of the nodes."""
        return memory_kb(self.node_pids())

    # What clients say

    def add_clients(self, count: int, generator: Generator | None = None, *, node: int | None = None) -> None:
        """Further clients, each of a user of its own, on a node, or on all in turn."""
        generator = generator or self.generator
        for number in range(generator.clients, generator.clients + count):
            server = number % len(self.cluster.ports) if node is None else node
            generator.add_client(server, self.packet(f"{id(generator):x}-{number}"))

    def packet(self, user: str) -> str:
        """What a client says first: our servers are the only ones that authenticate."""
        if not self.kind.ours:
            return "40"
        now = int(time.time())
        claims = {
            "sub": f"user-{user}",
            "aud": "roomgraph",
            "iat": now - 10,
            "exp": now + 86400,
            "name": f"User {user}",
        }
        token = jwt.encode(claims, SECRET, "HS256")
        return "40" + json.dumps({"token": token, "device_id": f"device-{user}"}, separators=(",", ":"))

    def create(self, room: str) -> list[Any] | None:
        """The request that makes a room, where one has to be made."""
        if not self.kind.ours:
            return None
        request = {"request_id": self._request_id(), "conversation_id": room, "access": "open", "agent": "off"}
        return ["conversation:create", request]

    def join(self, room: str) -> list[Any]:
        """The request to join a room and follow it."""
        if not self.kind.ours:
            return ["join", room]
        return ["conversation:join", {"request_id": self._request_id(), "conversation_id": room}]

    def follow(self, rooms: Sequence[str]) -> list[list[Any]]:
        """The requests of a member to follow its rooms."""
        if not self.kind.ours:
            return [self.join(room) for room in rooms]
        request = {"positions": dict.fromkeys(rooms), "entries": 1, "marks": False}
        return [["session:sync", request]]

    def message(self, room: str, size: int) -> list[Any]:
        """A message of `size` bytes of text to a room; the generator puts its mark in place of each `$`."""
        text = "$" + ("The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[: size - 11]
        if not self.kind.ours:
            return ["send", {"room": room, "text": text}]
        return ["message:send", {"request_id": f"{self._run}$", "conversation_id": room, "text": text}]

    def _request_id(self) -> str:
        self._requests += 1
        return f"{self._run}-{self._requests}"

    # Rooms

    async def fill_rooms(self, rooms: Mapping[str, Sequence[int]]) -> None:
        """Make clients members of rooms, connect all, and let each follow its rooms.

        Of ours, a batch of clients at a time joins and is gone before the next comes: a thousand members who hear
        of each other's joins are a million deliveries, which are not to be measured.
        """
        generator = self.generator
        rooms_of: dict[int, list[str]] = {}
        for room, members in rooms.items():
            for member in members:
                rooms_of.setdefault(member, []).append(room)
        if self.kind.ours:
            made: set[str] = set()
            batch = 50
            for first in range(0, generator.clients, batch):
                count = min(batch, generator.clients - first)
                await generator.connect(first, count)
                for member in range(first, first + count):
                    for room in rooms_of.get(member, []):
                        if room not in made and (request := self.create(room)):
                            made.add(room)
                            generator.ask(member, request)
                await generator.asks()
                for member in range(first, first + count):
                    for room in rooms_of.get(member, []):
                        generator.ask(member, self.join(room))
                await generator.asks()
                await generator.disconnect(first, count)
        await generator.connect(0, generator.clients)
        for member, names in rooms_of.items():
            for request in self.follow(names):
                generator.ask(member, request)
        await generator.asks()
        await generator.run("idle 0.5")  # adapters subscribe without waiting for it
