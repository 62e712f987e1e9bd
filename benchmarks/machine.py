"""What a benchmark asks of this machine: cores for each part, CPU time and memory of processes, versions."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVERS = CORES[:1]  # all nodes of all servers share one core
OTHERS = CORES[1:] or CORES  # the load generator and Redis


@contextlib.contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Processes that are started meanwhile run on these cores, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that processes have used in user and kernel mode, all their threads together.

    It is the clock that clock_getcpuclockid(3) names, which counts nanoseconds; /proc/PID/stat counts 10 ms.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory_kb(pids: Iterable[int]) -> tuple[int, int]:
    """RSS and PSS of processes, together. PSS has only their share of what several processes map."""
    rss = pss = 0
    for pid in pids:
        said = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        rss += int(re.search(r"^Rss:\s+(\d+)", said, re.MULTILINE)[1])  # type: ignore[index]
        pss += int(re.search(r"^Pss:\s+(\d+)", said, re.MULTILINE)[1])  # type: ignore[index]
    return rss, pss


def described() -> dict[str, Any]:
    """The machine and the versions of what runs in this environment, for the figures."""
    processor = re.search(
        r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    packages = ("python-socketio", "aiohttp", "redis", "hiredis", "uvloop")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "cores": len(CORES),
        "processor": processor[1] if processor else "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
