"""What waits for one client: counted in bytes, bounded, and looked at for whether it moves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket

MAX_EVENT_BYTES = 1024 * 1024  # of events that a client has not taken yet
MAX_ANSWER_BYTES = 256 * 1024  # of answers; while there are more, the client is asked for nothing
MAX_ANSWERS = 100
MIN_RATE = 1024  # bytes a second that a client must take while something waits for it
STALL_S = 3.0  # over how long that is measured


def event_frame(text: str) -> EnginePacket:
    """A frame for many queues, encoded once for all of them."""
    frame = EnginePacket(MESSAGE, text)
    frame.encode_cache = frame.encode().encode()
    return frame


class Outbound:
    """The queue between the engine and the websocket of one client; it takes the place of the engine's own.

    Events (bytes) are bounded: `on_full` is called when there are too many, and from then on nothing is taken.
    Answers, and the engine's own packets (text), are always taken: whoever reads requests looks at `unread`
    first. A packet counts until the transport has it, which `sent` says.
    """

    def __init__(self) -> None:
        self.on_full: Callable[[], None] = lambda: None
        self._packets: deque[EnginePacket | None] = deque()
        self._event_bytes = 0
        self._answers = 0
        self._answer_bytes = 0
        self._total = 0
        self._over = False
        self._getter: asyncio.Future[None] | None = None
        self._watchers: list[asyncio.Future[None]] = []
        self._stall: tuple[float, int, int] | None = None  # since when; sent until then; what must be sent more

    def put_event(self, frame: EnginePacket) -> bool:
        """Put an event frame; False when it is not taken."""
        size = len(frame.encode_cache)
        if self._over or (self._event_bytes and self._event_bytes + size > MAX_EVENT_BYTES):
            self._refuse()
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
        """Bytes that the transport has not got."""
        return self._event_bytes + self._answer_bytes

    @property
    def unread(self) -> bool:
        """Whether so many answers wait that no further request should be read."""
        return self._answers > MAX_ANSWERS or self._answer_bytes > MAX_ANSWER_BYTES

    @property
    def ended(self) -> bool:
        """Whether nothing is taken any more."""
        return self._over

    def sent(self, message: str | bytes) -> None:
        """The transport has got it."""
        if self._over:
            return
        if isinstance(message, bytes):
            self._event_bytes -= len(message)
        else:
            self._answers -= 1
            self._answer_bytes -= len(message)
        self._changed()

    async def change(self) -> None:
        """Wait until something has been sent, or it is over."""
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        await watcher

    def stalled(self, buffered: int, now: float) -> bool:
        """Whether the client has taken next to nothing for STALL_S, though something waited all the time.

        To be asked often. `buffered` is what the transport has and the system does not take.
        """
        left = self.waiting + buffered
        sent = self._total - left
        if not left:
            self._stall = None
        elif self._stall is None or sent >= self._stall[1] + self._stall[2]:
            # What little there is need not be sent as a whole: the transport counts headers as well.
            self._stall = now, sent, min(int(MIN_RATE * STALL_S), left // 2 + 1)
        return self._stall is not None and now - self._stall[0] >= STALL_S

    def end(self) -> None:
        """Forget everything, and take nothing any more."""
        self._over = True
        self._packets.clear()
        self._event_bytes = self._answers = self._answer_bytes = 0
        self._changed()

    def _refuse(self) -> None:
        if not self._over:
            self.on_full()

    def _changed(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)
        self._watchers.clear()

    # What the engine asks of a queue

    def put_nowait(self, packet: EnginePacket | None) -> None:
        """Put an answer; None ends the writer."""
        if packet is not None:
            if self._over:
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
        """Taken from the queue is not sent: `sent` counts."""

    async def join(self) -> None:
        """Wait until the transport has everything."""
        while self.waiting:
            await self.change()
