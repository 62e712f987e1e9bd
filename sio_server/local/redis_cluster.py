"""A Redis Cluster as processes on this machine: primaries with a replica each."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sio_server.local.errors import ClusterError
from sio_server.local.processes import Processes
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis

SLOTS = 16_384
NODE_TIMEOUT_MS = 1000  # a server that is silent for so long is taken for dead; the default is 15 s
READY_S = 30.0
LOOK_S = 0.05
MOVED_AT_ONCE = 25  # keys
HAND_OVERS, HAND_OVER_S = 3, 10.0  # a replica that is not promoted gives up after 5 s, and is asked again
OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
    # What the other shards have is served while one is away.
    *("--cluster-require-full-coverage", "no"),
    *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
)


@dataclass(frozen=True)
class Member:
    """A server as the cluster knows it."""

    server_id: str
    port: int
    is_primary: bool
    follows: str  # the id of its primary, or ''
    fails: bool
    slots: tuple[tuple[int, int], ...]  # ranges, both ends included


class RedisCluster:
    """The first half of `ports` begin as primaries, each of the others as the replica of one of them.

    They speak with each other on as many ports behind these.
    All run the bundled server. Processes are named `redis-<port>`; each has its own folder.
    """

    def __init__(self, processes: Processes, folder: Path, ports: Sequence[int]) -> None:
        self.ports = tuple(ports)
        self._processes = processes
        self._folder = folder

    @property
    def url(self) -> str:
        """REDIS_URL for nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    async def start(self) -> None:
        """Start what does not run; the first time form the cluster, and wait until it is whole."""
        known = (self._folder / str(self.ports[0]) / "nodes.conf").exists()
        await asyncio.gather(*(self.start_server(port) for port in self.ports if not self._runs(port)))
        if not known:
            await self._form()
        await self.until_whole()

    async def start_server(self, port: int) -> None:
        """Start a server; one that was in the cluster is in it again."""
        folder = self._folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        command = [*replace(find_embedded_redis(), modules=()).command(port, folder), *OPTIONS]
        command += ["--cluster-port", str(port + len(self.ports))]
        await self._processes.spawn(f"redis-{port}", command, REDIS_ENVIRONMENT)
        await self._until(f"redis-{port}", lambda: self._answers(port))
        self._processes.declare_ready(f"redis-{port}")

    async def signal(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a server, as `Processes.signal` does."""
        await self._processes.signal(f"redis-{port}", number)

    async def ask(self, port: int, *command: str | int) -> Any:
        """Send a command to a server."""
        async with self._client(port) as client:
            return await client.execute_command(*command)

    @asynccontextmanager
    async def _client(self, port: int) -> AsyncIterator[Any]:
        client = Redis(
            port=port,
            decode_responses=True,
            socket_timeout=5.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield client
        finally:
            await client.aclose()

    async def members(self) -> list[Member]:
        """All servers, as the first that answers sees them. Raises what the last one has raised."""
        error: Exception = OSError("no server runs")
        for port in self.ports:
            if self._runs(port):
                try:
                    return _read_members(await self.ask(port, "CLUSTER", "NODES"))
                except (RedisError, OSError) as exc:
                    error = exc
        raise error

    async def primaries(self) -> list[Member]:
        """Those that have slots, in the order of these."""
        found = [one for one in await self.members() if one.is_primary and one.slots and not one.fails]
        return sorted(found, key=lambda one: one.slots)

    async def primary_of(self, slot: int) -> Member:
        """The one that has a slot. Raises ClusterError when none has it at this moment."""
        for one in await self.primaries():
            if any(first <= slot <= last for first, last in one.slots):
                return one
        raise ClusterError("no_shard_primary", slot=slot)

    async def until_primary_is_not(self, slot: int, port: int) -> int:
        """Wait until another server has a slot; returns its port."""
        where = port

        async def is_other() -> bool:
            nonlocal where
            with contextlib.suppress(RedisError, OSError, ClusterError):
                where = (await self.primary_of(slot)).port
            return where != port

        await self._until(f"another primary of slot {slot}", is_other)
        return where

    async def hand_over(self, primary: Member) -> int:
        """Have a replica take its primary's place while both are well (CLUSTER FAILOVER); returns its port."""
        replica = next(one for one in await self.members() if one.follows == primary.server_id)
        slot = primary.slots[0][0]
        for _ in range(HAND_OVERS):
            with contextlib.suppress(RedisError, OSError):
                await self.ask(replica.port, "CLUSTER", "FAILOVER")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_S):
                    return await self.until_primary_is_not(slot, primary.port)
        return await self.until_primary_is_not(slot, primary.port)

    async def move_slot(self, slot: int, source: Member, target: Member) -> None:
        """Move a slot key by key, as `redis-cli --cluster reshard` does."""
        await self.ask(target.port, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.server_id)
        await self.ask(source.port, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.server_id)
        async with self._client(source.port) as client:
            ask = client.execute_command
            while names := await ask("CLUSTER", "GETKEYSINSLOT", slot, MOVED_AT_ONCE):
                await ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
        others = [one for one in await self.primaries() if one.port not in (source.port, target.port)]
        for server in (target, source, *others):
            await self.ask(server.port, "CLUSTER", "SETSLOT", slot, "NODE", target.server_id)

    async def is_whole(self) -> bool:
        """Whether all servers agree that each slot has a primary, and each primary a replica in step."""
        for port in self.ports:
            if not self._runs(port):
                return False
            with contextlib.suppress(RedisError, OSError):
                info = await self.ask(port, "CLUSTER", "INFO")
                if not _says_ok(info):
                    return False
                known = _read_members(await self.ask(port, "CLUSTER", "NODES"))
                if len(known) != len(self.ports) or any(one.fails for one in known):
                    return False
                role = await self.ask(port, "ROLE")
                if role[0] == "master" and len(role[2]) < 1:
                    return False
                if role[0] != "master" and role[3] != "connected":
                    return False
                continue
            return False
        return True

    async def until_whole(self) -> None:
        """Wait for that."""
        await self._until("the Redis Cluster", self.is_whole)

    async def _form(self) -> None:
        count = len(self.ports) // 2
        primaries, replicas = self.ports[:count], self.ports[count:]
        for number, port in enumerate(primaries):
            first, last = round(number * SLOTS / count), round((number + 1) * SLOTS / count) - 1
            await self.ask(port, "CLUSTER", "ADDSLOTSRANGE", first, last)
            await self.ask(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in self.ports[1:]:
            await self.ask(port, "CLUSTER", "MEET", "127.0.0.1", self.ports[0], self.ports[0] + len(self.ports))
        for replica, primary in zip(replicas, primaries, strict=True):
            server_id = await self.ask(primary, "CLUSTER", "MYID")
            await self._until("the servers", lambda port=replica, whom=server_id: self._follow(port, whom))  # type: ignore[misc]

    async def _follow(self, port: int, server_id: str) -> bool:
        with contextlib.suppress(RedisError):  # it has not met the primary yet
            return bool(await self.ask(port, "CLUSTER", "REPLICATE", server_id))
        return False

    def _runs(self, port: int) -> bool:
        return self._processes.is_running(f"redis-{port}")

    async def _answers(self, port: int) -> bool:
        with contextlib.suppress(RedisError, OSError):
            return bool(await self.ask(port, "PING"))
        return False

    async def _until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + READY_S
        while not await holds():
            self._processes.check_started(what)
            if time.monotonic() > deadline:
                raise self._processes.not_ready(what)
            await asyncio.sleep(LOOK_S)


def _says_ok(info: Any) -> bool:
    if isinstance(info, dict):
        return info.get("cluster_state") == "ok"
    return "cluster_state:ok" in str(info)


def _read_members(told: Any) -> list[Member]:
    """Read the reply to CLUSTER NODES, as text or as redis-py reads it."""
    if isinstance(told, str):
        lines = [line.split(" ") for line in told.strip().split("\n")]
    else:  # redis-py: address -> fields
        lines = [
            [
                *(one["node_id"], address, one["flags"], one["master_id"], "", "", "", ""),
                *("-".join(slots) for slots in one["slots"]),
            ]
            for address, one in told.items()
        ]
    return [
        Member(
            line[0],
            int(line[1].partition("@")[0].rpartition(":")[2]),
            "master" in line[2],
            line[3].strip("-"),
            "fail" in line[2],
            tuple(_range(one) for one in line[8:] if not one.startswith("[")),
        )
        for line in lines
    ]


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
