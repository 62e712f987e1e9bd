"""The dialog worker of a node: serves the conversations whose bells it has, one run at a time in each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from sio_server.conversation.runs import ClaimedRun, LeaseHeld, NothingToDo, Runs
from sio_server.dialog.attempts import Attempts, HandedOver
from sio_server.dialog.run_queue import Bell, RunQueue
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import Supervisor, end_tasks

log = logging.getLogger(__name__)

HAND_OVER_S = 4.0  # for graphs to end, and for Redis to know of it
AGAIN_S = 0.5  # after an error of Redis


@dataclass
class _Served:
    """A conversation that this node serves: it executes its runs, or waits for another node's lease."""

    bells: list[Bell]  # to be acknowledged when nothing is left to do
    task: asyncio.Task[None] | None = None
    executing: bool = False  # it claims a run, or executes one
    handed_over: bool = False  # with its run, whose bell has been rung again
    rung: asyncio.Event = field(default_factory=asyncio.Event)


class DialogWorker:
    """Executes runs.

    A bell on the run queue only says that a conversation has something to do; what is to be done stands in the run
    records. It is acknowledged when nothing is left to do, so the bell of a node that died is claimed by another
    node, which claims the run as soon as the dead node's lease has expired.
    """

    def __init__(self, *, run_records: Runs, queue: RunQueue, attempts: Attempts, concurrency: int) -> None:
        self._runs = run_records
        self._queue = queue
        self._attempts = attempts
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._served: dict[str, _Served] = {}  # by conversation
        self._supervisor = Supervisor()
        self._draining = False

    @property
    def failing(self) -> list[str]:
        """The names of the background tasks that fail at present. May be read in any thread."""
        return self._supervisor.failing

    @property
    def executing(self) -> int:
        """How many runs are executed here now. May be read in any thread."""
        return self._attempts.executing

    def start(self, on_failure: Callable[[str], None] = lambda name: None) -> None:
        """Begin to take runs. `on_failure` is called with the name of a background task that has failed."""
        self._supervisor = Supervisor(on_failure)
        if self._concurrency:
            self._supervisor.start("run-queue", lambda: self._queue.read_bells(self.on_bell, self._has_room))
            self._supervisor.start("run-claims", lambda: self._queue.claim_bells(self.on_bell))

    async def drain(self, grace_s: float) -> None:
        """Take no more runs; what has not ended within `grace_s` seconds is handed over to other nodes.

        It takes at most `grace_s` and HAND_OVER_S seconds, whatever Redis and the graphs do.
        """
        loop = asyncio.get_running_loop()
        grace_ends = loop.time() + grace_s
        self._draining = True
        if grace_s <= 0:
            self._attempts.hand_over_all()  # before anything else is waited for
        try:
            async with asyncio.timeout_at(grace_ends + HAND_OVER_S):
                await self._supervisor.stop()
                served = list(self._served.values())
                await end_tasks(one.task for one in served if not one.executing)
                executing = [one.task for one in served if one.task and one.executing]
                if executing:
                    await asyncio.wait(executing, timeout=max(0.0, grace_ends - loop.time()))
                    self._attempts.hand_over_all()
                    await asyncio.wait(executing)
                self._attempts.hand_over_all()
                await self._attempts.settle()
                if self._concurrency:
                    with contextlib.suppress(RedisError, OSError):
                        await self._queue.remove_own_consumer()
        except TimeoutError:
            log.error("runs could not be handed over in time: others take them when their leases have expired")

    def on_run_ended(self, run_id: str, status: str) -> None:
        """A run has ended, on whichever node: if it is executed here, that stops at once."""
        self._attempts.on_run_ended(run_id, status)

    def on_bell_told(self, partition_number: int) -> None:
        """The bus tells of a new bell on the run queue of a partition."""
        self._queue.on_told(partition_number)

    def on_bell(self, bell: Bell) -> None:
        """A conversation has something to do."""
        served = self._served.get(bell.conversation_id)
        if served is None:
            served = self._served[bell.conversation_id] = _Served([bell])
            served.task = asyncio.create_task(self._serve(bell.conversation_id, served))
        elif bell not in served.bells:
            served.bells.append(bell)
            served.rung.set()

    async def _has_room(self) -> None:
        """Wait for a free slot: a node that has none leaves the next run to other nodes."""
        async with self._slots:
            pass

    async def _serve(self, conversation_id: str, served: _Served) -> None:
        """Serve a conversation until it has no bells left, or this node is stopping."""
        try:
            # Whether a bell is left is decided, and the conversation given up, in one step of the event loop: a
            # bell that comes before finds it served, and one that comes after begins again.
            pause = AGAIN_S
            while served.bells and not self._draining:
                try:
                    await self._serve_once(conversation_id, served)
                    pause = AGAIN_S
                except (Unavailable, RedisError, OSError) as exc:
                    log.warning("a conversation could not be served, trying again: error=%s", exc)
                    await asyncio.sleep(pause)
                    # Each attempt holds a slot for as long as a command may take.
                    pause = max(AGAIN_S, min(2 * pause, self._queue.longest_pause_s))
        except Exception:
            log.exception("a conversation could not be served; its bells will be claimed again")
        finally:
            del self._served[conversation_id]
            if self._draining and served.bells:
                await self._leave_to_others(conversation_id, served)

    async def _serve_once(self, conversation_id: str, served: _Served) -> None:
        """Execute the conversation's next run, or wait while another node executes it."""
        served.rung.clear()
        rung = list(served.bells)
        ended: NothingToDo | HandedOver | None = None
        async with self._slots:
            served.executing = True
            try:
                claimed = await self._runs.claim_run(conversation_id)
                if isinstance(claimed, ClaimedRun):
                    ended = await self._attempts.execute(claimed, [bell.message_id for bell in rung])
                    served.handed_over = isinstance(ended, HandedOver)
            finally:
                served.executing = False
        if isinstance(claimed, LeaseHeld):
            # Should the holder die, the run is stalled, and claimed, the moment that its lease says so. If it has
            # ended and another message came, that rings.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(claimed.seconds + 0.005):
                    await served.rung.wait()
        elif isinstance(claimed, NothingToDo):
            if claimed.retired:
                await self._attempts.delete_threads(conversation_id, claimed.retired)
            await self._queue.acknowledge(rung)
            ended = claimed
        if isinstance(ended, NothingToDo):
            # Bells that were rung before the claim are done: either it found nothing, or nothing was left at the
            # end of the run, which acknowledged them. What was rung since is looked at next.
            served.bells = [bell for bell in served.bells if bell not in rung]

    async def _leave_to_others(self, conversation_id: str, served: _Served) -> None:
        """Let another node serve the conversation, at once."""
        with contextlib.suppress(RedisError, OSError):
            if not served.handed_over:
                await self._queue.ring(served.bells[0].stream, conversation_id)
            await self._queue.acknowledge(served.bells)
