"""The admission queue bounds handshakes, skips clients that have gone, and is not held up by idle connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from sio_server.gateway.transport.admission import AdmissionQueue
from sio_server.tasks import end_tasks
from tests.waiting import within

Make = Callable[..., AdmissionQueue]


@pytest.fixture
async def running() -> AsyncIterator[Make]:
    """Queues that admit: `running(concurrent=1, max_pending=2)`."""
    tasks: list[asyncio.Task[None]] = []

    def make(**limits: int) -> AdmissionQueue:
        queue = AdmissionQueue(**limits)
        tasks.append(asyncio.create_task(queue.run()))
        return queue

    yield make
    await end_tasks(tasks)


def begin(queue: AdmissionQueue, until: asyncio.Event) -> asyncio.Task[None]:
    """A handshake that lasts until the event."""

    async def handshake() -> None:
        async with queue.handshake(lambda: False):
            await until.wait()

    return asyncio.create_task(handshake())


async def test_handshakes_are_served_in_their_order_and_only_some_at_a_time(running: Make) -> None:
    queue = running(concurrent=2)
    now, most, order = 0, 0, []

    async def handshake(number: int) -> None:
        nonlocal now, most
        async with queue.handshake(lambda: False) as served:
            assert served
            now += 1
            most = max(most, now)
            order.append(number)
            await asyncio.sleep(0.001)
            now -= 1

    await asyncio.gather(*(handshake(number) for number in range(20)))
    assert most == 2
    assert order == sorted(order)


async def test_a_client_that_has_gone_while_it_waited_is_not_served(running: Make) -> None:
    queue = running(concurrent=1)
    gone, first_may_end = False, asyncio.Event()

    async def second() -> bool:
        async with queue.handshake(lambda: gone) as served:
            return served

    tasks = begin(queue, first_may_end), asyncio.create_task(second())
    await asyncio.sleep(0)
    gone = True
    first_may_end.set()
    await tasks[0]
    assert await tasks[1] is False


async def test_new_connections_wait_while_many_handshakes_are_pending(running: Make) -> None:
    queue, may_end = running(concurrent=1, max_pending=2), asyncio.Event()
    handshakes = [begin(queue, may_end) for _ in range(2)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(queue.enter())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert queue.waiting == 1
    may_end.set()
    await asyncio.wait_for(asyncio.gather(waiting, *handshakes), 5)


async def test_connections_that_begin_no_handshake_hold_up_no_other(running: Make) -> None:
    queue = running(max_pending=2)
    async with within(5, "50 admissions"):
        for _ in range(50):
            await queue.enter()


async def test_a_client_that_gives_up_waiting_leaves_its_place_to_the_next(running: Make) -> None:
    queue, may_end = running(max_pending=1), asyncio.Event()
    handshake = begin(queue, may_end)
    await asyncio.sleep(0)
    impatient = asyncio.create_task(queue.enter())
    patient = asyncio.create_task(queue.enter())
    await asyncio.sleep(0)
    impatient.cancel()
    may_end.set()
    await asyncio.wait_for(asyncio.gather(patient, handshake), 5)


async def test_a_closed_queue_admits_no_further_connection(running: Make) -> None:
    queue = running()
    await queue.enter()
    queue.close()
    waiting = asyncio.create_task(queue.enter())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
