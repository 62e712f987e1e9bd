"""The dialog worker: a run begins at once whenever its bell comes, and a stopped node leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from sio_server.conversation.runs import ClaimedRun, Runs
from sio_server.dialog import attempts as attempts_module
from sio_server.dialog import run_queue as run_queue_module
from sio_server.dialog import worker as worker_module
from sio_server.dialog.run_queue import Bell, RunQueue
from sio_server.dialog.savers.operations import Operation
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.worker import DialogWorker
from sio_server.local.proxy import Proxy
from sio_server.protocol.run import RunStatus
from sio_server.store.connection import connect
from sio_server.store.keys import WORKERS, ConversationKeys, runs
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Scripts
from tests.served.dialogs import Dialogs, graph_of, said
from tests.waiting import within

pytest_plugins = ["tests.served.dialog_fixtures"]

PROMPTLY_S = 2.0


class Quick:
    """Ends each run as soon as it is claimed."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.executed: asyncio.Queue[ClaimedRun] = asyncio.Queue()

    async def execute(self, run: ClaimedRun, bells: Sequence[str]) -> bool:
        await self._runs.finish_run(run, RunStatus.ANSWERED, {"text": "done"}, threads_kept=1)
        self.executed.put_nowait(run)
        return False

    def hand_over_all(self) -> None:
        """There is nothing to hand over."""

    async def settle(self) -> None:
        """There is nothing to settle."""


class Queue(RunQueue):
    """A run queue that lets something happen after an acknowledgement, just before the worker continues."""

    then: Callable[[], Awaitable[None]] | None = None

    async def acknowledge(self, bells: Iterable[Bell]) -> None:
        await super().acknowledge(bells)
        if self.then is not None:
            then, self.then = self.then, None
            await then()


def quick_worker(dialogs: Dialogs) -> tuple[DialogWorker, Queue, Quick]:
    runs = dialogs.runs()
    quick = Quick(runs)
    queue = Queue(dialogs.redis, dialogs.redis_url, "n1")
    worker = DialogWorker(run_records=runs, queue=queue, attempts=quick, concurrency=4)  # type: ignore[arg-type]
    return worker, queue, quick


async def rung(dialogs: Dialogs, conversation_id: str) -> list[Bell]:
    """All bells on the queue."""
    stream = ConversationKeys(conversation_id).runs
    entries: Any = await dialogs.redis.xrange(stream)
    return [Bell(stream, number, conversation_id) for number, _ in entries]


async def consumers(dialogs: Dialogs, conversation_id: str) -> set[str]:
    found = await dialogs.redis.xinfo_consumers(ConversationKeys(conversation_id).runs, WORKERS)
    return {str(item["name"]) for item in found}


async def test_a_bell_that_comes_as_its_conversation_is_given_up_is_served_at_once(dialogs):
    worker, queue, quick = quick_worker(dialogs)
    conversation = await dialogs.conversation()
    sent = [await dialogs.send(conversation, "one")]

    async def ring_at_the_last_moment() -> None:
        # The worker has found nothing left to do. The bell comes right after the step in which it continues, so
        # whatever the worker leaves to later steps of the event loop has not been done yet.
        sent.append(await dialogs.send(conversation, "two"))
        for bell in await rung(dialogs, conversation):
            asyncio.get_running_loop().call_soon(worker.on_bell, bell)

    queue.then = ring_at_the_last_moment
    for bell in await rung(dialogs, conversation):
        worker.on_bell(bell)
    async with within(PROMPTLY_S, "both runs"):
        assert [(await quick.executed.get()).run_id for _ in range(2)] == sent
    await worker.drain(0.0)


