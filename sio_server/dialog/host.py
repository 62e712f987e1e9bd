"""The dialog's own thread: graphs that block do not hold up the sockets of their node, nor its leases."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from sio_server.dialog.worker import DialogWorker

log = logging.getLogger(__name__)


class DialogHost:
    """Runs a dialog worker in an event loop of its own.

    `build` is called in that loop, so that all connections of the dialog belong to it; what it raises,
    `start` raises. It returns the worker and what closes its connections.
    """

    def __init__(self, build: Callable[[], Awaitable[tuple[DialogWorker, Callable[[], Awaitable[None]]]]]) -> None:
        self._build = build
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: DialogWorker | None = None
        self._stopping: asyncio.Event | None = None
        self._grace_s = 0.0
        self._thread: threading.Thread | None = None
        self._done: Future[None] = Future()

    async def start(self) -> None:
        """Build the worker and let it take runs."""
        ready: Future[None] = Future()
        new_loop = type(asyncio.get_running_loop())
        # Should the process have to end while a graph hangs, the thread does not keep it.
        self._thread = threading.Thread(target=self._main, args=(new_loop, ready), name="dialog", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(ready)

    async def stop(self, grace_s: float) -> None:
        """Give running runs so long to end, hand over what has not, and close."""
        if self._loop is None or self._stopping is None:
            return
        self._grace_s = grace_s
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)
        try:
            await asyncio.wrap_future(self._done)
        except Exception:
            log.exception("the dialog did not end as it should")

    def ended(self, run_id: str, status: str) -> None:
        """Somebody has ended a run: see DialogWorker.ended."""
        if self._loop is not None and self._worker is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._worker.ended, run_id, status)

    def _main(self, new_loop: Callable[[], asyncio.AbstractEventLoop], ready: Future[None]) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._serve(ready))
        except BaseException as exc:
            if not ready.done():
                ready.set_exception(exc)
            if not self._done.done():
                self._done.set_exception(exc)

    async def _serve(self, ready: Future[None]) -> None:
        worker, close = await self._build()
        self._loop, self._worker, self._stopping = asyncio.get_running_loop(), worker, asyncio.Event()
        worker.start()
        ready.set_result(None)
        await self._stopping.wait()
        await worker.drain(self._grace_s)
        await close()
        # Before the loop's end, which waits for graphs that do not end.
        self._done.set_result(None)
