"""Heartbeats: a node reports that it lives, hears itself on the bus, and reaps what dead nodes left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from sio_server.cluster.nodes import Nodes
from sio_server.cluster.peers import Peers
from sio_server.protocol.errors import Unavailable
from sio_server.store.clock import Clock
from sio_server.store.connection import cannot_write, redis_errors
from sio_server.store.keys import NODE_TTL_MS
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
AGAIN_S = 0.2  # after a heartbeat that failed
PEERS_EVERY_S = 5.0


class _Sessions(Protocol):
    """The sessions of this node."""

    async def register_again(self) -> None: ...


class _Ends(Protocol):
    """The ended sessions of this node, and those of dead ones."""

    async def clean_up(self) -> None: ...

    async def reap(self, node_id: str) -> None: ...


class Heartbeats:
    """Sends a heartbeat each second for as long as `run` runs, and sooner when Redis may be back.

    A node that was silent itself does not judge others: when Redis hangs, all nodes are silent and none is dead.
    """

    def __init__(
        self,
        nodes: Nodes,
        sessions: _Sessions,
        ends: _Ends,
        peers: Peers,
        clock: Clock,
        *,
        beat_bus: Callable[[], Coroutine[Any, Any, None]],
        on_gone: Callable[[str], Awaitable[None]],
        on_answered: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`on_gone` is called with each dead node that was removed; `on_answered` with how long Redis took."""
        self._nodes = nodes
        self._sessions = sessions
        self._ends = ends
        self._peers = peers
        self._clock = clock
        self._beat_bus = beat_bus
        self._on_gone = on_gone
        self._on_answered = on_answered
        self._now = asyncio.Event()
        self._failing_since: float | None = None
        self._unregistered = True  # until the first heartbeat
        self._beat_at = self._steady_since = -math.inf
        self._peers_asked_at = -math.inf
        self._beside: dict[str, asyncio.Task[None]] = {}  # what heartbeats do not wait for
        self.heard_at = -math.inf  # monotonic: when Redis has answered a heartbeat last

    def beat_now(self) -> None:
        """Do not wait for the next second: Redis may be back."""
        self._now.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        self._steady_since = time.monotonic()
        try:
            while True:
                began = time.monotonic()
                pause = HEARTBEAT_S
                # The one does not wait for the other: Redis may be far away.
                self._do_beside("bus", self._beat_bus())
                try:
                    await self._beat()
                except Unavailable as exc:
                    if cannot_write(exc.__cause__):
                        self.heard_at = time.monotonic()
                    self._failed(began, exc)
                    pause = AGAIN_S
                except Exception:
                    # A node without heartbeats would be taken for dead.
                    log.exception("a heartbeat went wrong, trying again")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause - (time.monotonic() - began))):
                        await self._now.wait()
                self._now.clear()
        finally:
            await end_tasks(self._beside.values())

    async def _beat(self) -> None:
        asked_at = time.monotonic()
        beat = await self._nodes.heartbeat()
        self._clock.heard(beat.redis_ms, asked_at)
        now = self.heard_at = time.monotonic()
        self._on_answered(now - asked_at)
        silent_for = now - self._beat_at
        self._beat_at = now
        if silent_for > 3 * HEARTBEAT_S:
            self._steady_since = now
        # The first heartbeat, or this node was silent for so long that others have reaped it.
        self._unregistered = self._unregistered or beat.unknown or silent_for > NODE_TTL_MS / 1000
        if self._failing_since is not None:
            log.warning("Redis is back: it was away for %.1f s", now - self._failing_since)
            self._failing_since = None
        self._do_beside("clean-up", self._clean_up())
        if beat.dead and now - self._steady_since >= NODE_TTL_MS / 1000:
            self._do_beside("reaping", self._reap(beat.dead))
        if now - self._peers_asked_at > PEERS_EVERY_S:
            self._peers_asked_at = now
            self._do_beside("peers", self._ask_for_peers())

    def _do_beside(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something that may take long, unless it is being done already."""
        task = self._beside.get(name)
        if task is not None and not task.done():
            work.close()
            return
        self._beside[name] = asyncio.create_task(self._try(work), name=f"heartbeat-{name}")

    async def _try(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            with redis_errors():
                await work
        except Unavailable as exc:
            log.info("it is tried again with a later heartbeat: %s (%s)", exc, exc.__cause__)

    async def _ask_for_peers(self) -> None:
        self._peers.learn(await self._nodes.addresses())

    def _failed(self, began: float, error: Unavailable) -> None:
        """Logged once, however long it lasts."""
        if self._failing_since is None:
            self._failing_since = began
            log.warning("a heartbeat failed: %s (%s)", error, error.__cause__)

    async def _clean_up(self) -> None:
        """Write and remove in Redis what could not be while it was away."""
        if self._unregistered:
            self._unregistered = False
            try:
                await self._sessions.register_again()
            except BaseException:
                self._unregistered = True
                raise
        await self._ends.clean_up()

    async def _reap(self, dead: list[str]) -> None:
        """Remove what dead nodes left. Other nodes may be doing the same at this moment."""
        for node_id in dead:
            log.warning("a node has been silent for %d ms and is taken for dead: %s", NODE_TTL_MS, node_id)
            try:
                await self._ends.reap(node_id)
                await self._nodes.forget(node_id)
                await self._on_gone(node_id)
            except Unavailable as exc:
                log.warning("a dead node could not be removed, it is tried again: %s (%s)", exc, exc.__cause__)