async def test_no_run_of_a_busy_conversation_begins_late(dialogs, monkeypatch):
    monkeypatch.setattr(run_queue_module, "BELL_IDLE_MS", 60_000)  # a bell that is lost is not found soon
    worker, _, quick = quick_worker(dialogs)
    worker.start()
    conversation = await dialogs.conversation()
    slowest = 0.0
    for number in range(100):
        began = time.monotonic()
        run_id = await dialogs.send(conversation, str(number))
        async with within(2 * PROMPTLY_S, "the run"):
            assert (await quick.executed.get()).run_id == run_id
        slowest = max(slowest, time.monotonic() - began)
    await worker.drain(0.0)
    assert slowest < PROMPTLY_S


async def test_a_conversation_that_redis_refused_to_serve_once_is_served_without_its_bell_being_claimed(dialogs):
    worker, queue, quick = quick_worker(dialogs)
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)

    async def lose_the_connection() -> None:
        sent.append(await dialogs.send(conversation, "two"))
        raise RedisConnectionError("away")

    sent = [run_id]
    queue.then = lose_the_connection
    for bell in await rung(dialogs, conversation):
        worker.on_bell(bell)
    async with within(2 * PROMPTLY_S, "both runs"):
        assert [(await quick.executed.get()).run_id for _ in range(2)] == sent
    await worker.drain(0.0)


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3)], ids=repr)
async def test_a_queue_reader_that_fails_is_named_and_reads_again(dialogs, error, monkeypatch):
    worker, queue, quick = quick_worker(dialogs)
    errors = [error]
    read = queue._read

    async def fail_once(*args: Any) -> None:
        if errors:
            raise errors.pop()
        await read(*args)

    monkeypatch.setattr(queue, "_read", fail_once)
    failed: asyncio.Queue[str] = asyncio.Queue()
    worker.start(failed.put_nowait)
    async with within(5, "the reader's failure and another run"):
        assert await failed.get() == "run-queue"
        assert worker.failing == ["run-queue"]
        run_id = await dialogs.send(await dialogs.conversation())
        assert (await quick.executed.get()).run_id == run_id
    await worker.drain(0.0)


async def test_a_stopped_node_removes_its_consumers_from_the_run_queue(dialogs):
    worker, _, quick = quick_worker(dialogs)
    worker.start()
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    await quick.executed.get()
    assert await consumers(dialogs, conversation) == {"n1"}
    await worker.drain(0.0)
    assert await consumers(dialogs, conversation) == set()


async def test_a_consumer_of_a_dead_node_is_removed_only_when_nothing_is_pending_for_it(dialogs):
    conversation = await dialogs.conversation()
    queue = RunQueue(dialogs.redis, dialogs.redis_url, "n1")
    stream = ConversationKeys(conversation).runs
    await queue._create_groups()
    for node in ("dead-idle", "dead-busy"):
        await dialogs.redis.xgroup_createconsumer(stream, WORKERS, node)
    await dialogs.send(conversation)
    assert await dialogs.redis.xreadgroup(WORKERS, "dead-busy", {stream: ">"})
    await queue.remove_dead_consumers(idle_ms=60_000)
    assert await consumers(dialogs, conversation) == {"dead-idle", "dead-busy"}, "they may be alive"
    await queue.remove_dead_consumers(idle_ms=0)
    assert await consumers(dialogs, conversation) == {"dead-busy"}
    # What was pending is claimed by others; after that nothing keeps the consumer.
    await dialogs.redis.xautoclaim(stream, WORKERS, "n1", 0)
    await queue.remove_dead_consumers(idle_ms=0)
    assert await consumers(dialogs, conversation) == {"n1"}


