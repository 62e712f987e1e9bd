"""The end of tasks that do not want to end."""

from __future__ import annotations

import asyncio
import contextlib

from sio_server.tasks import end_tasks


async def test_a_task_that_forgets_a_cancellation_is_cancelled_again():
    cancelled = 0

    async def forgetful() -> None:
        nonlocal cancelled
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                if cancelled == 2:
                    raise

    task = asyncio.create_task(forgetful())
    await asyncio.sleep(0)
    assert await end_tasks([task, None]) == set()
    assert task.cancelled()
    assert cancelled == 2


async def test_a_task_that_never_ends_is_left_after_the_given_patience():
    let_it_end = asyncio.Event()

    async def stubborn() -> None:
        while not let_it_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_it_end.wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    assert await end_tasks([task], patience_s=0.1) == {task}
    let_it_end.set()
    await task


async def test_what_an_ended_task_raised_disturbs_nobody():
    async def fails() -> None:
        raise ValueError("nobody's")

    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    assert await end_tasks([task]) == set()
