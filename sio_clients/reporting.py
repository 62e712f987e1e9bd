"""Delivery reports: tell the server what this device has received, each conversation at most once in a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sio_clients.errors import RateLimited, RoomgraphError, Unavailable
from sio_clients.transport import ConnectionLost
from sio_server.protocol.events import DELIVERY_PAUSE_S
from sio_server.protocol.position import Position
from sio_server.tasks import end_tasks

AGAIN_S = 1.0  # until a report that the server could not take is repeated


class DeliveryReports:
    """Reports by `send(conversation_id, seq)`: the first at once, later ones together after each pause.

    A report that was lost with its connection is not repeated: the next connection reports the latest position.
    """

    def __init__(self, send: Callable[[str, int], Awaitable[None]], pause_s: float = DELIVERY_PAUSE_S) -> None:
        self._send = send
        self._pause_s = pause_s
        self._reached: dict[str, Position] = {}
        self._reported: dict[str, Position] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def reached(self, conversation_id: str, position: Position) -> None:
        """This device has everything up to `position`."""
        self._reached[conversation_id] = position
        if conversation_id not in self._tasks and self._reported.get(conversation_id) != position:
            self._tasks[conversation_id] = asyncio.create_task(self._report(conversation_id))

    def forget(self, conversation_id: str) -> None:
        """The conversation is no longer followed."""
        self._reached.pop(conversation_id, None)
        self._reported.pop(conversation_id, None)

    async def close(self) -> None:
        """Stop reporting."""
        await end_tasks(list(self._tasks.values()))

    async def _report(self, conversation_id: str) -> None:
        try:
            while (position := self._reached.get(conversation_id)) != self._reported.get(conversation_id):
                if position is None:
                    return
                try:
                    await self._send(conversation_id, position.seq)
                    if conversation_id in self._reached:
                        self._reported[conversation_id] = position
                except (Unavailable, RateLimited, TimeoutError):
                    await asyncio.sleep(AGAIN_S)
                await asyncio.sleep(self._pause_s)
        except (RoomgraphError, ConnectionLost):
            pass
        finally:
            del self._tasks[conversation_id]
