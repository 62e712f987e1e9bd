"""Redis' time, which is the same on all nodes, however wrong their own clocks are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def iso_time(seconds: float, timespec: str = "milliseconds") -> str:
    """A time in seconds since 1970 as ISO 8601 UTC, such as 2026-11-23T07:12:00.844Z."""
    if timespec == "seconds":
        return _iso_second(int(seconds))
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


@lru_cache(maxsize=16)  # a thousand sessions may begin in one
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock:
    """Tells Redis' time once Redis has told it; until then this machine's.

    Between two answers of Redis it follows the machine's monotonic clock: setting the machine's time changes
    nothing.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.monotonic() + self._offset

    def heard(self, redis_ms: int, asked_at: float) -> None:
        """Redis said what time it was, in answer to what was asked at `asked_at` (monotonic)."""
        midway = (asked_at + time.monotonic()) / 2
        self._offset = redis_ms / 1000 - midway
