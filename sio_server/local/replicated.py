"""A primary, its replicas, and the sentinels that watch them, as processes on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sio_server.local.errors import ClusterError
from sio_server.local.processes import Processes
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis

SERVICE = "roomgraph"
DOWN_AFTER_MS = 1000  # a server that is silent for so long is taken for dead; Sentinel's own default is 30 s
FAILOVER_TIMEOUT_MS = 5000  # twice as long until a failover that did not succeed is tried again
READY_S = 30.0
LOOK_S = 0.05
HAND_OVERS, HAND_OVER_S = 3, 10.0  # one that does not succeed is given up by the sentinels, and asked for again


@dataclass(frozen=True)
class Place:
    """Where a server or sentinel runs: its address, and the command that enters its network, if it has its own."""

    host: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


class ReplicatedRedis:
    """The first of `ports` begins as the primary, the others as its replicas; sentinels are on `sentinel_ports`.

    All run the bundled server. Processes are named `redis-<port>` and `sentinel-<port>`; each has its own folder.
    """

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        ports: Sequence[int],
        sentinel_ports: Sequence[int],
        places: Mapping[int, Place] | None = None,
    ) -> None:
        """`places`: by port, where something runs that is not on loopback."""
        self.ports = tuple(ports)
        self.sentinel_ports = tuple(sentinel_ports)
        self._places = places or {}
        self._processes = processes
        self._folder = folder

    @property
    def url(self) -> str:
        """REDIS_URL for nodes."""
        sentinels = ",".join(f"{self._place(port).host}:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{sentinels}/{SERVICE}/0"

    async def start(self) -> None:
        """Start what does not run; the first time wait until replicas are in step and sentinels know all."""
        if any(self._runs(f"sentinel-{port}") for port in self.sentinel_ports):
            await asyncio.gather(
                *(self.start_server(port) for port in self.ports if not self._runs(f"redis-{port}"))
            )
            return
        primary = self._recorded_primary() or self.ports[0]
        await asyncio.gather(*(self.start_server(port, primary) for port in self.ports))
        # A sentinel asks a server for its replicas each ten seconds only.
        await self._until("replicas in step", lambda: self._has_replicas(primary, len(self.ports) - 1))
        await asyncio.gather(*(self.start_sentinel(port, primary) for port in self.sentinel_ports))
        await self._until("the replicas and sentinels", self._is_whole)

    def _place(self, port: int) -> Place:
        return self._places.get(port, Place())

    def _runs(self, name: str) -> bool:
        return self._processes.is_running(name)

    async def start_server(self, port: int, primary: int | None = None) -> None:
        """Start a server; one that is not `primary`, or the present one, begins as its replica."""
        folder = self._folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        place = self._place(port)
        command = [*place.enter, *find_embedded_redis().command(port, folder)]
        command += ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
        if place.host != "127.0.0.1":
            command += ["--bind", place.host, "--protected-mode", "no"]
        primary = primary or await self.primary()
        if port != primary:
            command += ["--replicaof", self._place(primary).host, str(primary)]
        await self._processes.spawn(f"redis-{port}", command, REDIS_ENVIRONMENT)
        await self._until(f"redis-{port}", lambda: self._answers(port))
        self._processes.declare_ready(f"redis-{port}")

    async def signal(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a server, as `Processes.signal` does."""
        await self._processes.signal(f"redis-{port}", number)

    async def primary(self) -> int:
        """The port of the primary, as the sentinels say. Raises ClusterError when none of them answers."""
        port = await self._known_primary()
        if port is None:
            raise ClusterError("no_sentinel", ports=", ".join(map(str, self.sentinel_ports)))
        return port

    async def ask(self, port: int, *command: str | int) -> Any:
        """Send a command to a server or sentinel."""
        client: Any = Redis(
            host=self._place(port).host,
            port=port,
            decode_responses=True,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return await client.execute_command(*command)
        finally:
            await client.aclose()

    async def in_step(self, count: int) -> bool:
        """Whether the primary has so many replicas that receive what it writes."""
        return await self._has_replicas(await self.primary(), count)

    async def until_in_step(self, count: int) -> None:
        """Wait for that."""
        await self._until(f"{count} replicas", lambda: self.in_step(count))

    async def until_primary_is_not(self, port: int) -> int:
        """Wait until the sentinels name another primary; returns its port."""
        await self._until("another primary", lambda: self._is_other(port))
        return await self.primary()

    async def hand_over(self) -> int:
        """Have a replica promoted while all servers are well (SENTINEL FAILOVER); returns its port."""
        before = await self.primary()
        for _ in range(HAND_OVERS):
            await self._until("a planned failover", self._is_failing_over)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_S):
                    return await self.until_primary_is_not(before)
        return await self.until_primary_is_not(before)

    async def _is_failing_over(self) -> bool:
        # They refuse while another failover is not over, and until a replica that came back has been looked at.
        with contextlib.suppress(RedisError, OSError):
            return bool(await self.ask(self.sentinel_ports[0], "SENTINEL", "FAILOVER", SERVICE))
        return False

    async def _has_replicas(self, port: int, count: int) -> bool:
        with contextlib.suppress(RedisError, OSError):
            role, _, replicas = await self.ask(port, "ROLE")
            return role == "master" and len(replicas) >= count
        return False

    async def _is_other(self, port: int) -> bool:
        return await self._known_primary() not in (None, port)

    async def start_sentinel(self, port: int, primary: int | None = None) -> None:
        """Start a sentinel; one that has run here before knows what it knew, another watches `primary`."""
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "sentinel.conf"  # which the sentinel writes itself from then on
        if not config.exists():
            config.write_text(
                self._sentinel_config(port, primary or await self.primary(), folder), encoding="utf-8"
            )
        command = [*self._place(port).enter, str(find_embedded_redis().server), str(config), "--sentinel"]
        await self._processes.spawn(f"sentinel-{port}", command, REDIS_ENVIRONMENT)
        await self._until(f"sentinel-{port}", lambda: self._answers(port))
        self._processes.declare_ready(f"sentinel-{port}")

    def _sentinel_config(self, port: int, primary: int, folder: Path) -> str:
        watched = f"{self._place(primary).host} {primary}"
        lines = [
            f"bind {self._place(port).host}",
            "protected-mode no",
            f"port {port}",
            f"dir {folder.resolve()}",
            f"sentinel monitor {SERVICE} {watched} {len(self.sentinel_ports) // 2 + 1}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
            f"sentinel parallel-syncs {SERVICE} {max(1, len(self.ports) - 1)}",
        ]
        return "\n".join(lines) + "\n"

    def _recorded_primary(self) -> int | None:
        """The primary of an earlier run in this folder, as the sentinels have written it down."""
        recorded: dict[int, int] = {}
        for port in self.sentinel_ports:
            config = self._folder / f"sentinel-{port}" / "sentinel.conf"
            text = config.read_text(encoding="utf-8") if config.exists() else ""
            primary = re.search(rf"^sentinel monitor {SERVICE} \S+ (\d+)", text, re.MULTILINE)
            epoch = re.search(rf"^sentinel config-epoch {SERVICE} (\d+)", text, re.MULTILINE)
            if primary:
                recorded[int(epoch[1]) if epoch else 0] = int(primary[1])
        return recorded[max(recorded)] if recorded else None

    async def _known_primary(self) -> int | None:
        for port in self.sentinel_ports:
            with contextlib.suppress(RedisError, OSError):
                named = await self.ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                return int(named[1]) if named else None
        return None

    async def _answers(self, port: int) -> bool:
        with contextlib.suppress(RedisError, OSError):
            return bool(await self.ask(port, "PING"))
        return False

    async def _is_whole(self) -> bool:
        if not await self.in_step(len(self.ports) - 1):
            return False
        for port in self.sentinel_ports:
            flat = await self.ask(port, "SENTINEL", "MASTER", SERVICE)
            said = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
            known = int(said["num-slaves"]), int(said["num-other-sentinels"])
            if known != (len(self.ports) - 1, len(self.sentinel_ports) - 1):
                return False
        return True

    async def _until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + READY_S
        while not await holds():
            self._processes.check_started(what)
            if time.monotonic() > deadline:
                raise self._processes.not_ready(what)
            await asyncio.sleep(LOOK_S)
