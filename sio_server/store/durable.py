"""Scripts whose reply is a promise: it is given when so many replicas have what the script has written."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from sio_server.store.pipelined import REPEATS, LoadedScript, Pipelined
from sio_server.store.routed import RoutedPipelined
from sio_server.store.slots import Server
from sio_server.store.topology import disputes
from sio_server.store.wire import pack
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

WAIT_MS = 600  # for the replicas; less than the time after which a silent Redis is left
AT_ONCE = 200  # scripts that share one WAIT

_PROMISES = ("ok", "already_resolved", b"ok", b"already_resolved")


class TooFewReplicas(ResponseError):
    """Redis has carried out a script, and fewer replicas than DURABLE_REPLICAS have confirmed it in time."""


def pack_wait(replicas: int) -> bytes:
    """The command that is answered when so many replicas have what its connection has written, or after WAIT_MS.

    It has to be sent together with the scripts, as one call: on another connection it would be answered at once.
    """
    return pack(("WAIT", replicas, WAIT_MS))


def missing(confirmed: Any, replicas: int) -> ResponseError | None:
    """What the reply to WAIT says against the promise, or None."""
    if isinstance(confirmed, ResponseError):
        return confirmed
    if confirmed >= replicas:
        return None
    return TooFewReplicas(f"NOREPLICAS {confirmed} of {replicas} replicas have confirmed it in time")


def disputed() -> ResponseError:
    """What is said against the promise when the server may have been replaced, and a replica may not know it."""
    return TooFewReplicas("NOREPLICAS Sentinel may be replacing the primary, as far as can be asked")


def is_promise(reply: Any) -> bool:
    """Whether a script's reply says that something is done; a refusal, for one, has changed nothing."""
    return not isinstance(reply, list) or reply[0] in _PROMISES


class _Waiting:
    """A script, with commands before it, that waits for its turn."""

    __slots__ = ("count", "future", "packed", "script")

    def __init__(self, packed: bytes, count: int, script: LoadedScript) -> None:
        self.packed = packed
        self.count = count
        self.script = script
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class RoutedDurable:
    """The same on a Redis Cluster: WAIT counts the replicas of the shard that has carried out the script."""

    def __init__(self, routed: RoutedPipelined, replicas: int) -> None:
        self._routed = routed
        self._replicas = replicas
        self._shards: dict[Server, DurableScripts] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def run(self, packed: bytes, count: int, script: LoadedScript, key: str) -> Any:
        """As `DurableScripts.run`, on the primary of a key; one that has moved is sent again as a whole."""
        return await self._routed.carry(key, lambda server: self._of(server).run(packed, count, script))

    async def aclose(self) -> None:
        """Close the connections for good."""
        self._is_closed = True
        shards, self._shards = self._shards, {}
        for shard in shards.values():
            await shard.aclose()
        await asyncio.gather(*self._leaving)

    def _of(self, server: Server) -> DurableScripts:
        if self._is_closed:
            raise _closed()
        known = self._shards.get(server)
        if known is None:
            self._leave_others({*self._routed.servers, server})
            known = self._shards[server] = DurableScripts(self._routed.url(server), self._replicas)
        return known

    def _leave_others(self, servers: set[Server]) -> None:
        """Close the connections to servers that are gone; what waits there is sent to where it belongs."""
        for gone in [known for known in self._shards if known not in servers]:
            leaving = asyncio.create_task(self._shards.pop(gone).aclose(), name="durable-leave")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


class DurableScripts:
    """Runs scripts on a connection of their own, since WAIT holds up all that comes behind it.

    Those that come while others wait for the replicas are sent together, with one WAIT. What was sent is sent
    again as a whole when the connection is lost, since only what its own connection has written is waited for; so
    a script must write something also when it was carried out before.
    """

    def __init__(self, url: str, replicas: int) -> None:
        self._pipelined = Pipelined(url)
        self._replicas = replicas
        self._wait = pack_wait(replicas)
        self._is_undisputed = disputes(url)
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_lacking = False

    async def run(self, packed: bytes, count: int, script: LoadedScript, key: str = "") -> Any:
        """The reply of a script, which is the last of `count` commands. Raises its error, or TooFewReplicas.

        `key` is for `RoutedDurable`: here there is one server.
        """
        one = _Waiting(packed, count, script)
        self._waiting.append(one)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="durable-scripts")
        return await one.future

    async def aclose(self) -> None:
        """Close the connection; a script that waits gets a ConnectionError."""
        waiting, self._waiting = self._waiting, deque()
        await end_tasks([self._task])
        for one in waiting:
            if not one.future.done():
                one.future.set_exception(_closed())
        await self._pipelined.aclose()

    async def _work(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            group = [one for one in group if not one.future.done()]
            if not group:
                continue
            try:
                replies = await self._send(group)
                lacking = missing(replies[-1], self._replicas)
                # Asked when the replies are there: the server may have hung until it was replaced.
                undisputed = self._is_undisputed
                if lacking is None and undisputed is not None and not await undisputed(self._pipelined.server):
                    lacking = disputed()
            except BaseException as exc:
                for one in group:
                    if not one.future.done():
                        one.future.set_exception(exc if isinstance(exc, Exception) else _closed())
                if not isinstance(exc, Exception):
                    raise
                continue
            if not isinstance(replies[-2], ResponseError):  # a server that carries out nothing lacks no replicas
                self._note(lacking)
            _tell(group, replies, lacking)

    def _note(self, lacking: ResponseError | None) -> None:
        """Logged once, however long it lasts."""
        if lacking is not None and not self._is_lacking:
            log.warning("requests are refused, DURABLE_REPLICAS=%d: %s", self._replicas, lacking)
        elif lacking is None and self._is_lacking:
            log.warning("enough replicas are in step again")
        self._is_lacking = lacking is not None

    async def _send(self, group: list[_Waiting]) -> list[Any]:
        packed = b"".join([*(one.packed for one in group), self._wait])
        count = sum(one.count for one in group) + 1
        for repeats in range(REPEATS + 1):
            replies: list[Any] = await self._pipelined.call(packed, count)
            if repeats == REPEATS or not any(isinstance(reply, NoScriptError) for reply in replies):
                break
            for load in {one.script.load for one in group}:
                await self._pipelined.call(load)
        return replies


def _tell(group: list[_Waiting], replies: list[Any], lacking: ResponseError | None) -> None:
    at = 0
    for one in group:
        mine = replies[at : at + one.count]
        at += one.count
        if one.future.done():
            continue
        error = next((reply for reply in mine if isinstance(reply, Exception)), None)
        if error is None and is_promise(mine[-1]):
            error = lacking
        if error is not None:
            one.future.set_exception(error)
        else:
            one.future.set_result(mine[-1])


def _closed() -> RedisConnectionError:
    return RedisConnectionError("the connection was closed here")
