"""What a client may send over its websocket: masked frames, and so many of them, in frames and in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sio_server.gateway.transport.close_codes import CloseCode

SMALL_FRAGMENT = 1024  # bytes; a message in smaller pieces is counted by the piece


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


NOT_MASKED = Fault(CloseCode.PROTOCOL_ERROR, "a client must mask its frames")
TOO_MANY_MESSAGES = Fault(CloseCode.POLICY_VIOLATION, "too many messages")
TOO_MANY_BYTES = Fault(CloseCode.POLICY_VIOLATION, "too many bytes")


class FrameHead(Protocol):
    """What the first bytes of a frame say."""

    @property
    def masked(self) -> bool: ...
    @property
    def control(self) -> bool: ...
    @property
    def final(self) -> bool: ...
    @property
    def size(self) -> int: ...


class Budget:
    """A rate in use: it is spent, and earned again evenly."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._at = now

    def spend(self, cost: float, now: float) -> bool:
        """Spend; False when there is not enough left."""
        burst, per_s = self._rate
        left = self._left + (now - self._at) * per_s
        self._left = left = (left if left < burst else burst) - cost
        self._at = now
        return left >= 0


class Inbound:
    """Judges what one client sends.

    Frames are judged when their bytes have arrived, before anything answers them, since a buffer may hold many
    small ones. Whole messages are judged just before they are handled, since the limit depends on whether
    the connection has a session by then. Times are monotonic, in seconds.
    """

    __slots__ = ("_bytes", "_bytes_without_session", "_control", "_events", "_limits", "_messages_without_session")

    def __init__(self, limits: InboundLimits) -> None:
        self._limits = limits
        # Each begins with its first use.
        self._control: Budget | None = None
        self._messages_without_session: Budget | None = None
        self._bytes_without_session: Budget | None = None
        self._events: Budget | None = None
        self._bytes: Budget | None = None

    def control(self, now: float) -> Fault | None:
        """A control frame has arrived, or a small fragment of a message."""
        if self._spend_control(now):
            return None
        return Fault(CloseCode.POLICY_VIOLATION, "too many websocket pings, pongs or fragments")

    def heads(self, heads: Iterable[FrameHead], now: float) -> Fault | None:
        """The heads of frames have arrived."""
        for head in heads:
            if not head.masked:
                return NOT_MASKED
            small = head.control or (not head.final and head.size < SMALL_FRAGMENT)
            if small and (fault := self.control(now)):
                return fault
        return None

    def message(self, size: int, *, event: bool, session: bool, now: float) -> Fault | None:
        """A text message of `size` bytes is about to be handled, on a connection that has a session or not."""
        if not session:
            if self._bytes_without_session is None or self._messages_without_session is None:
                self._bytes_without_session = Budget(BYTES_WITHOUT_SESSION, now)
                self._messages_without_session = Budget(MESSAGES_WITHOUT_SESSION, now)
            within_bytes = self._bytes_without_session.spend(size, now)
            within_count = self._messages_without_session.spend(1, now)
        else:
            within_bytes = self._spend_bytes(size, now)
            within_count = self._spend_event(now) if event else self._spend_control(now)
        if within_bytes and within_count:
            return None
        return TOO_MANY_MESSAGES if within_bytes else TOO_MANY_BYTES

    def _spend_control(self, now: float) -> bool:
        if self._control is None:
            self._control = Budget(CONTROL, now)
        return self._control.spend(1, now)

    def _spend_event(self, now: float) -> bool:
        if self._events is None:
            if self._limits.events is None:
                return True
            self._events = Budget(self._limits.events, now)
        return self._events.spend(1, now)

    def _spend_bytes(self, size: int, now: float) -> bool:
        if self._bytes is None:
            if self._limits.bytes is None:
                return True
            self._bytes = Budget(self._limits.bytes, now)
        return self._bytes.spend(size, now)
