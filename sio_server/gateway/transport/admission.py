"""Handshakes take turns: all devices of another node may come at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sio_server.tasks import end_tasks

AT_ONCE = 16
INSIDE = 48
PACE_S = 0.002


class Turnstile:
    """Lets connections in one by one, in the order in which they came, and serves some handshakes at a time.

    All served at the same time, each would take as long as all of them together, most would have given up by
    then, and come again. So a connection waits, at next to no cost, while many handshakes are to be done; and
    who has gone away meanwhile is not served at all. Who is let in and never shakes hands holds up nobody.
    """

    def __init__(self, at_once: int = AT_ONCE, inside: int = INSIDE) -> None:
        self._serving = asyncio.Semaphore(at_once)
        self._inside = 0  # handshakes that have begun
        self._most = inside
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._has_room = asyncio.Event()
        self._letting_in: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many connections wait to be let in."""
        return len(self._waiting)

    async def enter(self) -> None:
        """A new connection: wait until there is time for its handshake."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if self._letting_in is None or self._letting_in.done():
            self._letting_in = asyncio.create_task(self._let_in(), name="turnstile")
        await turn

    @asynccontextmanager
    async def turn(self, gone: Callable[[], bool]) -> AsyncIterator[bool]:
        """A handshake: wait for its turn; yields whether to serve it: False when `gone()` by then."""
        self._inside += 1
        try:
            async with self._serving:
                yield not gone()
        finally:
            self._inside -= 1
            self._has_room.set()

    async def close(self) -> None:
        """Let nobody in any more."""
        await end_tasks([self._letting_in])

    async def _let_in(self) -> None:
        while self._waiting:
            while self._inside >= self._most:
                self._has_room.clear()
                await self._has_room.wait()
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                # Until then it may have shaken hands, and be counted.
                await asyncio.sleep(PACE_S)
