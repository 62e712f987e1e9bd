"""Delivery reports: tell the server what this device has received, of all conversations at once in each pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice

from sio_clients.errors import RateLimited, RoomgraphError, Unavailable
from sio_clients.transport import ConnectionLost
from sio_server.protocol.events import DELIVERY_PAUSE_S, MAX_MARKED
from sio_server.protocol.position import Position
from sio_server.tasks import end_tasks

AGAIN_S = 1.0  # until a report that the server could not take is repeated


class DeliveryReports:
    """Reports by `send({conversation_id: seq})`: the first at once, later ones together after each pause.

    A report that was lost with its connection is not repeated: the next connection reports the latest positions.
    """

    def __init__(
        self, send: Callable[[dict[str, int]], Awaitable[None]], pause_s: float = DELIVERY_PAUSE_S
    ) -> None:
        self._send = send
        self._pause_s = pause_s
        self._due: dict[str, Position] = {}  # to be reported, the longest due first
        self._reported: dict[str, Position] = {}
        self._reporting: asyncio.Task[None] | None = None

    def reached(self, conversation_id: str, position: Position) -> None:
        """This device has everything up to `position`."""
        if self._reported.get(conversation_id) == position:
            self._due.pop(conversation_id, None)
            return
        self._due[conversation_id] = position
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.create_task(self._report(), name="delivery-reports")

    def forget(self, conversation_id: str) -> None:
        """The conversation is no longer followed."""
        self._due.pop(conversation_id, None)
        self._reported.pop(conversation_id, None)

    async def close(self) -> None:
        """Stop reporting."""
        await end_tasks([self._reporting])

    async def _report(self) -> None:
        while self._due:
            batch = dict(islice(self._due.items(), MAX_MARKED))
            try:
                await self._send({conversation_id: position.seq for conversation_id, position in batch.items()})
            except (Unavailable, RateLimited, TimeoutError):
                await asyncio.sleep(AGAIN_S)
            except (RoomgraphError, ConnectionLost):
                self._due.clear()
                return
            else:
                for conversation_id, position in batch.items():
                    # Not if it has been forgotten meanwhile, or has come further.
                    if self._due.get(conversation_id) == position:
                        self._reported[conversation_id] = self._due.pop(conversation_id)
            await asyncio.sleep(self._pause_s)
