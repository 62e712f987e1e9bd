"""The end of tasks that do not want to end."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from sio_server import tasks
from sio_server.tasks import Supervisor, end_tasks
from tests.waiting import within


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


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), asyncio.CancelledError(), None])
async def test_a_background_task_that_ends_is_counted_named_and_started_again(error, caplog):
    failed: list[str] = []
    supervisor = Supervisor(failed.append)
    began: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        first = not failed
        began.put_nowait(1)
        if first and error is not None:
            raise error
        if first:
            return
        await asyncio.Event().wait()

    supervisor.start("leases", work)
    assert supervisor.failing == []
    async with within(10, "a second beginning"):
        await began.get()
        await began.get()
    assert failed == ["leases"]
    assert supervisor.failing == ["leases"]
    assert "task=leases" in caplog.text
    await supervisor.stop()


async def test_a_background_task_that_runs_steadily_again_is_healthy(monkeypatch):
    monkeypatch.setattr(tasks, "STEADY_S", 0.05)
    failures = iter([ValueError("once")])
    supervisor = Supervisor()
    steady = asyncio.Event()

    async def work() -> None:
        for error in failures:
            raise error
        steady.set()
        await asyncio.Event().wait()

    supervisor.start("endings", work)
    async with within(10, "steady work"):
        await steady.wait()
        assert supervisor.failing == ["endings"]
        # Its turn comes after the timer that clears the failure, which was started before.
        await asyncio.sleep(2 * tasks.STEADY_S)
        assert supervisor.failing == []
    await supervisor.stop()


async def test_a_stopped_supervisor_leaves_no_task_behind():
    supervisor = Supervisor()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    supervisor.start("heartbeats", work)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert ended.is_set()
