"""What processes of this machine use, as Linux tells it in /proc; on other systems nothing is known."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """What a process uses at this moment. `cpu` is a share of one core, since the look before."""

    cpu: float
    memory_bytes: int
    open_files: int


class Processes:
    """Looks at processes again and again; the highest figures are kept."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before: dict[str, tuple[float, float]] = {}  # when, and seconds of CPU until then
        self.highest_memory: dict[str, int] = {}
        self.highest_open_files: dict[str, int] = {}
        self.look()

    def look(self) -> dict[str, Usage]:
        """What they use, by name. Those that have ended, or cannot be looked at, are left out."""
        found = {}
        for name, pid in self._pids.items():
            try:
                # The name of the program, in brackets, may hold spaces.
                values = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
                pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
                open_files = len(os.listdir(_PROC / str(pid) / "fd"))
            except (OSError, ValueError, IndexError):
                continue
            now, spent = time.monotonic(), (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
            at, before = self._before.get(name, (now, spent))
            self._before[name] = now, spent
            usage = Usage((spent - before) / (now - at) if now > at else 0.0, pages * _page_bytes(), open_files)
            self.highest_memory[name] = max(self.highest_memory.get(name, 0), usage.memory_bytes)
            self.highest_open_files[name] = max(self.highest_open_files.get(name, 0), open_files)
            found[name] = usage
        return found


class Machine:
    """How busy all cores of this machine are together."""

    def __init__(self) -> None:
        self._before = self._read()

    def look(self) -> float | None:
        """The share that was busy since the look before, from 0 to 1; None where it is not known."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None or self._before[1] <= before[1]:
            return None
        return (self._before[0] - before[0]) / (self._before[1] - before[1])

    def _read(self) -> tuple[int, int] | None:
        try:
            values = [int(value) for value in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        idle = values[3] + values[4]
        return sum(values) - idle, sum(values)


def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")
