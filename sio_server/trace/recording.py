"""Recording: what a node does, as trace events for the stage, without ever waiting for a reader.

Below gateway and dialog, since both record what they do and must not know each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from redis.exceptions import RedisError

from sio_server.store.connection import connect_blocking
from sio_server.store.keys import TRACE
from sio_server.trace.contract import TraceKind

log = logging.getLogger(__name__)

WAITING_MAX = 1000  # events; more than that are lost, and counted
AT_ONCE = 100  # events in one round trip
PAUSE_S = 0.5  # while Redis is away
FAREWELL_S = 0.5  # for the last events when the node stops, and for the task to end


class Sink(Protocol):
    """What gets the events of this node besides the stage. It is called in any thread, and raises nothing."""

    def on_event(self, kind: TraceKind, fields: Mapping[str, Any]) -> None:
        """Something has just happened."""
        ...

    def working(self, about: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Around all that is done for an attempt at a run."""
        ...

    def called_by(self, traceparent: str, operation: str) -> AbstractContextManager[None]:
        """Around a request whose caller has a trace, as W3C's Trace Context names it."""
        ...


class Trace:
    """Publishes trace events. Before `start`, and without a sink, recording does nothing.

    `record` may be called from any thread. It puts the event into a bounded queue and returns; one task, in the
    loop that called `start`, publishes what waits there. An event that cannot be published is lost.
    """

    def __init__(self, node_name: str, sink: Sink | None = None) -> None:
        self._node_name = node_name
        self._sink = sink
        self._waiting: deque[tuple[float, TraceKind, dict[str, Any]]] = deque()
        self._woken = False
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.lost = 0

    @property
    def on(self) -> bool:
        """Whether events are recorded: for callers to whom collecting the fields is work."""
        return self._loop is not None or self._sink is not None

    def record(self, kind: TraceKind, **fields: Any) -> None:
        """Something has just happened."""
        if self._sink is not None:
            self._sink.on_event(kind, fields)
        if self._loop is None:
            return
        if len(self._waiting) >= WAITING_MAX:
            self.lost += 1
            return
        self._waiting.append((time.time() * 1000, kind, fields))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended; so has the node
                self._loop.call_soon_threadsafe(self._wake.set)

    def working(self, **about: Any) -> AbstractContextManager[None]:
        """Around all that is done for an attempt at a run."""
        return self._sink.working(about) if self._sink is not None else contextlib.nullcontext()

    def called_by(self, traceparent: str, operation: str) -> AbstractContextManager[None]:
        """Around a request whose caller has a trace; `traceparent` is the header, or empty."""
        if self._sink is None or not traceparent:
            return contextlib.nullcontext()
        return self._sink.called_by(traceparent, operation)

    def start(self, redis_url: str) -> None:
        """Begin to record."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._publish_forever(redis_url), name="trace")

    async def stop(self) -> None:
        """Publish what waits, if that takes no time, and record nothing from now on."""
        self._loop = None
        if self._task is None:
            return
        self._wake.set()
        _, late = await asyncio.wait([self._task], timeout=FAREWELL_S)
        if late:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=FAREWELL_S)

    async def _publish_forever(self, redis_url: str) -> None:
        # A client that repeats nothing: an event must not come twice, and may be lost.
        redis = connect_blocking(redis_url, 0)
        try:
            while self._loop is not None or self._waiting:
                await self._wake.wait()
                if self._loop is not None:
                    self._wake.clear()
                # Before the queue is read: what is recorded after this wakes the task again.
                self._woken = False
                while self._waiting:
                    pipe = redis.pipeline(transaction=False)
                    for _ in range(min(AT_ONCE, len(self._waiting))):
                        pipe.publish(TRACE, self._encode(*self._waiting.popleft()))
                    try:
                        await pipe.execute()
                    except (RedisError, OSError) as exc:
                        log.info("trace events were lost: error=%s", exc)
                        await asyncio.sleep(PAUSE_S)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await redis.aclose()

    def _encode(self, at: float, kind: TraceKind, fields: dict[str, Any]) -> str:
        # In ASCII, so that half a surrogate pair in a name cannot break the line.
        return json.dumps({"at": round(at, 3), "node": self._node_name, "kind": kind, **fields})
