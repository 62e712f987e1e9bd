"""Why the server has disconnected a session that could not be told: kept until its device returns."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.protocol.errors import Unavailable
from sio_server.store.clock import iso_time
from sio_server.store.connection import redis_errors
from sio_server.store.keys import LAST_END_MS, user_last_end
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)


class DisconnectReasons:
    """Counts and logs disconnects, and keeps the last reason of each device in Redis.

    A device may return to any node, and is told once, by the script that opens its session. When Redis is away it
    may be lost, and the device is told nothing: it is caught up all the same.
    """

    def __init__(self, redis: Redis, sessions: Sessions, metrics: Metrics, now: Callable[[], float]) -> None:
        """`now` returns the time by Redis' clock, in seconds since 1970."""
        self._redis = redis
        self._sessions = sessions
        self._metrics = metrics
        self._now = now
        self._writing: dict[str, asyncio.Task[None]] = {}  # by the key in Redis

    def on_disconnected(self, sid: str | None, reason: DropReason) -> None:
        """The server has ended a connection of this node; `sid` is None when it had no session."""
        self._metrics.drops.labels(reason).inc()
        session = self._sessions.get(sid) if sid is not None else None
        if session is None:
            return
        log.warning(
            "a session was disconnected: reason=%s user=%s device=%s", reason, session.user_id, session.device_id
        )
        key = user_last_end(session.user_id, session.device_id)
        last_end = {"session_id": session.sid, "reason": reason, "ts": iso_time(self._now())}
        task = asyncio.create_task(self._write(key, last_end, self._writing.get(key)), name="last-end")
        self._writing[key] = task
        task.add_done_callback(lambda done: self._on_written(key, done))

    async def settle(self, user_id: str, device_id: str) -> None:
        """Wait until Redis knows why this node has disconnected the device, which is back before that."""
        writing = self._writing.get(user_last_end(user_id, device_id)) if self._writing else None
        if writing is not None:
            await asyncio.wait({writing})

    async def stop(self) -> None:
        """Stop writing."""
        await end_tasks(list(self._writing.values()))

    async def _write(self, key: str, last_end: dict[str, Any], before: asyncio.Task[None] | None) -> None:
        if before is not None:  # the latest one counts
            await asyncio.wait({before})
        try:
            with redis_errors():
                await self._redis.set(key, json.dumps(last_end), px=LAST_END_MS)
        except Unavailable as exc:
            log.info("why a session was disconnected was lost: %s", exc)

    def _on_written(self, key: str, task: asyncio.Task[None]) -> None:
        if self._writing.get(key) is task:
            del self._writing[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("why a session was disconnected could not be kept", exc_info=error)
