"""The admission queue of a node: all devices of another node may connect at once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

CONCURRENT = 32
MAX_PENDING = 64
AT_ONCE = 2  # connections, in PACE_S: one when the loop is late
PACE_S = 0.001
LATE_S = 0.002
MAX_PAUSE_S = 0.005


class AdmissionQueue:
    """Admits connections one by one, in the order in which they came, and bounds concurrent handshakes.

    If all were served at once, each would take as long as all of them together; most clients would have given up
    by then, and come again. So a connection waits, at next to no cost, while many handshakes are pending, and a
    handshake whose client has gone meanwhile is not served. A connection that is admitted and begins no handshake
    delays no other.
    """

    def __init__(self, concurrent: int = CONCURRENT, max_pending: int = MAX_PENDING) -> None:
        self.serving = asyncio.Semaphore(concurrent)
        self.pending = 0  # handshakes that have begun
        self._max_pending = max_pending
        self._waiting: deque[Callable[[], bool]] = deque()
        self._arrived = asyncio.Event()
        self.has_room = asyncio.Event()
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

    def handshake(self, gone: Callable[[], bool]) -> _Handshake:
        """A handshake, as `async with`: waits for its turn; whether to serve it: False if `gone()` by then."""
        return _Handshake(self, gone)

    def close(self) -> None:
        """Admit no further connection."""
        self._closed = True

    async def run(self) -> None:
        """Admit connections, until cancelled: fewer, the later the loop comes to them."""
        at_once = AT_ONCE
        while True:
            while self._closed or not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            while self.pending >= self._max_pending:
                self.has_room.clear()
                await self.has_room.wait()
            admitted = 0
            while self._waiting and admitted < at_once:
                admitted += self._waiting.popleft()()
            if not admitted:
                continue
            # By then their handshakes may have begun, and be counted.
            slept_at = time.monotonic()
            await asyncio.sleep(PACE_S)
            late = time.monotonic() - slept_at - PACE_S
            at_once = AT_ONCE
            if late > LATE_S:  # the loop has much to do: its other work gets as much time again
                at_once = 1
                await asyncio.sleep(min(late, MAX_PAUSE_S))


class _Handshake:
    """One handshake, from when it asks for its turn to its end."""

    __slots__ = ("_gone", "_queue")

    def __init__(self, queue: AdmissionQueue, gone: Callable[[], bool]) -> None:
        self._queue = queue
        self._gone = gone

    async def __aenter__(self) -> bool:
        self._queue.pending += 1
        try:
            await self._queue.serving.acquire()
        except BaseException:
            self._leave()
            raise
        return not self._gone()

    async def __aexit__(self, *error: object) -> None:
        self._queue.serving.release()
        self._leave()

    def _leave(self) -> None:
        self._queue.pending -= 1
        self._queue.has_room.set()
