"""A clock that can be moved while its process runs, for the nodes of a chaos (`roomgraph/clock_node.py`).

What Python's `time.time` and `time.time_ns` say is so many seconds ahead as a file says. (libfaketime moves all of
a process's time, but it breaks timed waits of threads by the monotonic clock, and with them Python's global lock.)
"""

from __future__ import annotations

import time

FILE = "ROOMGRAPH_CLOCK_FILE"  # the environment variable that names the file
LOOK_S = 0.2  # of the monotonic clock, between two looks at the file


class Clock:
    """How far ahead the clock is."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ahead_s = 0
        self._look_at = 0.0

    def ahead_s(self) -> int:
        """In seconds; what the file says, or said last when it cannot be read."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            try:
                with open(self._path, encoding="utf-8") as file:
                    self._ahead_s = int(file.read())
            except (OSError, ValueError):
                pass
        return self._ahead_s


def move_clock(path: str) -> None:
    """From now on this process has the clock of the file."""
    clock, right_time, right_time_ns = Clock(path), time.time, time.time_ns
    time.time = lambda: right_time() + clock.ahead_s()
    time.time_ns = lambda: right_time_ns() + clock.ahead_s() * 10**9
