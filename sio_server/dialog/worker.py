"""The dialog worker of a node: takes runs off the queue, executes them, one at a time in a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from sio_server.conversation.connection import connect_blocking
from sio_server.conversation.keys import LEASE_MS, PARTITIONS, WORKERS, runs
from sio_server.dialog.checkpoints import CheckpointStore, is_store_error
from sio_server.dialog.execution import Graph, execute, thread_id
from sio_server.dialog.runs import LeaseLost, Runs, TakenRun
from sio_server.dialog.streaming import TextStream
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import AGENT_PREFIX
from sio_server.protocol.run import RunStatus

log = logging.getLogger(__name__)

BLOCK_S = 2.0
RENEW_S = 1.0
CLAIM_EVERY_S = 1.0
STORE_ATTEMPTS = 20  # after so many a run ends as failed, since the store cannot be the reason any more
AGENT = {"role": "assistant", "user_id": f"{AGENT_PREFIX}concierge", "name": "Concierge"}


class StoreLost(Exception):
    """The checkpoints could not be read or written: the run has to be taken again."""


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
        graph: Graph,
        checkpoints: CheckpointStore,
        node_id: str,
        concurrency: int,
        timeout_s: float,
        on_ended: Any,
    ) -> None:
        self._redis = redis
        self._redis_url = redis_url
        self._runs = run_records
        self._graph = graph
        self._checkpoints = checkpoints
        self._node_id = node_id
        self._slots = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._on_ended = on_ended
        self._streams = [runs(number) for number in range(PARTITIONS)]
        self._claimed: dict[str, str] = {}  # stream -> where to look for messages of dead nodes
        self._loops: list[asyncio.Task[None]] = []
        self._serving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to take runs."""
        if self._concurrency:
            self._loops = [
                asyncio.create_task(self._forever(self._read), name="run-queue"),
                asyncio.create_task(self._forever(self._claim), name="run-claims"),
            ]

    async def stop(self) -> None:
        """Stop at once. What was running is taken over by another node when the lease has expired."""
        tasks = [*self._loops, *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            while True:
                await self._slots.acquire()
                self._slots.release()
                found: Any = await client.xreadgroup(
                    WORKERS,
                    self._node_id,
                    dict.fromkeys(self._streams, ">"),
                    count=1,
                    block=int(BLOCK_S * 1000),
                )
                for stream, messages in found or []:
                    for message_id, fields in messages:
                        await self._begin(stream, message_id, fields)
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
                    await self._begin(stream, message_id, fields)

    async def _begin(self, stream: str, message_id: str, fields: dict[str, str]) -> None:
        await self._slots.acquire()
        task = asyncio.create_task(self._serve(stream, message_id, fields["conversation_id"]))
        self._serving.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._slots.release()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, (Unavailable, RedisError, OSError)):
            log.warning("a run could not be served, its message will be claimed again: error=%s", error)
        elif error is not None:
            log.error("a run could not be served; its message will be claimed again", exc_info=error)

    async def _serve(self, stream: str, message_id: str, conversation_id: str) -> None:
        """Execute the conversation's runs until none is left."""
        while True:
            taken = await self._runs.take(conversation_id)
            if taken == "idle":
                pipe = self._redis.pipeline(transaction=True)
                pipe.xack(stream, WORKERS, message_id)
                pipe.xdel(stream, message_id)
                await pipe.execute()
                return
            if taken == "held":
                # Not acknowledged: should the holder die, this message leads another node to the run.
                return
            try:
                await self._run(taken)
            except LeaseLost as exc:
                log.warning("a lease was lost, the run goes on elsewhere: run=%s", exc)
                return
            except StoreLost as exc:
                # Not the graph's fault: the same run is taken again, here or elsewhere.
                log.warning("the checkpoint store was lost in a run, it is tried again: run=%s", exc)
                await asyncio.sleep(min(0.2 * 2**taken.attempt, 5.0))
                with contextlib.suppress(Unavailable, LeaseLost):
                    await self._runs.give_back(taken)

    async def _run(self, run: TakenRun) -> None:
        stream = TextStream(self._runs, run)
        work = asyncio.create_task(self._execute(run, stream))
        pump = asyncio.create_task(stream.pump())
        renew = asyncio.create_task(self._keep_lease(run))
        try:
            # The first to end decides: the graph, or a fenced write that found the lease lost.
            done, _ = await asyncio.wait({work, pump, renew}, return_when=asyncio.FIRST_COMPLETED)
            if work not in done:
                raise LeaseLost(f"{run.run_id} attempt {run.attempt}") from next(iter(done)).exception()
            status, data = work.result()
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await stream.flush()
            await self._finish(run, status, data)
        finally:
            for task in (work, pump, renew):
                task.cancel()
            await asyncio.gather(work, pump, renew, return_exceptions=True)
        self._on_ended(status)
        try:
            await self._checkpoints.prune(thread_id(run))
        except Exception as exc:
            log.warning("old checkpoints were not pruned: run=%s error=%s", run.run_id, exc)

    async def _execute(self, run: TakenRun, stream: TextStream) -> tuple[RunStatus, dict[str, Any]]:
        try:
            async with asyncio.timeout(self._timeout_s):
                text = await execute(self._graph, run, stream.add)
        except TimeoutError:
            reason = f"the agent did not answer within {self._timeout_s:g} s"
        except Exception as exc:
            if is_store_error(exc) and run.attempt < STORE_ATTEMPTS:
                raise StoreLost(f"{run.run_id} attempt {run.attempt}") from exc
            # A graph is anybody's code and may raise anything; the people waiting are told so.
            log.exception("a graph failed: run=%s attempt=%d", run.run_id, run.attempt)
            reason = "the agent made a mistake and could not answer"
        else:
            return RunStatus.ANSWERED, {**AGENT, "text": text}
        return RunStatus.FAILED, {**AGENT, "reason": reason}

    async def _keep_lease(self, run: TakenRun) -> None:
        """Renew until cancelled; raise LeaseLost as soon as the lease may have expired."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(RENEW_S)
            began = time.monotonic()
            try:
                await self._runs.renew(run)
                renewed = began
            except Unavailable:
                if time.monotonic() - renewed > LEASE_MS / 1000:
                    raise LeaseLost(run.run_id) from None

    async def _finish(self, run: TakenRun, status: RunStatus, data: dict[str, Any]) -> None:
        """Write the final entry. Without a reply from Redis it is written again: the script does it once."""
        while True:
            try:
                await self._runs.finish(run, status, data)
                return
            except Unavailable:
                await asyncio.sleep(0.2)
