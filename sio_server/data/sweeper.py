"""Sweeps what is kept no longer, beside everything else: one node at a time, in small steps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from sio_server.conversation.retention import Retention
from sio_server.data.archive import Archive
from sio_server.data.user_deletion import UserDeletion
from sio_server.files.files import Files
from sio_server.protocol.errors import RoomgraphError, Unavailable
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.keys import SWEEPER
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

LOOK_S = 5.0
AGAIN_S = 0.05  # between two rounds while there is more to do
HELD_MS = 15_000  # another node sweeps when the one that does has said nothing for so long
RENEW_S = 5.0  # while it works
WARNED_S = 300.0  # that one user or conversation fails is logged once in this time
MAX_WARNED = 1000


class Sweeper:
    """Which node sweeps is only meant to save work: two that do change nothing twice.

    What fails with one user, conversation or object is logged, counted and tried again; others are not affected.
    """

    def __init__(
        self,
        redis: BoundedRedis,
        retention: Retention,
        deletions: UserDeletion,
        node_id: str,
        archive: Archive | None = None,
        on_failure: Callable[[str], None] = lambda phase: None,
        files: Files | None = None,
    ) -> None:
        """`on_failure` is called with the phase of each failure: deletion, archive, files or retention."""
        self._files = files
        self._redis = redis
        self._retention = retention
        self._deletions = deletions
        self._archive = archive
        self._node_id = node_id
        self._on_failure = on_failure
        self._warned: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            more = False
            try:
                if await self._hold():
                    async with self._kept_held():
                        more = await self._sweep()
            except Unavailable as exc:
                log.info("sweeping waits for Redis: error=%s", exc)
            await asyncio.sleep(AGAIN_S if more else LOOK_S * random.uniform(0.8, 1.0))

    async def _sweep(self) -> bool:
        """One round; whether the next one has something to do."""
        await self._phase("deletion", self._deletions.resume)
        if self._archive is not None:
            await self._phase("archive", self._archive.remove_gone)
        if self._files is not None:
            await self._phase("files", self._files.remove_due)
        more = False

        async def retention() -> Mapping[str, RoomgraphError]:
            nonlocal more
            swept = await self._retention.sweep()
            if swept.entries or swept.results:
                log.info("swept: entries=%d results=%d", swept.entries, swept.results)
            more = swept.more
            return swept.failed

        await self._phase("retention", retention)
        return more

    async def _phase(self, phase: str, work: Callable[[], Awaitable[Mapping[str, RoomgraphError]]]) -> None:
        try:
            failed = await work()
        except RoomgraphError as exc:
            failed = {"": exc}
        now = time.monotonic()
        for what, error in failed.items():
            self._on_failure(phase)
            if now - self._warned.get((phase, what), -WARNED_S) >= WARNED_S:
                if len(self._warned) >= MAX_WARNED:
                    self._warned.clear()
                self._warned[phase, what] = now
                log.warning("sweeping failed, it is tried again: phase=%s id=%s error=%s", phase, what, error)

    async def _hold(self) -> bool:
        """Whether this node is the one that sweeps."""
        with redis_errors():
            if await self._redis.set(SWEEPER, self._node_id, nx=True, px=HELD_MS):
                return True
            if await self._redis.get(SWEEPER) != self._node_id:
                return False
            await self._redis.pexpire(SWEEPER, HELD_MS)
            return True

    @contextlib.asynccontextmanager
    async def _kept_held(self) -> AsyncIterator[None]:
        """No other node sweeps meanwhile, however long it takes."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_S)
                with contextlib.suppress(Unavailable):
                    await self._hold()

        renewing = asyncio.create_task(renew(), name="sweeper-lock")
        try:
            yield
        finally:
            await end_tasks([renewing])
