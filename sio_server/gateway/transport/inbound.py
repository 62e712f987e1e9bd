"""What a client may send over its websocket: masked frames, and so many of them, in frames and in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.frame_heads import FrameHeads
from sio_server.gateway.transport.frames import utf8_size

SMALL_FRAGMENT = 1024  # bytes; a message in smaller pieces is counted by the piece
EVENT = "42"  # Engine.IO: a message; Socket.IO: an event


class Rate(NamedTuple):
    """So much at once, and then so much a second."""

    burst: float
    per_s: float


# All far above what any client library sends.
CONTROL = Rate(200, 20)  # pings, pongs, small fragments, and messages that are no events
MESSAGES_WITHOUT_SESSION = Rate(100, 5)
BYTES_WITHOUT_SESSION = Rate(512 * 1024, 16 * 1024)
LEAST_EVENTS = Rate(4000, 1000)  # however little a user may ask for
BYTES = Rate(16 * 1024 * 1024, 4 * 1024 * 1024)


@dataclass(frozen=True)
class InboundLimits:
    """What a connection with a session may send; None: no limit.

    Events beyond `RATE_LIMIT_EVENTS` are refused one by one. These limits are higher: they close the connection of
    a client that ignores refusals.
    """

    events: Rate | None = LEAST_EVENTS
    bytes: Rate | None = BYTES

    @classmethod
    def above_events(cls, rates: Sequence[tuple[int, int]]) -> InboundLimits:
        """Limits at ten times what a user may ask for: counts, each in so many seconds; none: no limit."""
        if not rates:
            return cls(events=None, bytes=None)
        burst = 10 * min(count for count, _ in rates)
        per_s = 10 * min(count / seconds for count, seconds in rates)
        return cls(events=Rate(max(burst, LEAST_EVENTS.burst), max(per_s, LEAST_EVENTS.per_s)))


class Fault(NamedTuple):
    """Why a connection must be closed, as its close frame says."""

    code: int  # a CloseCode
    reason: str


class Budget:
    """A rate in use: it is spent, and earned again evenly."""

    def __init__(self, rate: Rate | None, now: float) -> None:
        self._rate = rate
        self._left = rate.burst if rate else 0.0
        self._at = now

    def spend(self, cost: float, now: float) -> bool:
        """Spend; False when there is not enough left."""
        if self._rate is None:
            return True
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s) - cost
        self._at = now
        return self._left >= 0


class Inbound:
    """Judges what one client sends.

    `received` is asked about bytes when they arrive, before anything parses them: parsing many small frames takes
    long, and the parser does not yield. `message` is asked about each whole message when its turn has come, since
    the limit depends on whether the connection has a session by then. Times are monotonic, in seconds.
    """

    def __init__(self, limits: InboundLimits, now: float) -> None:
        self._heads = FrameHeads()
        self._control = Budget(CONTROL, now)
        self._messages_without_session = Budget(MESSAGES_WITHOUT_SESSION, now)
        self._bytes_without_session = Budget(BYTES_WITHOUT_SESSION, now)
        self._events = Budget(limits.events, now)
        self._bytes = Budget(limits.bytes, now)

    def received(self, data: bytes, now: float) -> Fault | None:
        """Bytes have arrived."""
        for head in self._heads.feed(data):
            if not head.masked:
                return Fault(CloseCode.PROTOCOL_ERROR, "a client must mask its frames")
            small = head.control or (not head.final and head.size < SMALL_FRAGMENT)
            if small and not self._control.spend(1, now):
                return Fault(CloseCode.POLICY_VIOLATION, "too many websocket pings, pongs or fragments")
        return None

    def message(self, text: str, *, session: bool, now: float) -> Fault | None:
        """A text message is about to be handled, on a connection that has a session or not."""
        size = utf8_size(text)
        if session:
            within_bytes = self._bytes.spend(size, now)
            within_count = (self._events if text.startswith(EVENT) else self._control).spend(1, now)
        else:
            within_bytes = self._bytes_without_session.spend(size, now)
            within_count = self._messages_without_session.spend(1, now)
        if within_bytes and within_count:
            return None
        return Fault(CloseCode.POLICY_VIOLATION, "too many messages" if within_bytes else "too many bytes")
