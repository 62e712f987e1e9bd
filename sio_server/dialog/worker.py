"""The dialog worker of a node: takes runs off the queue, executes them, one at a time in a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from sio_server.conversation.runs import ClaimedRun, LeaseHeld, NothingToDo, Runs
from sio_server.dialog.attempts import Attempts
from sio_server.protocol.errors import Unavailable
from sio_server.store.connection import connect_blocking
from sio_server.store.keys import LEASE_MS, PARTITIONS, WORKERS, runs
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

BLOCK_S = 2.0
CLAIM_EVERY_S = 1.0
HAND_OVER_S = 5.0  # for graphs to end, and for Redis to hear of it


@dataclass
class _Served:
    """A conversation that this node looks after: it executes its runs, or waits for another node's lease."""

    bells: list[tuple[str, str]]  # (stream, message id) of the queue, to be acknowledged
    task: asyncio.Task[None] | None = None
    executing: bool = False  # it takes a run, or executes one
    rung: asyncio.Event = field(default_factory=asyncio.Event)


class DialogWorker:
    """Executes runs.

    A message on the run queue only says that a conversation has something to do; what is to be done stands
    in the run records. It is acknowledged when nothing is left to do, so a message whose node died is
    claimed by another node, which takes the run as soon as the dead node's lease has expired.
    """

    def __init__(
        self,
        *,
        redis: Redis,
        redis_url: str,
        run_records: Runs,
        attempts: Attempts,
        node_id: str,
        concurrency: int,
    ) -> None:
        self._redis = redis
        self._redis_url = redis_url
        self._runs = run_records
        self._attempts = attempts
        self._node_id = node_id
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._streams = [runs(number) for number in range(PARTITIONS)]
        self._claimed: dict[str, str] = {}  # stream -> where to look for messages of dead nodes
        self._loops: list[asyncio.Task[None]] = []
        self._served: dict[str, _Served] = {}  # by conversation
        self._draining = False

    def start(self) -> None:
        """Begin to take runs."""
        if self._concurrency:
            self._loops = [
                asyncio.create_task(self._forever(self._read), name="run-queue"),
                asyncio.create_task(self._forever(self._claim), name="run-claims"),
            ]

    async def drain(self, grace_s: float) -> None:
        """Take no more runs; what has not ended within `grace_s` seconds is handed over to other nodes."""
        self._draining = True
        await end_tasks(self._loops)
        served = list(self._served.values())
        await end_tasks(one.task for one in served if not one.executing)
        executing = [one.task for one in served if one.task and one.executing]
        if executing:
            await asyncio.wait(executing, timeout=grace_s)
            self._attempts.hand_over()
            _, late = await asyncio.wait(executing, timeout=HAND_OVER_S)
            if late:
                log.error("runs could not be handed over in time: others take them when their leases have expired")
        await self._attempts.settle()

    def ended(self, run_id: str, status: str) -> None:
        """Somebody has ended the run: if it is executed here, that stops at once."""
        self._attempts.ended(run_id, status)

    # The queue

    async def _forever(self, loop: Any) -> None:
        while True:
            try:
                await loop()
            except ResponseError as exc:
                if not str(exc).startswith("NOGROUP"):
                    log.warning("the run queue refused a command: error=%s", exc)
                    await asyncio.sleep(1.0)
                with contextlib.suppress(RedisError, OSError):
                    await self._create_groups()
            except (RedisError, OSError, TimeoutError, Unavailable) as exc:
                log.warning("the run queue cannot be reached, trying again: error=%s", exc)
                await asyncio.sleep(0.5)

    async def _create_groups(self) -> None:
        for stream in self._streams:
            try:
                await self._redis.xgroup_create(stream, WORKERS, id="0", mkstream=True)
            except ResponseError as exc:
                if not str(exc).startswith("BUSYGROUP"):
                    raise

    async def _read(self) -> None:
        client = connect_blocking(self._redis_url, BLOCK_S)
        try:
            # What was delivered to this node in a reply that it never got comes first.
            missed: Any = await client.xreadgroup(WORKERS, self._node_id, dict.fromkeys(self._streams, "0"))
            self._serve_all(missed)
            while True:
                # Who has no room for another run leaves it to other nodes.
                async with self._slots:
                    pass
                found: Any = await client.xreadgroup(
                    WORKERS,
                    self._node_id,
                    dict.fromkeys(self._streams, ">"),
                    count=1,
                    block=int(BLOCK_S * 1000),
                )
                self._serve_all(found)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()

    async def _claim(self) -> None:
        await asyncio.sleep(CLAIM_EVERY_S)
        for stream in self._streams:
            # From where the last look ended: messages that are held must not hide those behind them.
            reply: Any = await self._redis.xautoclaim(
                stream, WORKERS, self._node_id, LEASE_MS, start_id=self._claimed.get(stream, "0-0"), count=10
            )
            self._claimed[stream] = reply[0]
            for message_id, fields in reply[1]:
                if fields:
                    self._serve(stream, message_id, fields)

    def _serve_all(self, found: Any) -> None:
        for stream, messages in found or []:
            for message_id, fields in messages:
                if fields:  # it may have been deleted since
                    self._serve(stream, message_id, fields)

    def _serve(self, stream: str, message_id: str, fields: dict[str, str]) -> None:
        conversation_id = fields["conversation_id"]
        served = self._served.get(conversation_id)
        if served is not None:
            if (stream, message_id) not in served.bells:
                served.bells.append((stream, message_id))
                served.rung.set()
            return
        served = self._served[conversation_id] = _Served([(stream, message_id)])
        served.task = asyncio.create_task(self._look_after(conversation_id, served))
        served.task.add_done_callback(lambda task: self._left(conversation_id, task))

    def _left(self, conversation_id: str, task: asyncio.Task[None]) -> None:
        self._served.pop(conversation_id, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, (Unavailable, RedisError, OSError)):
            log.warning("a run could not be served, its message will be claimed again: error=%s", error)
        elif error is not None:
            log.error("a run could not be served; its message will be claimed again", exc_info=error)

    async def _look_after(self, conversation_id: str, served: _Served) -> None:
        """Execute the conversation's runs until none is left, or wait for who holds its lease."""
        try:
            while not self._draining:
                served.rung.clear()
                rung = list(served.bells)
                async with self._slots:
                    served.executing = True
                    taken = await self._runs.claim_run(conversation_id)
                    if isinstance(taken, ClaimedRun):
                        await self._attempts.execute(taken)
                    served.executing = False
                if isinstance(taken, LeaseHeld):
                    # Should the holder die, the run is taken the moment its lease has expired. If it has
                    # ended and another message came, that rings.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(taken.seconds + 0.005):
                            await served.rung.wait()
                elif isinstance(taken, NothingToDo):
                    await self._acknowledge(served, rung)
                    if not served.bells:
                        return
        finally:
            if self._draining and served.bells:
                await self._ring_again(conversation_id, served)

    async def _acknowledge(self, served: _Served, rung: list[tuple[str, str]]) -> None:
        """What was rung before the look that found nothing is done; what was rung since is looked after next."""
        for stream, message_id in rung:
            pipe = self._redis.pipeline(transaction=True)
            pipe.xack(stream, WORKERS, message_id)
            pipe.xdel(stream, message_id)
            await pipe.execute()
            served.bells.remove((stream, message_id))

    async def _ring_again(self, conversation_id: str, served: _Served) -> None:
        """Leave the conversation to another node, at once."""
        stream = served.bells[0][0]
        with contextlib.suppress(RedisError, OSError):
            await self._redis.xadd(stream, {"conversation_id": conversation_id})
            await self._acknowledge(served, list(served.bells))
