"""The run queue as one node reads it: bells are read, claimed from dead nodes, acknowledged and rung again.

A bell is a message that only names a conversation which has something to do. It stays pending until nothing is
left to do, so the bell of a node that died is claimed by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from sio_server.protocol.errors import Unavailable
from sio_server.store.connection import connect_reader
from sio_server.store.keys import LEASE_MS, WORKERS, runs
from sio_server.store.partitions import PARTITIONS

log = logging.getLogger(__name__)

BLOCK_S = 2.0
CLAIM_EVERY_S = 1.0  # at most; with a short lease each third of it
# A bell that has been pending for so long (at most; a quarter of a shorter lease) is claimed by other nodes. With
# CLAIM_EVERY_S it is less than a lease: a run whose node dies as soon as it has begun is watched, and seen to be
# stalled, before its lease ends.
BELL_IDLE_MS = 750
CLAIMED_AT_ONCE = 10  # bells of each partition
SWEEP_EVERY_S = 60.0  # for consumers of nodes that are gone
CONSUMER_IDLE_MS = 60_000  # a live node asks for messages, or claims them, each few seconds
AGAIN_S = 0.5  # after an error of Redis


class Bell(NamedTuple):
    """A message on the run queue."""

    stream: str
    message_id: str
    conversation_id: str


OnBell = Callable[[Bell], None]


class RunQueue:
    """The streams of all partitions, read in one consumer group by one consumer for each node.

    Errors of Redis pass through, except in `read_bells` and `claim_bells`, which try again.
    """

    longest_pause_s = AGAIN_S  # until a conversation that could not be served is tried again

    def __init__(self, redis: Redis, redis_url: str, node_id: str, lease_s: float = LEASE_MS / 1000) -> None:
        self._redis = redis
        self._redis_url = redis_url
        self._node_id = node_id
        self._claim_every_s = min(CLAIM_EVERY_S, lease_s / 3)
        self._idle_ms = min(BELL_IDLE_MS, round(lease_s * 1000 / 4))
        self._streams = [runs(number) for number in range(PARTITIONS)]
        self._claimed: dict[str, str] = {}  # stream -> where to look for bells of dead nodes

    async def read_bells(self, on_bell: OnBell, has_room: Callable[[], Awaitable[None]]) -> None:
        """Give each new bell to `on_bell`, until cancelled. Before each reading `has_room` is waited for."""
        while True:
            async with self._trying_again():
                await self._read(on_bell, has_room)

    async def claim_bells(self, on_bell: OnBell) -> None:
        """Give bells that have long been pending to `on_bell`, until cancelled; sweep dead consumers."""
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            await asyncio.sleep(self._claim_every_s)
            async with self._trying_again():
                await self._claim(on_bell)
                if loop.time() - swept > SWEEP_EVERY_S:
                    swept = loop.time()
                    await self.remove_dead_consumers()

    async def acknowledge(self, bells: Iterable[Bell]) -> None:
        """What these bells announced is done."""
        by_stream: dict[str, list[str]] = {}
        for stream, message_id, _ in bells:
            by_stream.setdefault(stream, []).append(message_id)
        for stream, message_ids in by_stream.items():
            pipe = self._redis.pipeline(transaction=True)
            pipe.xack(stream, WORKERS, *message_ids)
            pipe.xdel(stream, *message_ids)
            await pipe.execute()

    async def ring(self, stream: str, conversation_id: str) -> None:
        """Ring a new bell, for whichever node is the first to read it."""
        await self._redis.xadd(stream, {"conversation_id": conversation_id})

    def on_told(self, partition_number: int) -> None:
        """The bus tells of a new bell; a single Redis is waited for instead."""

    async def remove_own_consumer(self) -> None:
        """Leave no trace in Redis, unless something is pending for this node, which others claim."""
        await self._remove_consumers(self._node_id, 0)

    async def remove_dead_consumers(self, idle_ms: int = CONSUMER_IDLE_MS) -> None:
        """Remove consumers that have asked for nothing for `idle_ms` and have nothing pending.

        One of a node that was only paused comes back with its next reading.
        """
        await self._remove_consumers("", idle_ms)

    async def _remove_consumers(self, name: str, idle_ms: int) -> None:
        script = self._redis.register_script(source_of("remove_consumers"))
        pipe = self._redis.pipeline(transaction=False)
        for stream in self._streams:
            await script(keys=[stream], args=[WORKERS, name, idle_ms], client=pipe)
        await pipe.execute()

    @contextlib.asynccontextmanager
    async def _trying_again(self) -> Any:
        try:
            yield
        except ResponseError as exc:
            if not str(exc).startswith("NOGROUP"):
                log.warning("the run queue refused a command: error=%s", exc)
                await asyncio.sleep(AGAIN_S)
            with contextlib.suppress(RedisError, OSError):
                await self._create_groups()
        except (RedisError, OSError, Unavailable) as exc:
            log.warning("the run queue cannot be reached, trying again: error=%s", exc)
            await asyncio.sleep(AGAIN_S)

    async def _create_groups(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for stream in self._streams:
            pipe.xgroup_create(stream, WORKERS, id="0", mkstream=True)
        # One that fails must not keep the others from being made.
        for reply in await pipe.execute(raise_on_error=False):
            if isinstance(reply, Exception) and not str(reply).startswith("BUSYGROUP"):
                raise reply

    async def _read(self, on_bell: OnBell, has_room: Callable[[], Awaitable[None]]) -> None:
        client = connect_reader(self._redis_url, BLOCK_S)
        try:
            # What was delivered to this node in a reply that it never got comes first.
            missed: Any = await client.xreadgroup(WORKERS, self._node_id, dict.fromkeys(self._streams, "0"))
            self._tell(missed, on_bell)
            while True:
                await has_room()
                found: Any = await client.xreadgroup(
                    WORKERS,
                    self._node_id,
                    dict.fromkeys(self._streams, ">"),
                    count=1,
                    block=int(BLOCK_S * 1000),
                )
                self._tell(found, on_bell)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()

    async def _claim(self, on_bell: OnBell) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for stream in self._streams:
            # From where the last reply ended: bells that are held must not hide those behind them.
            start = self._claimed.get(stream, "0-0")
            pipe.xautoclaim(stream, WORKERS, self._node_id, self._idle_ms, start_id=start, count=CLAIMED_AT_ONCE)
        replies: Any = await pipe.execute(raise_on_error=False)
        failed: Exception | None = None
        for stream, reply in zip(self._streams, replies, strict=True):
            if isinstance(reply, Exception):  # which must not keep the bells of other streams
                failed = reply
                continue
            self._claimed[stream] = reply[0]
            self._tell([(stream, reply[1])], on_bell)
        if failed is not None:
            raise failed

    def _tell(self, found: Any, on_bell: OnBell) -> None:
        for stream, messages in found or []:
            for message_id, fields in messages:
                if fields:  # it may have been deleted since
                    on_bell(Bell(stream, message_id, fields["conversation_id"]))


@cache
def source_of(name: str) -> str:
    """The Lua of a script of the run queue."""
    return (resources.files("sio_server.dialog") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
