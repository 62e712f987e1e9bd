"""The admission queue of a node: all devices of another node may connect at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CONCURRENT = 16
MAX_PENDING = 48
PACE_S = 0.002


class AdmissionQueue:
    """Admits connections one by one, in the order in which they came, and bounds concurrent handshakes.

    If all were served at once, each would take as long as all of them together; most clients would have given up
    by then, and come again. So a connection waits, at next to no cost, while many handshakes are pending, and a
    handshake whose client has gone meanwhile is not served. A connection that is admitted and begins no handshake
    delays no other.
    """

    def __init__(self, concurrent: int = CONCURRENT, max_pending: int = MAX_PENDING) -> None:
        self._serving = asyncio.Semaphore(concurrent)
        self._pending = 0  # handshakes that have begun
        self._max_pending = max_pending
        self._waiting: deque[Callable[[], bool]] = deque()
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many connections wait to be admitted."""
        return len(self._waiting)

    def line_up(self, admit: Callable[[], bool]) -> None:
        """A new connection: call `admit` when there is time for its handshake.

        It returns False when the connection is gone: then the next one is admitted at once.
        """
        self._waiting.append(admit)
        self._arrived.set()

    async def enter(self) -> None:
        """A new connection: wait until there is time for its handshake."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def admit() -> bool:
            if turn.done():
                return False
            turn.set_result(None)
            return True

        self.line_up(admit)
        await turn

    @asynccontextmanager
    async def handshake(self, gone: Callable[[], bool]) -> AsyncIterator[bool]:
        """A handshake: wait for its turn; yields whether to serve it: False if `gone()` by then."""
        self._pending += 1
        try:
            async with self._serving:
                yield not gone()
        finally:
            self._pending -= 1
            self._has_room.set()

    def close(self) -> None:
        """Admit no further connection."""
        self._closed = True

    async def run(self) -> None:
        """Admit connections, until cancelled."""
        while True:
            while self._closed or not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            while self._pending >= self._max_pending:
                self._has_room.clear()
                await self._has_room.wait()
            if self._waiting.popleft()():
                # By then its handshake may have begun, and be counted.
                await asyncio.sleep(PACE_S)
