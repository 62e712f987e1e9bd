"""Sweeps what is kept no longer, beside everything else: one node at a time, in small steps."""

from __future__ import annotations

import asyncio
import logging
import random

from sio_server.conversation.retention import Retention
from sio_server.data.archive import Archive
from sio_server.data.user_deletion import UserDeletion
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.keys import SWEEPER

log = logging.getLogger(__name__)

LOOK_S = 5.0
AGAIN_S = 0.05  # between two rounds while there is more to do
HELD_MS = 15_000  # another node sweeps when the one that does has said nothing for so long


class Sweeper:
    """Which node sweeps is only meant to save work: two that do change nothing twice."""

    def __init__(
        self,
        redis: BoundedRedis,
        retention: Retention,
        deletions: UserDeletion,
        node_id: str,
        archive: Archive | None = None,
    ) -> None:
        self._redis = redis
        self._retention = retention
        self._deletions = deletions
        self._archive = archive
        self._node_id = node_id

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            pause_s = LOOK_S * random.uniform(0.8, 1.0)
            try:
                if await self._hold():
                    await self._deletions.resume()
                    if self._archive is not None:
                        await self._archive.remove_gone()
                    swept = await self._retention.sweep()
                    if swept.entries or swept.results:
                        log.info("swept: entries=%d results=%d", swept.entries, swept.results)
                    if swept.more:
                        pause_s = AGAIN_S
            except (Unavailable, Refused) as exc:
                log.info("sweeping waits for Redis: error=%s", exc)
            await asyncio.sleep(pause_s)

    async def _hold(self) -> bool:
        """Whether this node is the one that sweeps."""
        with redis_errors():
            if await self._redis.set(SWEEPER, self._node_id, nx=True, px=HELD_MS):
                return True
            if await self._redis.get(SWEEPER) != self._node_id:
                return False
            await self._redis.pexpire(SWEEPER, HELD_MS)
            return True
