"""Messages on their way to one conversation: sent without waiting for each other, logged in order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from sio_clients.errors import ErrorCode, Refused

PIPELINED = 16  # messages that may be on their way at a time


class _Message:
    """A message that was acked, refused or given up when it is `settled`."""

    def __init__(self, request_id: str, before: _Message | None) -> None:
        self.request_id = request_id
        self.before = before
        self.settled = asyncio.Event()

    def latest_unsettled(self) -> _Message | None:
        """This message, or the last one before it that is still on its way."""
        message: _Message | None = self
        while message is not None and message.settled.is_set():
            message = message.before
        return message


class Pipeline:
    """Messages in the order of the calls of `send`.

    Each names the one before it that is still on its way, and the server takes none before that one is in the log.
    So the order holds, also when one in the middle is refused, or when all are repeated on another connection.
    """

    def __init__(self, request: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
        self._request = request
        self._last: _Message | None = None
        self._places = asyncio.Semaphore(PIPELINED)

    async def send(
        self, event: str, payload: dict[str, Any] | Callable[[], Awaitable[dict[str, Any]]], request_id: str | None
    ) -> dict[str, Any]:
        """Send a message, or an edit, until it is answered; return its ack.

        One whose payload takes time to make, as its files must be uploaded, keeps the place of its call.
        """
        async with self._places:
            message = _Message(request_id or uuid.uuid4().hex, self._last and self._last.latest_unsettled())
            self._last = message
            try:
                made = payload if isinstance(payload, dict) else await payload()
                ack = await self._send(event, made, message)
                message.before = None  # it is in the log as well
                return ack
            finally:
                message.settled.set()

    async def _send(self, event: str, payload: dict[str, Any], message: _Message) -> dict[str, Any]:
        while True:
            before = message.before = message.before and message.before.latest_unsettled()
            after = before and before.request_id
            try:
                return await self._request(event, {**payload, "request_id": message.request_id, "after": after})
            except Refused as exc:
                if exc.code != ErrorCode.OUT_OF_ORDER or before is None:
                    raise
            await before.settled.wait()
