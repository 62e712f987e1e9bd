"""The end of asyncio tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf
from typing import Any

AGAIN_S = 0.5


async def end_tasks(
    tasks: Iterable[asyncio.Task[Any] | None], *, patience_s: float = inf
) -> set[asyncio.Task[Any]]:
    """Cancel tasks and wait for their end, at most `patience_s` seconds; return those that have not ended.

    They are cancelled again and again: `asyncio.wait_for` before Python 3.12, and libraries above it, forget a
    cancellation that comes together with a result. What an ended task raised is nobody's any more.
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
