"""Processes of a cluster on this machine: started, signalled and ended, with their logs, and watched meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from sio_server.local.errors import ClusterError

STOP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1


class UnexpectedEnd(NamedTuple):
    """A process that was ready and has ended without having been told to."""

    process: str
    status: int  # as asyncio has it: minus the signal's number when it was killed
    log: Path


def _die_with_parent() -> None:
    """In a new child on Linux: end when the parent dies, however it dies, so that nothing is left over."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """Processes by name, with a log each in `data_dir/logs`, and a file of their ids for the next start.

    A process that was declared ready and ends without `signal` or `end` is an unexpected end: it is put into the
    queue `ended`, for what restarts it, and stays in `unexpected_ends`.
    """

    def __init__(self, data_dir: Path) -> None:
        self.ended: asyncio.Queue[UnexpectedEnd] = asyncio.Queue()
        self.unexpected_ends: list[UnexpectedEnd] = []
        self._logs = data_dir / "logs"
        self._pids = data_dir / "processes.json"
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._ready: set[str] = set()
        self._wanted: set[str] = set()

    @property
    def names(self) -> list[str]:
        """What was started and has not been ended by `end`, whether it still runs or not."""
        return list(self._processes)

    @property
    def pids(self) -> dict[str, int]:
        """The ids of the processes that run."""
        return {name: process.pid for name, process in self._processes.items() if process.returncode is None}

    def is_running(self, name: str) -> bool:
        """Whether a process lives."""
        process = self._processes.get(name)
        return process is not None and process.returncode is None

    def is_wanted(self, name: str) -> bool:
        """Whether a process was started and not told to end since."""
        return name in self._wanted

    async def spawn(self, name: str, command: list[str], env: dict[str, str]) -> None:
        """Start a process; it gets this process's environment with `env` over it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._ready.discard(name)
        self._wanted.add(name)
        with self._log(name).open("ab") as output:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **env},
                # Ctrl-C is for us: we stop the children in their order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self._watchers[name] = asyncio.create_task(self._watch(name, self._processes[name]))
        with contextlib.suppress(OSError):  # a full disk; the file only helps the next start
            self._pids.write_text(json.dumps(self.pids), encoding="utf-8")

    def check_started(self, name: str) -> None:
        """Raise ClusterError when a process that is starting has ended."""
        process = self._processes.get(name)
        if process is not None and process.returncode is not None:
            values = {"status": process.returncode, "line": self.last_line(name), "path": self._log(name)}
            raise ClusterError("ended", process=name, **values)

    def declare_ready(self, name: str) -> None:
        """From now on the process is expected to run until it is told to end."""
        self.check_started(name)
        self._ready.add(name)

    def not_ready(self, name: str) -> ClusterError:
        """The error for a process that runs and does not become ready."""
        return ClusterError("not_ready", process=name, line=self.last_line(name), path=self._log(name))

    async def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal; wait until SIGKILL or SIGTERM has ended the process, or SIGSTOP has stopped it."""
        process = self._processes[name]
        if ending := number in (signal.SIGKILL, signal.SIGTERM):
            self._wanted.discard(name)
            self._watchers[name].cancel()
        if process.returncode is not None:
            return
        process.send_signal(number)
        if ending:
            await process.wait()
        elif number == signal.SIGSTOP:
            # The signal is sent at once, but a process that is just running on another core stops a moment later.
            stopped = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while os.waitid(os.P_PID, process.pid, stopped) is None:  # noqa: ASYNC110, ASYNC222
                    await asyncio.sleep(0.001)

    async def end(self, names: list[str]) -> None:
        """End processes with SIGTERM, all at once, and with SIGKILL those that take too long."""
        for name in names:
            self._wanted.discard(name)
            self._watchers[name].cancel()
        await asyncio.gather(*(_end(self._processes[name]) for name in names))
        for name in names:
            del self._processes[name]
        if not self._processes:
            self._pids.unlink(missing_ok=True)

    def last_line(self, name: str) -> str:
        """What a process has written to its log last."""
        path = self._log(name)
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
        return lines[-1] if lines else "–"

    def left_over(self) -> list[int]:
        """Ids of processes that an earlier run in this folder started and that still run."""
        try:
            pids = json.loads(self._pids.read_text(encoding="utf-8")).values()
        except (OSError, ValueError):
            return []
        return [pid for pid in pids if _is_ours(pid)]

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if name in self._ready:
            end = UnexpectedEnd(name, status, self._log(name))
            self.unexpected_ends.append(end)
            self.ended.put_nowait(end)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _is_ours(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # no /proc on this system: the process lives, and its number was ours
    return b"roomgraph" in command or b"redis-server" in command
