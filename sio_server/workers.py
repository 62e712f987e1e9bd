"""The parent of workers: nodes that share a port. It starts them again when they end, and passes signals on."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from sio_server.settings import SettingsError
from sio_server.tasks import end_tasks
from sio_server.worker_board import Board, WorkerState, environment_of

log = logging.getLogger(__name__)

FIRST_BACK_OFF_S = 0.5
MAX_BACK_OFF_S = 30.0
STEADY_S = 30.0  # a worker that has run so long before it ended is started again at once
CHECK_S = 0.5
HANGS_AFTER = 60  # checks in a row in which a worker was silent: then it is killed, and started again
MISTAKE = 2  # the exit status of a node whose settings are wrong: another attempt would end as this one
LATE_S = 2.0  # beyond what a worker may take to stop, before it is killed
_PR_SET_PDEATHSIG = 1


class Workers:
    """Keeps `count` processes of `command` running until SIGTERM or SIGINT."""

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        *,
        name: str,
        stops_within_s: float,
        on_ready: Callable[[], None],
    ) -> None:
        """`name`: each worker is called so, with its number. `on_ready` is called once, when all listen."""
        self._command = command
        self._name = name
        self._stops_within_s = stops_within_s
        self._on_ready = on_ready
        self._board = Board.make(count)
        self._stopping = asyncio.Event()
        self._mistake = False
        self._have_listened: set[int] = set()  # their settings cannot be wrong
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        """Run until a signal; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        keeping = [asyncio.create_task(self._keep(number)) for number in range(1, self._board.count + 1)]
        watching = asyncio.create_task(self._watch())
        waiting = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([waiting, watching, *keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, *keeping):
                if task.done() and (error := task.exception()) is not None:
                    log.error("the workers are stopped, since their parent made a mistake", exc_info=error)
            self._stopping.set()
            self._signal_all(signal.SIGTERM)
            _, late = await asyncio.wait(keeping, timeout=self._stops_within_s + LATE_S)
            if late:
                log.error("workers do not end, and are killed: count=%d", len(late))
                self._signal_all(signal.SIGKILL)
                await asyncio.wait(keeping, timeout=LATE_S)
        finally:
            await end_tasks([*keeping, watching, waiting])
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        return MISTAKE if self._mistake else 0

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it ends, later each time, until all are to stop."""
        back_off_s = FIRST_BACK_OFF_S
        status: int | str
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                process = self._processes[number] = await self._start(number)
            except OSError as exc:  # no memory, or too many processes
                status = f"not started: {exc}"
            else:
                if self._stopping.is_set():  # meanwhile
                    _signal(process, signal.SIGTERM)
                status = await process.wait()
            self._note_if_listening(number)
            self._board.write(number, WorkerState.GONE)
            if self._stopping.is_set():
                return
            if status == MISTAKE and number not in self._have_listened:
                self._mistake = True  # the worker has said what is wrong
                self._stopping.set()
                return
            if time.monotonic() - began >= STEADY_S:
                back_off_s = FIRST_BACK_OFF_S
            log.error("a worker has ended: worker=%d status=%s again_in_s=%g", number, status, back_off_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(back_off_s):
                    await self._stopping.wait()
            back_off_s = min(2 * back_off_s, MAX_BACK_OFF_S)

    def _note_if_listening(self, number: int) -> None:
        # Not only when it has ended: a worker that ends in order leaves the board before.
        if self._board.read(number)[0] is not WorkerState.GONE:
            self._have_listened.add(number)

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        names = {"NODE_NAME": f"{self._name}.{number}", "WEB_CONCURRENCY": "1"}
        return await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, **names, **environment_of(number, self._board)},
            pass_fds=(self._board.file,),
            # Ctrl-C is for the parent, which stops its workers once.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )

    async def _watch(self) -> None:
        """Tell when all listen, and kill those that hang."""
        told = False
        silent = dict.fromkeys(range(1, self._board.count + 1), 0)
        while True:
            await asyncio.sleep(CHECK_S)
            if not told and self._board.listening() == self._board.count:
                told = True
                self._on_ready()
            for number in silent:
                self._note_if_listening(number)
                # Counted, not timed: when all of us were paused, nobody hangs.
                silent[number] = silent[number] + 1 if self._board.is_silent(number) else 0
                if silent[number] >= HANGS_AFTER:
                    silent[number] = 0
                    log.error("a worker hangs, and is killed: worker=%d", number)
                    _signal(self._processes[number], signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            _signal(process, number)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _end_with_parent() -> None:
    """In a new child: end when the parent dies, however it dies; a worker alone would keep the port."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def check_port(host: str, port: int) -> None:
    """Raise SettingsError if the port cannot be listened on: another group of workers would share it silently."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise SettingsError("WEB_CONCURRENCY: this system cannot share a port. WEB_CONCURRENCY: write 1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise SettingsError(
                    f"PORT={port}: {host}:{port} cannot be listened on ({exc.strerror}). "
                    "PORT: write a number that is free, or stop what uses it."
                ) from None
            # What else is wrong with the address each worker says.
