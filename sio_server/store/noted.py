"""A new primary of a Redis Cluster is noted in each partition that it has, before anything else is sent there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.store.keys import stats
from sio_server.store.partitions import PARTITIONS, tag
from sio_server.store.pipelined import LoadedScript
from sio_server.store.script_files import load_script
from sio_server.store.slots import Again, Server, SlotMap, View, redirect_in, slot_of
from sio_server.store.wire import pack
from sio_server.tasks import end_tasks

FIRST_PAUSE_S, MAX_PAUSE_S = 0.01, 0.1  # before it is tried again

_PARTITION_OF = {slot_of(tag(number)): number for number in range(PARTITIONS)}


class _Cluster(Protocol):
    """The part of `RoutedPipelined` that is needed here."""

    def primary(self, slot: int) -> Server | None: ...

    def move(self, slot: int, server: Server) -> None: ...

    async def refresh(self) -> None: ...

    async def run_at(self, server: Server, packed: bytes, script: LoadedScript) -> Any: ...


class _Origin(NamedTuple):
    """What a primary says of itself; a promotion gives it another replid and a greater epoch."""

    replid: str
    server_id: str
    epoch: int


class _Held(NamedTuple):
    """What waits until the primary is noted."""

    future: asyncio.Future[Any]
    send: Callable[[Server | None], None]
    timer: asyncio.TimerHandle


class NotedPrimaries:
    """Holds up what is sent to a partition until its primary is noted there.

    Redis replicates after it has answered, so devices may have been shown what a promoted replica does not have.
    `note_primary.lua` decides whether that can be so; then conversations get a new epoch at the next step.
    """

    def __init__(self, cluster: _Cluster) -> None:
        self._cluster = cluster
        self._origins: dict[Server, _Origin] = {}  # of the primaries that there are
        self._noted: dict[int, Server] = {}  # by slot
        self._held: dict[int, list[_Held]] = {}  # by slot, in the order in which it came
        self._tasks: dict[int, asyncio.Task[None]] = {}  # by slot

    def is_noted(self, slot: int, server: Server | None) -> bool:
        """Whether a call may be sent to this server; what is in no partition always may."""
        return slot not in _PARTITION_OF or (server is not None and self._noted.get(slot) == server)

    def hold(
        self, slot: int, future: asyncio.Future[Any], deadline: float, send: Callable[[Server | None], None]
    ) -> None:
        """Call `send` with the primary when it is noted; at the deadline (monotonic) the future gets an error."""
        timer = asyncio.get_running_loop().call_later(max(0.0, deadline - time.monotonic()), _expire, future)
        self._held.setdefault(slot, []).append(_Held(future, send, timer))
        if slot not in self._tasks:
            self._tasks[slot] = asyncio.create_task(self._note(slot), name="note-primary")

    async def noted(self, slot: int, deadline: float) -> Server | None:
        """The primary of a slot, when it is noted. Raises TimeoutError of redis-py."""
        future: asyncio.Future[Server | None] = asyncio.get_running_loop().create_future()
        self.hold(slot, future, deadline, future.set_result)
        return await future

    def on_views(self, slots: SlotMap, views: Sequence[View]) -> None:
        """The servers say how they see the cluster. What was noted for one that was promoted since is void."""
        found = {
            one.server: _Origin(view.replid, view.server_id, view.own_epoch)
            for view in views
            for one in view.ranges
            if one.server_id == view.server_id
        }
        before, servers = self._origins, slots.servers
        self._origins = {server: known for server in servers if (known := found.get(server) or before.get(server))}
        for slot, server in list(self._noted.items()):
            was, now = before.get(server), self._origins.get(server)
            if was is None or now is None or was.replid != now.replid:
                del self._noted[slot]

    async def aclose(self) -> None:
        """Give up; what waits gets a ConnectionError."""
        await end_tasks(list(self._tasks.values()))
        for held in [one for some in self._held.values() for one in some]:
            held.timer.cancel()
            if not held.future.done():
                held.future.set_exception(RedisConnectionError("the connection was closed here"))
        self._held.clear()

    async def _note(self, slot: int) -> None:
        """Try it for as long as something waits for it."""
        pause, primary = FIRST_PAUSE_S, None
        try:
            while any(not one.future.done() for one in self._held[slot]):
                done, primary = await self._try(slot)
                if done:
                    break
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)
        finally:
            del self._tasks[slot]
        for one in self._held.pop(slot):
            one.timer.cancel()
            if not one.future.done():
                one.send(primary)

    async def _try(self, slot: int) -> tuple[bool, Server | None]:
        """Whether what waits may be sent, and to where."""
        if self._origin(slot) is None:
            with contextlib.suppress(RedisError):
                await self._cluster.refresh()
        server, origin = self._cluster.primary(slot), self._origin(slot)
        if server is None or origin is None:
            return False, None
        if origin.replid:  # else nobody here may ask for it
            present = " ".join([one.replid for one in self._origins.values()])
            args = (stats(_PARTITION_OF[slot]), *origin, present)
            try:
                await self._cluster.run_at(server, pack(("EVALSHA", _script().sha, 1, *args)), _script())
            except RedisError as exc:
                redirect = redirect_in(exc)
                if redirect is not None and redirect.why == Again.MOVED and redirect.server is not None:
                    self._cluster.move(redirect.slot, redirect.server)
                elif redirect is not None and redirect.why == Again.ASK:
                    return True, server  # the slot is on its way: its keys came from where they were noted
                elif redirect is None and not isinstance(exc, RedisConnectionError | RedisTimeoutError):
                    return True, server  # it takes no writes: what reads is served
                with contextlib.suppress(RedisError):
                    await self._cluster.refresh()
                return False, None
        if self._cluster.primary(slot) != server or self._origin(slot) != origin:
            return False, None
        self._noted[slot] = server
        return True, server

    def _origin(self, slot: int) -> _Origin | None:
        server = self._cluster.primary(slot)
        return self._origins.get(server) if server is not None else None


@cache
def _script() -> LoadedScript:
    return LoadedScript(load_script("note_primary", on_cluster=True).source)


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(RedisTimeoutError("the cluster has not settled in time"))
