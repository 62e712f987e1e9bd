"""Commands to a Redis Cluster: each goes to the primary of its key, over that primary's one connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.redis_url import RedisUrl
from sio_server.store.pipelined import COMMAND_TIMEOUT_S, LoadedScript, Pipelined
from sio_server.store.slots import Again, Server, SlotMap, redirect_in, slot_of
from sio_server.store.wire import pack
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

FIRST_PAUSE_S, MAX_PAUSE_S = 0.01, 0.1  # before a command is sent again
_ASKING = pack(("ASKING",))
_CLUSTER_SLOTS = pack(("CLUSTER", "SLOTS"))


@dataclass
class _Routed:
    """A call, and the future of its caller."""

    packed: bytes
    count: int
    script: LoadedScript | None
    slot: int
    future: asyncio.Future[Any]
    deadline: float  # monotonic

    def settle(self, reply: Any) -> None:
        """Give the caller a reply, or an error."""
        if self.future.done():
            return
        if isinstance(reply, Exception):
            self.future.set_exception(reply)
        else:
            self.future.set_result(reply)


class RoutedPipelined:
    """One `Pipelined` for each primary. Its `call` takes a key besides, and is otherwise that of `Pipelined`.

    What a server has not carried out, because a slot has moved, is moving, or its shard has no primary yet, is
    sent again to where it belongs, as a whole, until COMMAND_TIMEOUT_S is over. Calls with the same key keep their
    order as long as none of them is sent again.
    """

    def __init__(self, at: RedisUrl, make: Callable[[str], Pipelined]) -> None:
        self._at = at
        self._make = make
        self._pipelined: dict[Server, Pipelined] = {}
        self._map = SlotMap()
        self._refreshing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        seeds = [urlsplit(url) for url in at.servers]
        self._seeds = [Server(str(parts.hostname), int(parts.port or 6379)) for parts in seeds]

    def call(
        self, packed: bytes, count: int = 1, script: LoadedScript | None = None, key: str = ""
    ) -> asyncio.Future[Any]:
        """As `Pipelined.call`; all commands of one call are on keys of one slot, that of `key`."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = _Routed(packed, count, script, slot_of(key), future, time.monotonic() + COMMAND_TIMEOUT_S)
        server = self._map.primary(call.slot)
        if server is None:
            self._run(self._carry_out(call, None))
        else:
            self._of(server).call(packed, count, script).add_done_callback(partial(self._on_done, call))
        return future

    @property
    def servers(self) -> list[Server]:
        """The primaries, as far as they are known."""
        return self._map.servers

    async def refresh(self) -> None:
        """Learn again which primary has which slot. Raises ConnectionError of redis-py when no server says it."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="slots")
        await asyncio.shield(self._refreshing)

    async def aclose(self) -> None:
        """Close all connections; callers that still wait get a ConnectionError."""
        await end_tasks([*self._tasks, self._refreshing])
        for pipelined in self._pipelined.values():
            await pipelined.aclose()
        self._pipelined.clear()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="routed")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_done(self, call: _Routed, sent: asyncio.Future[Any]) -> None:
        if sent.cancelled():
            call.settle(RedisConnectionError("the connection was closed here"))
            return
        reply = sent.exception() or sent.result()
        if call.future.done():
            return
        if _is_final(reply):
            call.settle(reply)
        else:
            self._run(self._carry_out(call, reply))

    async def _carry_out(self, call: _Routed, reply: Any) -> None:
        """Send a call until it is carried out or its time is over; `reply` is what it was answered last."""
        pause = FIRST_PAUSE_S
        try:
            while not call.future.done():
                asked = await self._prepare(call, reply, pause)
                if time.monotonic() > call.deadline:
                    late = RedisTimeoutError(f"the cluster has not settled within {COMMAND_TIMEOUT_S:g} s")
                    raise reply if isinstance(reply, Exception) else late
                pause = min(2 * pause, MAX_PAUSE_S)
                server = asked or self._map.primary(call.slot)
                if server is None:
                    reply = RedisConnectionError(f"no server of the cluster has slot {call.slot}")
                    continue
                try:
                    reply = await self._send(server, call, asking=asked is not None)
                except RedisError as exc:
                    reply = exc
                if _is_final(reply):
                    call.settle(reply)
        except Exception as exc:
            call.settle(exc)
        except asyncio.CancelledError:
            call.settle(RedisConnectionError("the connection was closed here"))
            raise

    async def _prepare(self, call: _Routed, reply: Any, pause: float) -> Server | None:
        """Do what the last reply asks for; returns the server that is asked this once, if it is another."""
        redirect = redirect_in(reply)
        if redirect is not None and redirect.why == Again.ASK and call.count == 1:
            return redirect.server
        if redirect is not None and redirect.why == Again.MOVED and redirect.server is not None:
            self._map.move(redirect.slot, redirect.server)
        elif reply is not None:
            await asyncio.sleep(pause)  # several commands are not sent to a slot that is on its way
        with contextlib.suppress(RedisError):
            await self.refresh()
        return None

    async def _send(self, server: Server, call: _Routed, *, asking: bool) -> Any:
        pipelined = self._of(server)
        if not asking:
            return await pipelined.call(call.packed, call.count, call.script)
        if call.script is not None:
            await pipelined.call(call.script.load)
        _, reply = await pipelined.call(_ASKING + call.packed, 2)
        return reply

    async def _refresh(self) -> None:
        error: Exception = RedisConnectionError("no server of the cluster can be reached")
        for server in dict.fromkeys([*self._map.servers, *self._seeds]):
            try:
                reply = await self._of(server).call(_CLUSTER_SLOTS)
            except RedisError as exc:
                error = exc
                continue
            self._map = SlotMap.from_reply(reply, server)
            gone = [known for known in self._pipelined if known not in (*self._map.servers, *self._seeds)]
            for known in gone:
                await self._pipelined.pop(known).aclose()
            return
        raise error

    def _of(self, server: Server) -> Pipelined:
        known = self._pipelined.get(server)
        if known is None:
            known = self._pipelined[server] = self._make(self._url(server))
        return known

    def _url(self, server: Server) -> str:
        parts = urlsplit(self._at.server)
        user, at, _ = parts.netloc.rpartition("@")
        host = f"[{server.host}]" if ":" in server.host else server.host
        return parts._replace(netloc=f"{user}{at}{host}:{server.port}").geturl()


def _is_final(reply: Any) -> bool:
    """Whether a reply is for the caller: the command was carried out, or refused for what it is."""
    if isinstance(reply, RedisConnectionError | RedisTimeoutError):
        return False
    return redirect_in(reply) is None
