"""Background tasks: supervised while they run, and ended for certain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any

log = logging.getLogger(__name__)

AGAIN_S = 0.5
FIRST_BACK_OFF_S = 0.1
MAX_BACK_OFF_S = 5.0
STEADY_S = 10.0  # a task that has run so long without failing is healthy again


async def end_tasks(
    tasks: Iterable[asyncio.Task[Any] | None], *, patience_s: float = inf
) -> set[asyncio.Task[Any]]:
    """Cancel tasks and wait for their end, at most `patience_s` seconds; return those that have not ended.

    They are cancelled again and again: `asyncio.wait_for` before Python 3.12, and libraries above it, forget a
    cancellation that comes together with a result. What an ended task raised is dropped.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    given = {task for task in tasks if task is not None}
    running = {task for task in given if not task.done()}
    while running and (left := deadline - loop.time()) > 0:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=min(AGAIN_S, left))
    for task in given - running:
        if not task.cancelled():
            task.exception()
    return running


class Supervisor:
    """Keeps background tasks running: one that ends is logged, reported, and started again with back-off.

    A supervised task is one that never ends by itself. Whatever it raises, `SystemExit` included, ends neither
    the others nor the event loop. `failing` names the tasks that fail at present, for `/ready`.
    """

    def __init__(self, on_failure: Callable[[str], None] = lambda name: None) -> None:
        """`on_failure` is called with the name of a task each time it has ended by itself."""
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: dict[str, int] = {}  # name -> failures since it last ran for STEADY_S

    @property
    def failing(self) -> list[str]:
        """The names of the tasks that have ended by themselves and have not run for STEADY_S since."""
        return sorted(self._failing)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work()` until `stop`, again whenever it ends. Names are unique and need no explanation."""
        task = asyncio.create_task(self._keep(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End all tasks."""
        await end_tasks(list(self._tasks))

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            steady = loop.call_later(STEADY_S, self._failing.pop, name, None)
            try:
                await work()
                log.error("a background task ended, starting it again: task=%s", name)
            except BaseException as exc:
                # A cancellation that nobody has asked for is a failure like any other.
                if isinstance(exc, asyncio.CancelledError) and is_being_cancelled():
                    raise
                log.error("a background task failed, starting it again: task=%s", name, exc_info=exc)
            finally:
                steady.cancel()
            failures = self._failing[name] = self._failing.get(name, 0) + 1
            self._on_failure(name)
            await asyncio.sleep(min(FIRST_BACK_OFF_S * 2 ** min(failures - 1, 6), MAX_BACK_OFF_S))


def is_being_cancelled() -> bool:
    """Whether the current task has been asked to end: otherwise a CancelledError is an error like any other."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