async def test_nothing_is_left_of_a_dead_nodes_consumers_in_any_partition(dialogs):
    queue = RunQueue(dialogs.redis, dialogs.redis_url, "n1")
    await queue._create_groups()
    streams = [runs(number) for number in range(PARTITIONS)]
    for number, stream in enumerate(streams):
        await dialogs.redis.xgroup_createconsumer(stream, WORKERS, "dead")
        if number % 2:  # something was pending when the node died
            await queue.ring(stream, "no-such-conversation")
            await dialogs.redis.xreadgroup(WORKERS, "dead", {stream: ">"})
    queue._idle_ms = 0
    bells: list[Bell] = []
    await queue._claim(bells.append)
    await queue.remove_dead_consumers(idle_ms=0)
    left = [await dialogs.redis.xinfo_consumers(stream, WORKERS) for stream in streams]
    assert {consumer["name"] for found in left for consumer in found} == {"n1"}
    assert len(bells) == PARTITIONS // 2
    await queue.acknowledge(bells)
    await queue.remove_own_consumer()
    assert [await dialogs.redis.xinfo_consumers(stream, WORKERS) for stream in streams] == [[]] * PARTITIONS


async def test_draining_ends_in_time_though_redis_hangs(dialogs, lone_redis, monkeypatch):
    monkeypatch.setattr(worker_module, "HAND_OVER_S", 0.3)
    proxy = Proxy([("127.0.0.1", lone_redis.redis_port)])
    await proxy.start()
    started = asyncio.Event()

    async def work(state: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    try:
        redis = connect(f"redis://127.0.0.1:{proxy.port}/0")
        runs = Runs(Scripts(redis), "n1", "n1")
        attempts = dialogs.attempts(graph_of(work), await dialogs.store(), runs)
        queue = RunQueue(redis, f"redis://127.0.0.1:{proxy.port}/0", "n1")
        worker = DialogWorker(run_records=runs, queue=queue, attempts=attempts, concurrency=4)
        worker.start()
        conversation = await dialogs.conversation()
        await dialogs.send(conversation)
        await asyncio.wait_for(started.wait(), 10)
        proxy.down.blackhole = True
        began = time.monotonic()
        await worker.drain(0.1)
        assert time.monotonic() - began < 1.8  # less than one command of Redis may take
    finally:
        await proxy.close()
        await redis.aclose()


async def quick_answer(state: Any) -> Any:
    return said("done")


async def test_a_run_that_is_handed_over_is_at_once_executed_by_another_node_whatever_its_graph_does(
    dialogs, monkeypatch
):
    monkeypatch.setattr(attempts_module, "STOPPING_HANG_S", 3.0)
    monkeypatch.setattr(run_queue_module, "BELL_IDLE_MS", 60_000)  # its own bell is not claimed
    started, ends = asyncio.Event(), asyncio.Event()

    async def hang(*args: Any) -> None:  # as a library may, which swallows cancellations
        started.set()
        while not ends.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await ends.wait()

    runs = dialogs.runs()
    attempts = dialogs.attempts(graph_of(quick_answer), await dialogs.store(), runs)
    monkeypatch.setattr(attempts, "_call_graph", hang)
    queue = RunQueue(dialogs.redis, dialogs.redis_url, "n1")
    worker = DialogWorker(run_records=runs, queue=queue, attempts=attempts, concurrency=4)
    worker.start()
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    await asyncio.wait_for(started.wait(), 10)
    draining = asyncio.create_task(worker.drain(0.0))
    other = DialogWorker(
        run_records=dialogs.runs("n2"),
        queue=RunQueue(dialogs.redis, dialogs.redis_url, "n2"),
        attempts=(quick := Quick(dialogs.runs("n2"))),  # type: ignore[arg-type]
        concurrency=4,
    )
    other.start()
    async with within(PROMPTLY_S, "the run on the other node"):
        assert (await quick.executed.get()).run_id == run_id
    assert not draining.done()
    ends.set()
    await draining
    await other.drain(0.0)


async def test_a_run_is_handed_over_when_what_its_finished_nodes_have_written_is_in_redis(dialogs, monkeypatch):
    ran: list[str] = []
    writing, handed_over = asyncio.Event(), asyncio.Event()

    async def work(state: Any) -> Any:
        ran.append("work")
        return said("done")

    class Noting(Runs):
        async def hand_over_run(self, run: ClaimedRun) -> None:
            await super().hand_over_run(run)
            handed_over.set()

    write = PlainRedisSaver.write_together

    async def write_late(saver: PlainRedisSaver, operations: Sequence[Operation], then: Any = None) -> Any:
        if ran and not writing.is_set():
            writing.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(handed_over.wait(), 0.1)
        return await write(saver, operations, then)

    monkeypatch.setattr(PlainRedisSaver, "write_together", write_late)
    runs = Noting(dialogs.scripts, "n1", "n1")
    attempts = dialogs.attempts(graph_of(work), await dialogs.store(), runs)
    queue = RunQueue(dialogs.redis, dialogs.redis_url, "n1")
    worker = DialogWorker(run_records=runs, queue=queue, attempts=attempts, concurrency=4)
    worker.start()
    conversation = await dialogs.conversation()
    run_id = await dialogs.send(conversation)
    await asyncio.wait_for(writing.wait(), 10)
    await worker.drain(0.0)
    assert handed_over.is_set()
    await dialogs.serve(graph_of(work), node="n2")
    answer = await dialogs.ended_with(conversation, run_id)
    assert (answer.data["attempt"], ran) == (2, ["work"])


@pytest.mark.parametrize("more", [0, 1])
async def test_the_step_that_ends_a_run_acknowledges_its_bells_unless_another_run_waits(dialogs, more):
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    stream = ConversationKeys(conversation).runs
    await dialogs.redis.xgroup_create(stream, WORKERS, id="0")
    await dialogs.redis.xreadgroup(WORKERS, "n1", {stream: ">"})
    bells = [bell.message_id for bell in await rung(dialogs, conversation)]
    runs = dialogs.runs()
    claimed = await runs.claim_run(conversation)
    assert isinstance(claimed, ClaimedRun)
    for number in range(more):
        await dialogs.send(conversation, str(number))
    for _ in range(2):  # the reply of the first may be lost
        finished = await runs.finish_run(claimed, RunStatus.ANSWERED, {}, threads_kept=1, bells=bells)
        assert finished.idle == (not more)
        pending = await dialogs.redis.xpending(stream, WORKERS)
        assert (pending["pending"], len(await rung(dialogs, conversation))) == ((1, 2) if more else (0, 0))


async def test_a_run_that_ends_leaves_no_bell_and_needs_no_step_for_it(dialogs):
    acknowledged: list[Bell] = []

    class Noting(RunQueue):
        async def acknowledge(self, bells: Iterable[Bell]) -> None:
            acknowledged.extend(bells)

    runs = dialogs.runs()
    attempts = dialogs.attempts(graph_of(quick_answer), await dialogs.store(), runs)
    queue = Noting(dialogs.redis, dialogs.redis_url, "n1")
    worker = DialogWorker(run_records=runs, queue=queue, attempts=attempts, concurrency=4)
    worker.start()
    conversation = await dialogs.conversation()
    await dialogs.ended_with(conversation, await dialogs.send(conversation))
    assert await rung(dialogs, conversation) == []
    await worker.drain(0.0)
    assert acknowledged == []


async def test_the_bell_of_a_run_that_is_handed_over_is_rung_once(dialogs):
    started = asyncio.Event()

    async def work(state: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    runs = dialogs.runs()
    attempts = dialogs.attempts(graph_of(work), await dialogs.store(), runs)
    queue = RunQueue(dialogs.redis, dialogs.redis_url, "n1")
    worker = DialogWorker(run_records=runs, queue=queue, attempts=attempts, concurrency=4)
    worker.start()
    conversation = await dialogs.conversation()
    await dialogs.send(conversation)
    (before,) = await rung(dialogs, conversation)
    await asyncio.wait_for(started.wait(), 10)
    await worker.drain(0.0)
    (after,) = await rung(dialogs, conversation)
    assert after.message_id != before.message_id
