"""The dialog's own thread: graphs that block do not hold up the sockets of their node, nor its leases.

A thread that has ended by itself is followed by another one, with a new event loop and new connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from sio_server.dialog.worker import HAND_OVER_S, DialogWorker
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

THREAD = "dialog"  # its name, and what `failing` and `on_failure` say when it has died
CLOSE_S = 1.0  # for connections to be closed
FIRST_BACK_OFF_S = 0.5  # before the dialog is started again; then twice as long each time
MAX_BACK_OFF_S = 30.0
STEADY_S = 60.0  # a dialog that has served so long is well: the next pause is a short one again

Build = Callable[[], Awaitable[tuple[DialogWorker, Callable[[], Awaitable[None]]]]]


class DialogHost:
    """Runs a dialog worker in an event loop of its own.

    `build` is called in that loop, so that all connections of the dialog belong to it; what it raises, `start`
    raises. It returns the worker and what closes its connections. `on_failure` is called, in the dialog's thread,
    with the name of a background task that has failed, or THREAD when all of the dialog has ended by itself: then
    it is built again, in a new thread, after a pause.
    """

    def __init__(self, build: Build, on_failure: Callable[[str], None] = lambda name: None) -> None:
        self._build = build
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: DialogWorker | None = None
        self._stopping: asyncio.Event | None = None
        self._grace_s = 0.0
        self._thread: threading.Thread | None = None
        self._stop_asked = False
        self._serving = False
        self._done: Future[None] = Future()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def failing(self) -> list[str]:
        """What of the dialog does not run at present: names of background tasks, or THREAD for all of it."""
        if self._thread is None or self._worker is None or self._stop_asked:
            return []
        return self._worker.failing if self._serving and self._thread.is_alive() else [THREAD]

    @property
    def executing(self) -> int:
        """How many runs are executed here now."""
        return self._worker.executing if self._worker is not None else 0

    async def start(self) -> None:
        """Build the worker and let it take runs; should its thread end, another one is started, until `stop`."""
        await self._start_thread()
        self._keeping = asyncio.create_task(self._keep(), name=THREAD)

    async def _start_thread(self) -> None:
        ready: Future[None] = Future()
        new_loop = type(asyncio.get_running_loop())
        self._done = Future()
        # Should the process have to end while a graph hangs, the thread does not keep it.
        arguments = (new_loop, ready, self._done)
        self._thread = threading.Thread(target=self._main, args=arguments, name=THREAD, daemon=True)
        self._thread.start()
        await asyncio.wrap_future(ready)

    async def _keep(self) -> None:
        """Start the dialog again whenever its thread has ended by itself, until cancelled."""
        back_off_s, began = FIRST_BACK_OFF_S, time.monotonic()
        while True:
            ended = asyncio.wrap_future(self._done)
            await asyncio.wait({ended})
            if self._stop_asked:
                return
            ended.exception()  # it has been logged
            if time.monotonic() - began > STEADY_S:
                back_off_s = FIRST_BACK_OFF_S
            await asyncio.sleep(back_off_s)
            back_off_s, began = min(2 * back_off_s, MAX_BACK_OFF_S), time.monotonic()
            try:
                await self._start_thread()
                log.warning("the dialog was started again: this node takes runs")
            except Exception:
                log.exception("the dialog could not be started again; the next attempt is in %g s", back_off_s)

    async def stop(self, grace_s: float) -> None:
        """Give running runs so long to end, hand over what has not, and close.

        It takes at most HAND_OVER_S and CLOSE_S longer, also when a graph blocks the thread.
        """
        self._stop_asked = True
        await end_tasks([self._keeping])
        if self._loop is None or self._stopping is None:
            return
        self._grace_s = grace_s
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)
        ended = asyncio.wrap_future(self._done)
        _, late = await asyncio.wait({ended}, timeout=grace_s + HAND_OVER_S + CLOSE_S)
        if late:
            log.error("the dialog does not end: a graph blocks its thread; its runs are taken over by others")
        elif error := ended.exception():
            log.error("the dialog did not end as it should", exc_info=error)

    def on_run_ended(self, run_id: str, status: str) -> None:
        """A run has ended, on whichever node: see DialogWorker.on_run_ended."""
        if self._loop is not None and self._worker is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._worker.on_run_ended, run_id, status)

    def on_bell_told(self, partition_number: int) -> None:
        """The bus tells of a new bell on the run queue of a partition."""
        if self._loop is not None and self._worker is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._worker.on_bell_told, partition_number)

    def _main(
        self, new_loop: Callable[[], asyncio.AbstractEventLoop], ready: Future[None], done: Future[None]
    ) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                try:
                    run_whatever_happens(runner.get_loop(), self._serve(ready, done))
                except BaseException as exc:
                    # At once: the end of the loop waits for graphs that do not end.
                    self._on_ended(exc, ready, done)
        except BaseException as exc:
            log.exception("the loop of an ended dialog could not be closed")
            self._on_ended(exc, ready, done)

    def _on_ended(self, exc: BaseException, ready: Future[None], done: Future[None]) -> None:
        """The dialog could not be built, or has ended by itself."""
        if done.done():
            return
        self._serving = False
        if not ready.done():
            # In the caller's thread a SystemExit would end the node without a message.
            cause = exc if isinstance(exc, Exception) else RuntimeError(f"the dialog cannot start: {exc!r}")
            ready.set_exception(cause)
        elif not self._stop_asked:
            log.critical("the dialog has ended: this node takes no runs until it is started again", exc_info=exc)
            self._on_failure(THREAD)
        done.set_exception(exc)

    async def _serve(self, ready: Future[None], done: Future[None]) -> None:
        worker, close = await self._build()
        try:
            self._loop, self._worker, self._stopping = asyncio.get_running_loop(), worker, asyncio.Event()
            if self._stop_asked:
                self._stopping.set()
            worker.start(self._on_failure)
            self._serving = True
            ready.set_result(None)
            await self._stopping.wait()
            await worker.drain(self._grace_s)
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(close(), CLOSE_S)
        # Before the loop's end, which waits for graphs that do not end.
        done.set_result(None)


def run_whatever_happens(loop: asyncio.AbstractEventLoop, main: Awaitable[None]) -> None:
    """Run `main` to its end, though other code in the loop tries to end it.

    asyncio lets SystemExit and KeyboardInterrupt of any task or callback through to the caller that runs the loop,
    and a graph may also stop it. The loop is as it was, so it is run again.
    """
    task = asyncio.ensure_future(main, loop=loop)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except BaseException as exc:
            if not task.done():
                log.error("a graph tried to end the dialog's thread, which continues", exc_info=exc)
    task.result()
