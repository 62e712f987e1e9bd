"""Sessions that were ended without a word, since who does not read cannot be told: why, on their return."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.bus_messages import SESSION_DROPPED
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.transport.websocket import DropReason
from sio_server.store.keys import user_room
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

KEPT_S = 300.0
KEPT = 10_000  # devices


class Drops:
    """Counts and logs them, and lets all nodes know, since a device may return to any of them.

    The bus may lose the news, and then the device is told nothing: it is caught up all the same.
    """

    def __init__(self, bus: Bus, sessions: Sessions, metrics: Metrics) -> None:
        self._bus = bus
        self._sessions = sessions
        self._metrics = metrics
        self._last: OrderedDict[tuple[str, str], tuple[float, dict[str, Any]]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def dropped(self, sid: str | None, reason: DropReason) -> None:
        """A connection of this node was ended."""
        self._metrics.drops.labels(reason).inc()
        session = self._sessions.get(sid) if sid is not None else None
        if session is None:
            return
        log.warning("a session was ended: reason=%s user=%s device=%s", reason, session.user_id, session.device_id)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        news = {
            "user_id": session.user_id,
            "device_id": session.device_id,
            "end": {"session_id": session.sid, "reason": reason, "ts": now},
        }
        self.hear(news)
        task = asyncio.create_task(
            self._bus.emit(SESSION_DROPPED, news, room=user_room(session.user_id)), name="drop-news"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def hear(self, news: dict[str, Any]) -> None:
        """A session of some node was ended."""
        device = news["user_id"], news["device_id"]
        self._last[device] = time.monotonic(), news["end"]
        self._last.move_to_end(device)
        while len(self._last) > KEPT:
            self._last.popitem(last=False)

    def last_end(self, user_id: str, device_id: str) -> dict[str, Any] | None:
        """How the device's last session was ended, if that was here known, not long ago, and not told yet."""
        at, end = self._last.pop((user_id, device_id), (-KEPT_S, None))
        return end if time.monotonic() - at < KEPT_S else None

    async def close(self) -> None:
        """Tell nobody any more."""
        await end_tasks(self._tasks)
