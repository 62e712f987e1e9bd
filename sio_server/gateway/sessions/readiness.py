"""Whether clients may be sent to this node; and when it is cut off, sending away those that it has."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.session_end import sent_away
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent, SessionEnd
from sio_server.store.shard_health import ShardHealth

log = logging.getLogger(__name__)

DEAF_AFTER_S = 3.5  # without Redis or its own heartbeat for so long a node is not ready; promise P11 allows 5 s
CHECK_S = 0.25
SURE_AFTER = 2  # checks in a row: a node that was paused and wakes is connected again after the first
ASK_EVERY_S = 1.0
STEPS = 8  # of CHECK_S and NOTICE_S, in which all sessions are sent away: the others get so many devices at once
AT_LEAST = 10  # at once
NOTICE_S = 0.1  # between the notice and the end of the connection


class Readiness:
    """Checks four times a second what this node has heard, and sends its sessions away when it is cut off.

    Cut off: it hears Redis or the bus no more, and another node does (`another_is_well`). When Redis is away for
    all of them, or no other node is known, the sessions stay: they could not be better off, and are caught up when
    it is back. While it is cut off it refuses openings of websockets, and handshakes.
    """

    def __init__(
        self,
        node_name: str,
        sessions: Sessions,
        *,
        redis_heard_at: Callable[[], float],
        bus_heard_at: Callable[[], float],
        another_is_well: Callable[[], Awaitable[bool]],
        deliver: Callable[[str, str, Any], object],
        close: Callable[[str], Awaitable[None]],
        failing_tasks: Callable[[], Sequence[str]] = list,
        shards: Callable[[], Sequence[ShardHealth]] = list,
        node_urls: Sequence[str] = (),
    ) -> None:
        """`..._heard_at` are monotonic times; `deliver(sid, event, payload)` and `close(sid)` act on a session.

        `failing_tasks` names the background tasks that fail at present; with one the node is not ready.
        `shards`: of a Redis Cluster; a node whose one shard is away serves what the others have, and says so.
        `node_urls`: where sessions that are sent away find other nodes.
        """
        self._node_name = node_name
        self._sessions = sessions
        self._redis_heard_at = redis_heard_at
        self._bus_heard_at = bus_heard_at
        self._another_is_well = another_is_well
        self._deliver = deliver
        self._close = close
        self._failing_tasks = failing_tasks
        self.shards = shards
        self._node_urls = node_urls
        self._unready_checks = 0
        self._watching_since = math.inf
        self._asked_at = -math.inf
        self._batch = AT_LEAST  # how many sessions are sent away at once
        self.stopping = False
        self.cut_off = False

    @property
    def connected(self) -> bool:
        """Whether the node has heard Redis and itself on the bus of late."""
        return max(self.silent_for().values()) < DEAF_AFTER_S

    def report(self) -> dict[str, Any]:
        """The answer to `GET /ready`."""
        silent_for = self.silent_for()
        failing = list(self._failing_tasks())
        return {
            "ready": self.connected and not self.stopping and not failing,
            "node": self._node_name,
            **{name: age < DEAF_AFTER_S for name, age in silent_for.items()},
            # JSON has no infinity.
            "heard_ms": {name: round(1000 * min(age, 1e6)) for name, age in silent_for.items()},
            **({"failing_tasks": failing} if failing else {}),
            **({"stopping": True} if self.stopping else {}),
            **self._report_shards(),
        }

    def _report_shards(self) -> dict[str, Any]:
        shards = self.shards()
        if not shards:
            return {}
        heard = {
            shard.name: {
                "redis_ms": round(1000 * min(shard.redis_s, 1e6)),
                "bus_ms": round(1000 * min(shard.bus_s, 1e6)),
            }
            for shard in shards
        }
        return {"shards": heard, "shards_away": self._away()}

    def _away(self) -> list[str]:
        return sorted(shard.name for shard in self.shards() if shard.is_away)

    def state(self) -> str:
        """How this node is in a word, as others may read it in Redis: `ready`, or what is wrong."""
        failing = self._failing_tasks()
        if self.stopping:
            return "stopping"
        if self.cut_off:
            return "cut off"
        if self.silent_for()["bus"] >= DEAF_AFTER_S:
            return "deaf"
        if away := self._away():
            return f"shards away: {', '.join(away)}"
        return f"failing: {', '.join(failing)}" if failing else "ready"

    def admit(self) -> None:
        """Raise Unavailable when a new session would be better off on another node."""
        if self.stopping or (self.cut_off and not self.connected):  # the next check will see that it is connected
            raise Unavailable("this node cannot serve at this moment; go to another one")

    async def watch(self) -> None:
        """Check, and act, until cancelled."""
        self._watching_since = min(self._watching_since, time.monotonic())
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self._check()
            except Exception:
                log.exception("checking whether this node is cut off failed, trying again")

    async def _check(self) -> None:
        if self.connected or self.stopping:
            if self.cut_off:
                log.warning("this node is connected again and takes clients")
            self._unready_checks, self.cut_off = 0, False
            return
        if time.monotonic() - self._watching_since < DEAF_AFTER_S:
            return  # it has just been started, and may not have heard anything yet
        self._unready_checks += 1
        if self._unready_checks < SURE_AFTER:
            return
        if not self.cut_off and time.monotonic() - self._asked_at >= ASK_EVERY_S:
            self._asked_at = time.monotonic()
            # Asked while it is not connected: what was heard meanwhile counts.
            self.cut_off = await self._another_is_well() and not self.connected
            if self.cut_off:
                log.warning("this node is cut off and others are not: its clients are sent to them")
                self._batch = max(AT_LEAST, math.ceil(len(self._sessions.all()) / STEPS))
        if self.cut_off:
            await self._send_some_away(self._sessions.all())

    async def _send_some_away(self, sessions: Sequence[Session]) -> None:
        """Some of them, at random, so that the other nodes are not overrun."""
        leaving = random.sample(sessions, min(self._batch, len(sessions)))
        for session in leaving:
            try:
                notice = sent_away(SessionEnd.CUT_OFF, self._node_urls, leaving=len(leaving))
                self._deliver(session.sid, ServerEvent.SESSION_ENDED, notice)
            except Exception:
                log.exception("a session could not be told that it must leave: session_id=%s", session.sid)
        await asyncio.sleep(NOTICE_S)
        ends = await asyncio.gather(*(self._close(session.sid) for session in leaving), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                log.error("a connection could not be closed", exc_info=end)

    def silent_for(self) -> dict[str, float]:
        """Seconds since each was heard."""
        now = time.monotonic()
        return {"redis": now - self._redis_heard_at(), "bus": now - self._bus_heard_at()}
