"""The frames of one connection to its client: written at once, held for an answer, or waiting until it reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from sio_server.gateway.transport.direct.held import HELD_BYTES, Held
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.gateway.transport.http_connections import UNSENT_IS_INHERITED, bound_unsent
from sio_server.gateway.transport.outbound_limits import (
    MAX_ANSWER_BYTES,
    MAX_ANSWERS,
    MAX_EVENT_BYTES,
    MIN_RATE,
    STALL_S,
)

HIGH_WATER_BYTES = 16 * 1024  # the transport holds so much, and what comes then is counted here
LOW_WATER_BYTES = 4 * 1024


def accept_nothing(frame: bytes) -> None:
    """Where frames go before a connection is open, and when it has ended."""


class Outbound:
    """What goes to a client.

    `put_event(frame)` is the transport's own `write` while the client reads. When the transport has enough, frames
    wait here: events up to a limit, above which the connection is ended, and answers, which keep further requests
    from being handled. While a request is handled events wait for the answer, for a millisecond at most: the entry
    of a message comes just before its ack, and a write costs more than all else that is done for either. Whatever
    is written takes them along.
    """

    __slots__ = (
        *("put_event", "_transport", "_write", "_ended"),
        *("_held_connections", "_holds", "_held", "_queue", "_event_bytes", "_answers", "_answer_bytes"),
        *("_paused", "_stall"),
    )

    def __init__(self, transport: asyncio.Transport, held_connections: Held) -> None:
        self.put_event: Callable[[bytes], object] = accept_nothing
        self._transport = transport
        self._write: Callable[[bytes], object] = accept_nothing
        # Nothing of the client is handled, and nothing is sent to it: it is not open yet, or has ended.
        self._ended = True
        self._held_connections = held_connections
        self._holds = False  # a request is being handled
        self._held = b""  # events that wait for the answer
        self._queue: deque[tuple[bytes, bool]] | None = None  # frames that wait, and whether they are events
        self._event_bytes = 0
        self._answers = 0
        self._answer_bytes = 0
        self._paused = False  # the transport takes no more at present
        self._stall: tuple[float, int] | None = None  # since when, and how little must be left then

    def _set_blocked(self, blocked: bool) -> None:
        """The client reads too slowly, or again fast enough: `check_progress` is to be called meanwhile."""
        raise NotImplementedError

    def _drop(self, reason: DropReason) -> None:
        """End the connection."""
        raise NotImplementedError

    # Its beginning and its end

    def _begin_sending(self) -> None:
        self._ended = False
        if not UNSENT_IS_INHERITED:
            bound_unsent(self._transport.get_extra_info("socket"))
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        self._write = self.put_event = self._transport.write

    def _stop_sending(self) -> None:
        self._ended = True
        self.put_event = accept_nothing
        self._held = b""

    def _forget_unsent(self) -> None:
        self._queue = None

    # Frames

    @property
    def _unread(self) -> bool:
        """Whether so many answers wait that no further request is to be handled."""
        return self._answers > MAX_ANSWERS or self._answer_bytes > MAX_ANSWER_BYTES

    def put(self, frame: bytes) -> None:
        """Send an answer, or another frame that is no event."""
        if self._ended:
            return
        if not self._paused:
            if self._held:
                frame, self._held = self._held + frame, b""
            self._write(frame)
            return
        self._answers += 1
        self._answer_bytes += len(frame)
        if self._queue is None:
            self._queue = deque()
        self._queue.append((frame, False))

    def _queue_event(self, frame: bytes) -> None:
        size = len(frame)
        if self._event_bytes and self._event_bytes + size > MAX_EVENT_BYTES:
            self._drop(DropReason.TOO_FAR_BEHIND)
            return
        self._event_bytes += size
        if self._queue is None:
            self._queue = deque()
        self._queue.append((frame, True))

    # Events that wait for an answer

    def _hold_events(self) -> None:
        self._holds = True
        if not self._paused and not self._ended:
            self.put_event = self._hold_event

    def _hold_no_events(self) -> None:
        self._holds = False
        if not self._paused and not self._ended:
            self.write_held()
            self.put_event = self._write

    def _hold_event(self, frame: bytes) -> None:
        if not self._held:
            self._held_connections.add(self)
        self._held += frame
        if len(self._held) > HELD_BYTES:
            self.write_held()

    def write_held(self) -> None:
        """Write the events that wait for an answer."""
        if self._held:
            held, self._held = self._held, b""
            self._write(held)

    # The transport

    def pause_writing(self) -> None:
        self._paused = True
        self._stall = None
        if not self._ended:
            self.put_event = self._queue_event
        self._set_blocked(True)

    def resume_writing(self) -> None:
        self._paused = False
        self._stall = None
        queue = self._queue
        while queue and not self._paused:
            frame, is_event = queue.popleft()
            if is_event:
                self._event_bytes -= len(frame)
            else:
                self._answers -= 1
                self._answer_bytes -= len(frame)
            self._write(frame)
        if not self._paused:
            self._queue = None
            self._set_blocked(False)
            if not self._ended:
                self.put_event = self._hold_event if self._holds else self._write

    def check_progress(self, now: float) -> None:
        """Drop a client that has read too little. `now`: monotonic."""
        if self._ended:
            return
        left = self._transport.get_write_buffer_size()
        if self._stall is None or left <= self._stall[1]:
            self._stall = now, left - min(int(MIN_RATE * STALL_S), left // 2 + 1)
        elif now - self._stall[0] >= STALL_S:
            self._drop(DropReason.NOT_READING)
