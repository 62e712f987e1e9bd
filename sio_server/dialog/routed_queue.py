"""The run queue on a Redis Cluster, where no command reads the streams of several partitions.

Each bell is told on the bus as well (`_bell.lua`), and the stream of that partition is read then. The bus may lose
it: each second all streams are looked at. A shard that is away holds up its own partitions and no others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError, ResponseError

from sio_server.dialog.run_queue import AGAIN_S, CLAIMED_AT_ONCE, SWEEP_EVERY_S, OnBell, RunQueue, source_of
from sio_server.store.bounded import BoundedRedis
from sio_server.store.keys import LEASE_MS, WORKERS, bells
from sio_server.store.partitions import PARTITIONS
from sio_server.store.pipelined import LoadedScript
from sio_server.store.routed import RoutedPipelined
from sio_server.store.slots import Server, name_of, slot_of
from sio_server.store.wire import pack
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

_PASSING = (RedisError, OSError)


class RoutedRunQueue(RunQueue):
    """The streams of all partitions, wherever they are: read one by one when there is something in them."""

    longest_pause_s = 5.0  # its shard may be away for long, and the others need the slots for runs

    def __init__(
        self, redis: BoundedRedis, redis_url: str, node_id: str, lease_s: float = LEASE_MS / 1000
    ) -> None:
        super().__init__(redis, redis_url, node_id, lease_s)
        assert redis.routed is not None
        self._bounded = redis
        self._routed: RoutedPipelined = redis.routed
        self._slots = [slot_of(stream) for stream in self._streams]
        self._told = [asyncio.Event() for _ in self._streams]
        # One reading of a shard at a time: each takes a bell only if there is room for its run.
        self._reading: defaultdict[Server | None, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._failing: set[Server | None] = set()  # shards that do not answer

    def on_told(self, partition_number: int) -> None:
        """The bus tells of a new bell."""
        self._told[partition_number].set()

    async def ring(self, stream: str, conversation_id: str) -> None:
        await super().ring(stream, conversation_id)
        channel = bells(self._streams.index(stream))
        await self._routed.call(pack(("SPUBLISH", channel, "")), key=channel)

    async def read_bells(self, on_bell: OnBell, has_room: Callable[[], Awaitable[None]]) -> None:
        reading = [
            asyncio.create_task(self._read_partition(number, on_bell, has_room), name="run-queue")
            for number in range(PARTITIONS)
        ]
        await _as_long_as_all_run(reading)

    async def _read_partition(self, number: int, on_bell: OnBell, has_room: Callable[[], Awaitable[None]]) -> None:
        """Read the bells of one partition when there are any, until cancelled."""
        # What was delivered to this node in a reply that it never got comes first.
        stream, after, told = self._streams[number], "0", self._told[number]
        while True:
            server = self._routed.primary(self._slots[number])
            try:
                async with self._reading[server]:
                    await has_room()
                    found: Any = await self._redis.xreadgroup(WORKERS, self._node_id, {stream: after}, count=1)
            except _PASSING as exc:
                await self._on_error(number, server, exc)
                after = "0"  # the reply may have been lost
                continue
            self._on_answered(server)
            messages = [message for _, some in found or [] for message in some]
            self._tell(found, on_bell)
            if messages:
                after = messages[-1][0] if after != ">" else ">"
            elif after != ">":
                after = ">"
            else:
                await told.wait()
                told.clear()

    async def claim_bells(self, on_bell: OnBell) -> None:
        claiming = [
            asyncio.create_task(self._claim_partition(number, on_bell), name="run-claims")
            for number in range(PARTITIONS)
        ]
        claiming.append(asyncio.create_task(self._sweep(), name="run-claims"))
        await _as_long_as_all_run(claiming)

    async def _claim_partition(self, number: int, on_bell: OnBell) -> None:
        """Claim bells of one partition that have long been pending, and look for new ones, until cancelled."""
        stream, start = self._streams[number], "0-0"
        # Spread over the time, so that they do not come all at once.
        await asyncio.sleep(self._claim_every_s * number / PARTITIONS)
        while True:
            await asyncio.sleep(self._claim_every_s)
            server = self._routed.primary(self._slots[number])
            try:
                if not await self._redis.xlen(stream):
                    start = "0-0"
                    continue
                self._told[number].set()
                reply: Any = await self._redis.xautoclaim(
                    stream, WORKERS, self._node_id, self._idle_ms, start_id=start, count=CLAIMED_AT_ONCE
                )
            except _PASSING as exc:
                await self._on_error(number, server, exc)
                continue
            self._on_answered(server)
            start = reply[0]
            self._tell([(stream, reply[1])], on_bell)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self.remove_dead_consumers()
            except _PASSING as exc:
                log.info("consumers of dead nodes are removed later: error=%s", exc)

    async def _remove_consumers(self, name: str, idle_ms: int) -> None:
        script = LoadedScript(source_of("remove_consumers"))
        await self._bounded.run_scripts(script, [([stream], [WORKERS, name, idle_ms]) for stream in self._streams])

    def _on_answered(self, server: Server | None) -> None:
        if server in self._failing:
            self._failing.discard(server)
            log.warning("the run queues of a shard are read again: shard=%s", name_of(server))

    async def _on_error(self, number: int, server: Server | None, error: Exception) -> None:
        """Wait for what has failed; a group that is not there is made."""
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            try:
                await self._redis.xgroup_create(self._streams[number], WORKERS, id="0", mkstream=True)
                return
            except _PASSING as exc:
                if str(exc).startswith("BUSYGROUP"):
                    return
                error = exc
        if server not in self._failing:  # logged once, however long it lasts
            self._failing.add(server)
            log.warning(
                "the run queues of a shard cannot be read, trying again: shard=%s error=%s", name_of(server), error
            )
        await asyncio.sleep(AGAIN_S)


async def _as_long_as_all_run(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until one of them ends, which it does not by itself; raises what has ended it."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        await end_tasks(tasks)
