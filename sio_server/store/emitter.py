"""Publish events to rooms on the bus. They may be lost: nothing may depend on them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from sio_server.protocol.errors import Unavailable
from sio_server.store.json_text import to_json
from sio_server.store.keys import channel_of
from sio_server.store.scripts import Scripts
from sio_server.store.wire import pack
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

LOST_FOR_S = 1.0  # after events that could not be published, others are not tried for so long
AT_ONCE = 500  # messages in one write
MAX_WAITING = 10_000  # messages of `emit_soon`; should there be more, the oldest are lost
CLOSE_S = 1.0  # for messages that wait when the emitter is closed

Message = tuple[str, str]  # channel and text


class Emitter:
    """Publishes ready frames without a number, each on the channel of its room.

    They go through a script, so that they are published with the command that the scripts of the log use.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._lost_until = -float("inf")
        self._waiting: deque[Message] = deque(maxlen=MAX_WAITING)
        self._sending: asyncio.Task[None] | None = None

    async def emit(self, event: str, payload: Any, room: str) -> None:
        """Publish one event to a room. Raises ValueError for what is no room, and nothing for Redis."""
        await self.emit_many([(event, payload, room)])

    async def emit_many(self, events: Iterable[tuple[str, Any, str]]) -> None:
        """Publish events (name, payload, room) in one round trip."""
        await self._publish(_messages(events))

    def emit_soon(self, events: Iterable[tuple[str, Any, str]]) -> None:
        """Publish events in the background; those of one turn of the event loop are written together."""
        self._waiting.extend(_messages(events))
        if self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send_waiting(), name="emit")

    async def close(self) -> None:
        """Publish what waits, if that takes no time."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=CLOSE_S)
            await end_tasks([self._sending])

    async def _send_waiting(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), AT_ONCE)
            await self._publish([self._waiting.popleft() for _ in range(count)])

    async def _publish(self, messages: list[Message]) -> None:
        if (routed := self._scripts.redis.routed) is not None:
            for channel, text in messages:  # none waits for another: one shard may be away
                # A script on that key would be sent to where its slot is moving, and nobody is subscribed there.
                if (sent := routed.send_once(pack(("SPUBLISH", channel, text)), channel)) is not None:
                    sent.add_done_callback(_on_published)
            return
        if not messages or time.monotonic() < self._lost_until:
            return  # a caller with many events must not wait for each of them
        try:
            await self._scripts.many("publish", [([channel], {"message": text}) for channel, text in messages])
        except Unavailable as exc:
            self._lost_until = time.monotonic() + LOST_FOR_S
            log.info("ephemeral events were lost: count=%d error=%s", len(messages), exc)


def _on_published(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None:
        log.debug("an ephemeral event was lost: error=%s", error)


def _messages(events: Iterable[tuple[str, Any, str]]) -> list[Message]:
    messages: list[Message] = []
    encoded: tuple[str, Any, str] | None = None
    for event, payload, room in events:
        # One payload for many rooms, as presence has, is encoded once.
        if encoded is None or encoded[0] != event or encoded[1] is not payload:
            encoded = event, payload, f"X\n42{to_json([event, payload])}"
        messages.append((channel_of(room), encoded[2]))
    return messages
