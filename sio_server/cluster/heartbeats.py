"""Heartbeats: a node says that it lives, hears itself on the bus, and clears away what dead nodes left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from sio_server.cluster.nodes import Nodes
from sio_server.cluster.peers import Peers
from sio_server.conversation.clock import Clock
from sio_server.conversation.connection import redis_errors
from sio_server.conversation.keys import NODE_TTL_MS
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
AGAIN_S = 0.2  # after a heartbeat that failed
PEERS_EVERY_S = 5.0


class _Sessions(Protocol):
    """What heartbeats do to the sessions of this node, and of dead ones."""

    async def register_again(self) -> None: ...

    async def tidy(self) -> None: ...

    async def bury(self, node_id: str) -> None: ...


class Heartbeats:
    """Beats each second for as long as `run` runs, and sooner when Redis may be back.

    Who was silent itself does not judge others: when Redis hangs, all nodes are silent and none is dead.
    """

    def __init__(
        self,
        nodes: Nodes,
        sessions: _Sessions,
        peers: Peers,
        clock: Clock,
        *,
        beat_bus: Callable[[], Awaitable[None]],
        on_gone: Callable[[str], Awaitable[None]],
    ) -> None:
        self._nodes = nodes
        self._sessions = sessions
        self._peers = peers
        self._clock = clock
        self._beat_bus = beat_bus
        self._on_gone = on_gone
        self._now = asyncio.Event()
        self._failing_since: float | None = None
        self._unregistered = True  # until the first heartbeat
        self._peers_asked_at = -float("inf")
        self._tidying: asyncio.Task[None] | None = None
        self._burial: asyncio.Task[None] | None = None
        self.heard_at = -float("inf")  # monotonic: when Redis was heard last

    def beat_now(self) -> None:
        """Do not wait for the next second: Redis may be back."""
        self._now.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        steady_since = time.monotonic()
        try:
            while True:
                began = time.monotonic()
                pause = HEARTBEAT_S
                try:
                    steady_since = await self._beat(steady_since)
                except Unavailable as exc:
                    self._failed(began, exc)
                    pause = AGAIN_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause - (time.monotonic() - began))):
                        await self._now.wait()
                self._now.clear()
        finally:
            await end_tasks([self._tidying, self._burial])

    async def _beat(self, steady_since: float) -> float:
        with redis_errors():
            await self._beat_bus()
        asked_at = time.monotonic()
        beat = await self._nodes.heartbeat()
        self._clock.heard(beat.redis_ms, asked_at)
        now = time.monotonic()
        silent_for = now - self.heard_at
        if silent_for > 3 * HEARTBEAT_S:
            steady_since = now
        # The first heartbeat, or this node was silent for so long that it has been buried.
        self._unregistered = self._unregistered or beat.unknown or silent_for > NODE_TTL_MS / 1000
        self.heard_at = now
        if self._failing_since is not None:
            log.warning("Redis is back: it was away for %.1f s", now - self._failing_since)
            self._failing_since = None
        # Beside the heartbeats, which must not wait for thousands of sessions to be written or removed.
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy(), name="sessions-tidying")
        dead = beat.dead if now - steady_since >= NODE_TTL_MS / 1000 else []
        if dead and (self._burial is None or self._burial.done()):
            self._burial = asyncio.create_task(self._bury(dead), name="burial")
        if now - self._peers_asked_at > PEERS_EVERY_S:
            self._peers.learn(await self._nodes.addresses())
            self._peers_asked_at = now
        return steady_since

    def _failed(self, began: float, error: Unavailable) -> None:
        """Said once, however long it lasts."""
        if self._failing_since is None:
            self._failing_since = began
            log.warning("a heartbeat failed: %s (%s)", error, error.__cause__)

    async def _tidy(self) -> None:
        """Write and remove in Redis what could not be while it was away."""
        try:
            if self._unregistered:
                self._unregistered = False
                try:
                    await self._sessions.register_again()
                except Unavailable:
                    self._unregistered = True
                    raise
            await self._sessions.tidy()
        except Unavailable as exc:
            log.info("sessions could not be written, it is tried again: %s (%s)", exc, exc.__cause__)

    async def _bury(self, dead: list[str]) -> None:
        """Remove what dead nodes left. Other nodes may be doing the same at this moment."""
        for node_id in dead:
            log.warning("a node has been silent for %d ms and is taken for dead: %s", NODE_TTL_MS, node_id)
            try:
                await self._sessions.bury(node_id)
                await self._nodes.forget(node_id)
                await self._on_gone(node_id)
            except Unavailable as exc:
                log.warning("a dead node could not be removed, it is tried again: %s (%s)", exc, exc.__cause__)
