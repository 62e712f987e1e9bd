"""The trace events of all nodes, as an endless stream for each reader of the stage.

Every node receives every node's events, so a stage whose node has died continues to read from another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from redis.exceptions import RedisError

from sio_server.store.connection import connect_blocking
from sio_server.store.keys import TRACE
from sio_server.tasks import end_tasks
from sio_server.trace.contract import BEAT

log = logging.getLogger(__name__)

BEAT_S = 1.0
PAUSE_S = 0.5  # while Redis is away
UNREAD_MAX = 1000  # events that a reader may be behind, beside what the system keeps for its socket


class Reader:
    """One reader's queue; `drop` ends its connection when it is too far behind."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self._unread: deque[bytes] = deque()
        self._came = asyncio.Event()
        self._over = False
        self._drop = drop

    def put(self, line: bytes) -> None:
        if len(self._unread) < UNREAD_MAX:
            self._unread.append(line)
        elif not self._over:
            log.info("a reader of the trace does not read; it is dropped")
            self.end()
            self._drop()
        self._came.set()

    def end(self) -> None:
        self._over = True
        self._came.set()

    async def next(self) -> bytes:
        """The lines that have come since; empty when the stream is over."""
        while not self._unread and not self._over:
            self._came.clear()
            await self._came.wait()
        lines = b"".join(self._unread)
        self._unread.clear()
        return lines


class TraceFeed:
    """Receives the trace on one connection and passes each event on to all readers, waiting for none of them."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._readers: set[Reader] = set()
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [
            asyncio.create_task(self._listen_forever(), name="trace-feed"),
            asyncio.create_task(self._beat(), name="trace-beat"),
        ]

    async def stop(self) -> None:
        """End all streams, in order."""
        self._stopped = True
        await end_tasks(self._tasks)
        for reader in self._readers:
            reader.end()

    @contextlib.contextmanager
    def reading(self, drop: Callable[[], None]) -> Iterator[Reader]:
        """Read the events from now on, as lines of JSON; `drop` is called when that is done too slowly."""
        reader = Reader(drop)
        self._readers.add(reader)
        if self._stopped:
            reader.end()
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def _pass_on(self, line: str) -> None:
        encoded = line.encode() + b"\n"
        for reader in self._readers:
            reader.put(encoded)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._pass_on(json.dumps({"kind": BEAT, "at": round(time.time() * 1000, 3)}))

    async def _listen_forever(self) -> None:
        while True:
            client = connect_blocking(self._redis_url, BEAT_S)
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(TRACE)
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=BEAT_S)
                        if message is not None:
                            self._pass_on(message["data"])
            except (RedisError, OSError, TimeoutError, UnicodeDecodeError) as exc:
                log.info("the trace is lost, trying again: error=%s", exc)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(PAUSE_S)
