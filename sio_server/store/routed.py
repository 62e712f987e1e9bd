"""Commands to a Redis Cluster: each goes to the primary of its key, over that primary's one connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import AskError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.redis_url import RedisUrl
from sio_server.store.noted import NotedPrimaries
from sio_server.store.pipelined import COMMAND_TIMEOUT_S, LoadedScript, Pipelined, TooMuchUnread
from sio_server.store.slots import Again, Server, SlotMap, View, newest_map, read_view, redirect_in, slot_of
from sio_server.store.wire import pack
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

FIRST_PAUSE_S, MAX_PAUSE_S = 0.01, 0.1  # before a command is sent again
OTHERS_S = 0.1  # for the other servers to say which slots they have, after the first one has
REFRESH_EVERY_S = 0.1  # at most so often: each asks all servers
LOOK_EVERY_S = 10.0  # for servers that were added, and slots that nobody has asked for since they moved
_ASKING = pack(("ASKING",))
_VIEW = pack(("CLUSTER", "SLOTS")) + pack(("CLUSTER", "INFO")) + pack(("CLUSTER", "MYID"))
_VIEW += pack(
    ("INFO", "replication")
)  # after SLOTS: what a server says as a primary is said of its own replication

Send = Callable[[Server, bool], Awaitable[Any]]  # sends a call to a server, with ASKING if it is asked this once


@dataclass
class _Routed:
    """A call, and until when it is sent."""

    send: Send
    slot: int
    deadline: float  # monotonic
    repeats_asking: bool  # whether it may be sent with ASKING, which holds for one command


class RoutedPipelined:
    """One `Pipelined` for each primary. Its `call` takes a key besides, and is otherwise that of `Pipelined`.

    What a server has not carried out, because a slot has moved, is moving, or its shard has no primary yet, is
    sent again to where it belongs, as a whole, until COMMAND_TIMEOUT_S is over. Calls with the same key keep their
    order as long as none of them is sent again.
    """

    def __init__(self, at: RedisUrl, make: Callable[[str], Pipelined]) -> None:
        self._at = at
        self._make = make
        self._limit_s: float = getattr(make, "command_timeout_s", COMMAND_TIMEOUT_S)
        self._pipelined: dict[Server, Pipelined] = {}
        self._map = SlotMap()
        self._noted = NotedPrimaries(self)
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = -float("inf")  # monotonic: when the last refresh began
        self._problem: Exception | None = None  # why it has reached no server, such as a certificate
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.on_changed: Callable[[], None] = lambda: None  # another server has a slot now
        seeds = [urlsplit(url) for url in at.servers]
        self._seeds = [Server(str(parts.hostname), int(parts.port or 6379)) for parts in seeds]

    def call(
        self, packed: bytes, count: int = 1, script: LoadedScript | None = None, key: str = ""
    ) -> asyncio.Future[Any]:
        """As `Pipelined.call`; all commands of one call are on keys of one slot, that of `key`."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = _Routed(
            partial(self._send, packed, count, script), slot_of(key), time.monotonic() + self._limit_s, count == 1
        )
        server = self._map.primary(call.slot)
        if self._closed:
            _give(future, _closed())
        else:
            send = partial(self._send_first, future, call, packed, count, script)
            if self._noted.is_noted(call.slot, server):
                send(server)
            else:
                self._noted.hold(call.slot, future, call.deadline, send)
        return future

    def _send_first(
        self,
        future: asyncio.Future[Any],
        call: _Routed,
        packed: bytes,
        count: int,
        script: LoadedScript | None,
        server: Server | None,
    ) -> None:
        if server is None:
            self._run(self._settle(future, call, None))
        else:
            self._of(server).call(packed, count, script).add_done_callback(partial(self._on_done, future, call))

    def send_once(self, packed: bytes, key: str) -> asyncio.Future[Any] | None:
        """Send one command to the primary of a key; None: it is dropped, since none is known.

        It is for what may be lost, and comes often: it is not sent again when its slot is elsewhere.
        """
        server = self._map.primary(slot_of(key))
        if server is None or self._closed:
            self._refresh_soon()
            return None
        sent = self._of(server).call(packed)
        sent.add_done_callback(self._on_sent_once)
        return sent

    def _on_sent_once(self, sent: asyncio.Future[Any]) -> None:
        """The next is sent to where this one belonged."""
        error = None if sent.cancelled() else sent.exception()
        if isinstance(error, TooMuchUnread) or self._closed:
            return
        redirect = redirect_in(error)
        if redirect is not None and redirect.why == Again.MOVED and redirect.server is not None:
            self.move(redirect.slot, redirect.server)
        if redirect is not None or isinstance(error, RedisConnectionError | RedisTimeoutError):
            self._refresh_soon()

    async def carry(self, key: str, send: Callable[[Server], Awaitable[Any]]) -> Any:
        """The reply that `send` gets from the primary of a key; it is called again until one has carried it out.

        Raises the last error when COMMAND_TIMEOUT_S is over.
        """

        async def send_to(server: Server, _: bool) -> Any:
            return await send(server)

        call = _Routed(send_to, slot_of(key), time.monotonic() + self._limit_s, repeats_asking=False)
        server, reply = self._map.primary(call.slot), None
        is_sent = server is not None and self._noted.is_noted(call.slot, server)
        if is_sent and server is not None:
            reply = await _as_value(send(server))
        if not is_sent or not _is_final(reply, call.slot):
            reply = await self._carry_out(call, reply)
        if isinstance(reply, Exception):
            raise reply
        return reply

    # What is known of the cluster

    @property
    def servers(self) -> list[Server]:
        """The primaries, as far as they are known."""
        return self._map.servers

    def primary(self, slot: int) -> Server | None:
        """The primary of a slot, as far as it is known."""
        return self._map.primary(slot)

    def url(self, server: Server) -> str:
        """The URL of one server of the cluster."""
        parts = urlsplit(self._at.server)
        user, at, _ = parts.netloc.rpartition("@")
        host = f"[{server.host}]" if ":" in server.host else server.host
        return parts._replace(netloc=f"{user}{at}{host}:{server.port}").geturl()

    def move(self, slot: int, server: Server) -> None:
        """A server has said that a slot has moved."""
        if self._map.primary(slot) != server:
            self._map.move(slot, server)
            self.on_changed()

    async def run_at(self, server: Server, packed: bytes, script: LoadedScript) -> Any:
        """The reply of a script at this server, whatever it has. Raises the error."""
        return await self._of(server).call(packed, 1, script)

    async def refresh(self) -> None:
        """Learn again which primary has which slot. Raises ConnectionError of redis-py when no server says it."""
        await asyncio.shield(self._begin_refresh())

    def _begin_refresh(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="slots")
            self._refreshing.add_done_callback(_retrieve)
        return self._refreshing

    @property
    def _is_refresh_due(self) -> bool:
        if self._refreshing is not None and not self._refreshing.done():
            return True
        return not self._closed and time.monotonic() - self._refreshed_at >= REFRESH_EVERY_S

    def _refresh_soon(self) -> None:
        """Refresh in the background, unless that was done just now."""
        if self._is_refresh_due:
            self._begin_refresh()

    async def watch(self) -> None:
        """Refresh now and then, until cancelled."""
        while True:
            with contextlib.suppress(RedisError):
                await self.refresh()
            await asyncio.sleep(LOOK_EVERY_S)

    async def aclose(self) -> None:
        """Close all connections for good; callers that still wait get a ConnectionError, and so do later ones."""
        self._closed = True
        await self._noted.aclose()
        await end_tasks([*self._tasks, self._refreshing])
        for pipelined in self._pipelined.values():
            await pipelined.aclose()
        self._pipelined.clear()

    # Calls

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="routed")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_done(self, future: asyncio.Future[Any], call: _Routed, sent: asyncio.Future[Any]) -> None:
        if sent.cancelled():
            _give(future, _closed())
            return
        reply = sent.exception() or sent.result()
        if future.done():
            return
        if self._closed or _is_final(reply, call.slot):
            _give(future, reply)
        else:
            self._run(self._settle(future, call, reply))

    async def _settle(self, future: asyncio.Future[Any], call: _Routed, reply: Any) -> None:
        """Give a caller the reply of a call that is carried out here."""
        try:
            _give(future, await self._carry_out(call, reply, future.done))
        except Exception as exc:
            _give(future, exc)
        except asyncio.CancelledError:
            _give(future, _closed())
            raise

    async def _carry_out(self, call: _Routed, reply: Any, is_over: Callable[[], bool] = lambda: False) -> Any:
        """Send a call until it is carried out or its time is over; `reply` is what it was answered last.

        Returns the final reply, or the last error.
        """
        last, pause = reply, FIRST_PAUSE_S
        try:
            async with asyncio.timeout(max(0.0, call.deadline - time.monotonic())):
                while not is_over():
                    asked = await self._prepare(call, last, pause)
                    pause = min(2 * pause, MAX_PAUSE_S)
                    if self._closed:
                        return _closed()
                    server = asked or self._map.primary(call.slot)
                    if asked is None and not self._noted.is_noted(call.slot, server):
                        server = await self._noted.noted(call.slot, call.deadline)
                    if server is None:
                        unknown = RedisConnectionError(f"no server of the cluster has slot {call.slot}")
                        last = self._problem or unknown
                        continue
                    last = None  # should the time end now, it is not known whether it was carried out
                    last = await _as_value(call.send(server, asked is not None))
                    if _is_final(last, call.slot):
                        return last
        except (TimeoutError, RedisTimeoutError):
            if not isinstance(last, Exception) or isinstance(last, AskError):
                return RedisTimeoutError("the cluster has not settled in time")
        return last

    async def _prepare(self, call: _Routed, reply: Any, pause: float) -> Server | None:
        """Do what the last reply asks for; returns the server that is asked this once, if it is another."""
        redirect = redirect_in(reply)
        if redirect is not None and redirect.why == Again.ASK and call.repeats_asking:
            return redirect.server
        if redirect is not None and redirect.why == Again.MOVED and redirect.server is not None:
            self.move(redirect.slot, redirect.server)
            if pause == FIRST_PAUSE_S:
                self._refresh_soon()  # other slots may have moved with this one
                return None
            await asyncio.sleep(pause)  # two servers may each say that the other has it, for a while
        elif reply is not None:
            await asyncio.sleep(pause)  # several commands are not sent to a slot that is on its way
        if self._is_refresh_due:
            with contextlib.suppress(RedisError):
                await self.refresh()
        return None

    async def _send(
        self, packed: bytes, count: int, script: LoadedScript | None, server: Server, asking: bool
    ) -> Any:
        pipelined = self._of(server)
        if not asking:
            return await pipelined.call(packed, count, script)
        if script is not None:
            await pipelined.call(script.load)
        _, reply = await pipelined.call(_ASKING + packed, 2)
        return reply

    # The map

    async def _refresh(self) -> None:
        """Ask all servers at once: one may hang, and one that was cut off does not know what has happened."""
        if self._closed:
            raise _closed()
        await asyncio.sleep(self._refreshed_at + REFRESH_EVERY_S - time.monotonic())
        self._refreshed_at = time.monotonic()
        asking = {
            asyncio.ensure_future(self._read_view(server))
            for server in dict.fromkeys([*self._map.servers, *self._seeds])
        }
        views: list[View] = []
        error: Exception = RedisConnectionError("no server of the cluster can be reached")
        try:
            until = float("inf")
            while asking:
                left = None if until == float("inf") else max(0.0, until - time.monotonic())
                done, asking = await asyncio.wait(asking, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for one in done:
                    reply = one.result()
                    if isinstance(reply, Exception):
                        error = reply
                    else:
                        views.append(reply)
                if views and until == float("inf"):
                    until = time.monotonic() + OTHERS_S
        finally:
            await end_tasks(asking)
        self._problem = None if views else error
        if not views:
            raise error
        new, before = newest_map(views), self._map
        self._map = new
        self._noted.on_views(new, views)
        if new != before:
            self.on_changed()
        gone = [known for known in self._pipelined if known not in (*self._map.servers, *self._seeds)]
        for known in gone:
            self._run(self._pipelined.pop(known).aclose())  # which may take a while

    async def _read_view(self, server: Server) -> View | Exception:
        try:
            replies = await self._of(server).call(_VIEW, 4)
            return read_view(server, replies)
        except RedisError as exc:
            return exc

    def _of(self, server: Server) -> Pipelined:
        if self._closed:
            raise _closed()
        known = self._pipelined.get(server)
        if known is None:
            known = self._pipelined[server] = self._make(self.url(server))
        return known


def _is_final(reply: Any, slot: int) -> bool:
    """Whether a reply is for the caller: the command was carried out, or refused for what it is.

    A command on a key of another slot than that of its call is carried out nowhere, however often it is sent.
    """
    if isinstance(reply, RedisConnectionError | RedisTimeoutError):
        return isinstance(reply, TooMuchUnread)
    redirect = redirect_in(reply)
    return redirect is None or redirect.slot not in (-1, slot)


async def _as_value(sent: Awaitable[Any]) -> Any:
    try:
        return await sent
    except RedisError as exc:
        return exc


def _give(future: asyncio.Future[Any], reply: Any) -> None:
    """Give a caller a reply, or an error."""
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # a caller that waits has it, and there may be none left


def _closed() -> RedisConnectionError:
    return RedisConnectionError("the connection was closed here")
