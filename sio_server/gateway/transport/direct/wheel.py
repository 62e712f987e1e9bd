"""One timer for all connections of a node: pings, clients that do not read, and those without a session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from sio_server.gateway.transport.engine import PING_INTERVAL_S

log = logging.getLogger(__name__)

BUCKETS = 64
TICK_S = PING_INTERVAL_S / BUCKETS
MAX_LATE_TICKS = 4  # that are made up for at once
CONNECT_S = 5.0  # a connection without a session for so long is closed
CHECK_S = 0.25  # how often clients that do not read are looked at


class WatchedConnection(Protocol):
    """What the wheel knows of a connection."""

    eio_sid: str
    bucket: int

    def on_turn(self, now: float) -> None:
        """Send a ping, or end the connection when the last one was not answered."""
        ...

    def check_progress(self, now: float) -> None:
        """End the connection when its client reads next to nothing."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...


class Wheel:
    """Each connection has a place in a bucket; one bucket after the other has its turn, all of them in 4 s."""

    def __init__(self, on_no_session: Callable[[str], None]) -> None:
        self._buckets: list[set[WatchedConnection]] = [set() for _ in range(BUCKETS)]
        self._next = 0
        self.blocked: set[WatchedConnection] = set()  # connections whose transport takes no more at present
        self._without_session: dict[str, float] = {}  # engine's id -> since when, oldest first
        self._on_no_session = on_no_session

    def add(self, connection: WatchedConnection) -> None:
        """A connection has been opened: its first ping comes in 4 s."""
        connection.bucket = (self._next - 1) % BUCKETS
        self._buckets[connection.bucket].add(connection)

    def remove(self, connection: WatchedConnection) -> None:
        """A connection has ended."""
        self._buckets[connection.bucket].discard(connection)
        self.blocked.discard(connection)
        self._without_session.pop(connection.eio_sid, None)

    def watch_for_session(self, eio_sid: str) -> None:
        """The connection has no session: it must ask for one in time."""
        self._without_session.pop(eio_sid, None)
        self._without_session[eio_sid] = asyncio.get_running_loop().time()

    def forget(self, eio_sid: str) -> None:
        """The connection has asked for a session: it is not waited for any more."""
        self._without_session.pop(eio_sid, None)

    async def run(self) -> None:
        """Check all connections again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        check_at = due
        while True:
            now = loop.time()
            late = int((now - due) / TICK_S)
            if late > MAX_LATE_TICKS:  # the process was paused, or has too much to do: pongs may not be read yet
                due, late = now, 0
            due += TICK_S * (1 + late)
            for _ in range(1 + late):
                self._turn(now)
            if now >= check_at:
                check_at = now + CHECK_S
                for connection in list(self.blocked):
                    try:
                        connection.check_progress(now)
                    except Exception:
                        self._on_error(connection)
                self._end_without_session(now)
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _turn(self, now: float) -> None:
        bucket = self._buckets[self._next]
        self._next = (self._next + 1) % BUCKETS
        for connection in list(bucket):
            try:
                connection.on_turn(now)
            except Exception:
                self._on_error(connection)

    def _on_error(self, connection: WatchedConnection) -> None:
        """One connection cannot be checked: end it, so that all others have their turn."""
        log.exception("a connection could not be checked and is ended")
        self.remove(connection)
        try:
            connection.abort()
        except Exception:
            log.exception("a connection could not be ended")

    def _end_without_session(self, now: float) -> None:
        while self._without_session:
            eio_sid, since = next(iter(self._without_session.items()))
            if now - since < CONNECT_S - CHECK_S:
                return
            del self._without_session[eio_sid]
            try:
                self._on_no_session(eio_sid)
            except Exception:
                log.exception("a connection without a session could not be ended")
