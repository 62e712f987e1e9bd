"""What waits for one client: counted in bytes, bounded, and checked for progress."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket

from sio_server.gateway.transport.outbound_limits import (
    MAX_ANSWER_BYTES,
    MAX_ANSWERS,
    MAX_EVENT_BYTES,
    MIN_RATE,
    STALL_S,
)


def event_frame(text: str) -> EnginePacket:
    """A frame for many queues, encoded once for all of them."""
    frame = EnginePacket(MESSAGE, text)
    frame.encode_cache = frame.encode().encode()
    return frame


class Outbound:
    """The queue between the engine and the websocket of one client; it replaces the engine's own.

    Events (bytes) are bounded: `on_full` is called when there are too many, and is expected to end the queue.
    Answers, and the engine's own packets (text), are always accepted: code that reads requests checks `unread`
    first. A packet counts until the transport has accepted it, which `sent` reports.
    """

    def __init__(self, on_full: Callable[[Outbound], None] = lambda queue: None) -> None:
        self._on_full = on_full
        self.eio_sid = ""  # of its connection, once the engine has told it
        self._packets: deque[EnginePacket | None] = deque()
        self._event_bytes = 0
        self._answers = 0
        self._answer_bytes = 0
        self._total = 0
        self._ended = False
        self._getter: asyncio.Future[None] | None = None
        self._watchers: list[asyncio.Future[None]] = []
        self._stall: tuple[float, int, int] | None = None  # since when; sent until then; what must be sent besides

    def put_event(self, frame: EnginePacket) -> bool:
        """Put an event frame; False when it is not accepted."""
        size = len(frame.encode_cache)
        if self._ended:
            return False
        if self._event_bytes and self._event_bytes + size > MAX_EVENT_BYTES:
            self._on_full(self)
            return False
        self._event_bytes += size
        self._total += size
        self._packets.append(frame)
        getter = self._getter
        if getter is not None and not getter.done():
            getter.set_result(None)
        return True

    @property
    def waiting(self) -> int:
        """Bytes that the transport has not accepted yet."""
        return self._event_bytes + self._answer_bytes

    @property
    def unread(self) -> bool:
        """Whether so many answers wait that no further request should be read."""
        return self._answers > MAX_ANSWERS or self._answer_bytes > MAX_ANSWER_BYTES

    @property
    def ended(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._ended

    def sent(self, message: str | bytes) -> None:
        """The transport has accepted a message."""
        if self._ended:
            return
        if isinstance(message, bytes):
            self._event_bytes -= len(message)
        else:
            self._answers -= 1
            self._answer_bytes -= len(message)
        self._changed()

    async def change(self) -> None:
        """Wait until something has been sent, or the queue has ended."""
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        await watcher

    def stalled(self, buffered: int, now: float) -> bool:
        """Whether the client has read next to nothing for STALL_S, though something waited all the time.

        Call it often. `buffered`: bytes that the transport has accepted and the system has not.
        """
        left = self.waiting + buffered
        sent = self._total - left
        if not left:
            self._stall = None
        elif self._stall is None or sent >= self._stall[1] + self._stall[2]:
            # Half of a small rest is enough: the transport counts the heads of frames as well.
            self._stall = now, sent, min(int(MIN_RATE * STALL_S), left // 2 + 1)
        return self._stall is not None and now - self._stall[0] >= STALL_S

    def end(self) -> None:
        """Forget everything, and accept nothing any more."""
        self._ended = True
        self._packets.clear()
        self._event_bytes = self._answers = self._answer_bytes = 0
        self._changed()

    def _changed(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        self._watchers.clear()

    # What the engine calls

    def put_nowait(self, packet: EnginePacket | None) -> None:
        """Put an answer; None ends the writer."""
        if packet is not None:
            if self._ended:
                return
            size = len(packet.encode())
            self._answers += 1
            self._answer_bytes += size
            self._total += size
        self._packets.append(packet)
        getter = self._getter
        if getter is not None and not getter.done():
            getter.set_result(None)

    async def put(self, packet: EnginePacket | None) -> None:
        self.put_nowait(packet)

    async def get(self) -> EnginePacket | None:
        while not self._packets:
            self._getter = asyncio.get_running_loop().create_future()
            try:
                await self._getter
            finally:
                self._getter = None
        return self._packets.popleft()

    def get_nowait(self) -> EnginePacket | None:
        if not self._packets:
            raise asyncio.QueueEmpty
        return self._packets.popleft()

    def task_done(self) -> Any:
        """Does nothing: a packet that has left the queue counts until it is `sent`."""

    async def join(self) -> None:
        """Wait until the transport has accepted everything."""
        while self.waiting:
            await self.change()
