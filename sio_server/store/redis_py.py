"""redis-py's connections as we use them, and the one place where its private names are touched."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

from redis._parsers import BaseParser, Encoder
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from sio_server.store.failures import explain

log = logging.getLogger(__name__)

REPLY_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.5
TLS_KEPT_S = 300.0
FRESH_S = 0.2  # for so long what Sentinel has said is taken for true

# A connection is ready as soon as it is there: the newer protocol, and telling the library's name, would cost two
# round trips more, and a Redis may be far away.
AT_ONCE: dict[str, Any] = {"protocol": 2, "driver_info": None}

# What connections and pipelines of redis-py have, and promise to nobody.
CONNECTION_NAMES = ("_reader", "_writer", "_close", "_connect", "on_connect_check_health", "pack_commands")
PIPELINE_NAMES = (
    *("command_stack", "is_transaction", "explicit_transaction", "watching", "connection", "scripts"),
    *("raise_first_error", "annotate_exception", "reset", "response_callbacks"),
)

P = TypeVar("P")

_ENCODER = Encoder("utf-8", "strict", False)  # type: ignore[no-untyped-call]


class Locator(Protocol[P]):
    """Knows which server is the primary (`sentinel.Sentinels`)."""

    async def primary(self) -> P: ...

    def confirm(self, named: P, /) -> tuple[str, int] | None: ...

    def to_note(self, named: P, /) -> list[tuple[str, ...]]: ...

    def noted(self, named: P, /) -> None: ...


class _OurConnection(AbstractConnection):
    """A connection that can be cancelled while it sends, and leaves a server that is a replica now.

    redis-py sends in `asyncio.wait_for`, which forgets a cancellation before Python 3.12: the task would continue,
    and a task that waits for its end would wait for ever. And uvloop raises RuntimeError when one writes to a
    connection that has just broken, which no library above takes for a lost connection.

    After a planned failover the old primary keeps its connections, and refuses writes on each. The first refusal
    closes all connections of this process to that server, also those that wait for a reply or for the bus: they
    are opened again, and then reach the new primary.

    With a `locator` each attempt to connect asks for the primary, and the server must say that it is one. The
    first connection to a new primary closes all those to the one before, which may be dead, or hang.
    """

    locator: Locator[Any] | None = None
    _named: Any = None
    _named_at = 0.0
    host: str
    port: int

    async def _connect(self) -> None:
        if self.locator is not None:
            self._named, self._named_at = await self.locator.primary(), time.monotonic()
            self.host, self.port = self._named.host, self._named.port
        await super()._connect()  # type: ignore[no-untyped-call,safe-super]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        if self.locator is None:
            return
        await self._check_role()
        if time.monotonic() - self._named_at > FRESH_S and await self.locator.primary() != self._named:
            # A server that hung accepts connections, and says that it is the primary when it continues.
            raise RedisConnectionError(f"{self.host}:{self.port} was replaced while it did not answer")
        await self._note_promotion(self.locator)
        if (before := self.locator.confirm(self._named)) is not None:
            log.warning("the primary is %s:%d now, no longer %s:%d", self.host, self.port, *before)
            leave_server(*before)

    async def _note_promotion(self, locator: Locator[Any]) -> None:
        """Before anything else is written there: see `Sentinels.to_note`.

        A server that refuses writes for now (it waits for its replicas) is read all the same, and asked again.
        """
        commands = locator.to_note(self._named)
        if not commands:
            return
        await self.send_packed_command(self.pack_commands(commands), check_health=False)
        refusals: list[ResponseError] = []
        for _ in commands:
            try:
                await self.read_response()
            except ResponseError as exc:
                refusals.append(exc)
        for refusal in refusals:
            if not explain(refusal).readable:
                raise refusal
        if not refusals:
            locator.noted(self._named)

    async def _check_role(self) -> None:
        await self.send_command("ROLE", check_health=False)
        try:
            role = (await self.read_response())[0]
        except NoPermissionError:
            return  # the first refusal of a write tells as well
        if role not in (b"master", "master"):
            raise RedisConnectionError(f"{self.host}:{self.port} was named as the primary and is none")

    async def connect(self) -> None:
        if not self.is_connected:
            share_tls(self)
            await super().connect()  # type: ignore[no-untyped-call]
            _remember(self)

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as exc:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"the connection is broken: {exc}") from exc
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # nothing waits for its reply any more
            raise asyncio.CancelledError

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as exc:
            if explain(exc).demoted:
                leave_server_of(self)
            raise


def our_kind(kind: type[AbstractConnection], locator: Locator[Any] | None = None) -> type[AbstractConnection]:
    """A class of connections (TCP, TLS, unix socket) with what ours do besides."""
    return type(f"Our{kind.__name__}", (_OurConnection, kind), {"locator": locator})


_tls: dict[str, tuple[float, Any]] = {}  # contexts by their settings, and since when
_tls_lock = threading.Lock()


def share_tls(connection: AbstractConnection) -> None:
    """Give a connection over TLS, which is not connected yet, the context of others with the same settings.

    Making one reads the certificates of the system, which takes 40 ms, and the event loop does nothing else
    meanwhile. After TLS_KEPT_S the files are read again, which may have been renewed.
    """
    own = getattr(connection, "ssl_context", None)
    if own is None:
        return
    key = repr([getattr(own, name, None) for name in own.__slots__ if name != "context"])
    now = time.monotonic()
    with _tls_lock:
        since, context = _tls.get(key, (now, own))
        if now - since > TLS_KEPT_S:
            since, context = now, own
        _tls[key] = since, context
    cast(Any, connection).ssl_context = context


def parse_error(text: str) -> Exception:
    """An error that Redis has answered, as redis-py raises it."""
    return cast(Exception, cast(Any, BaseParser).parse_error(text))


def encode(argument: Any) -> bytes:
    """An argument of a command as redis-py sends it. Raises DataError of redis-py for what cannot be sent."""
    return bytes(cast(Any, _ENCODER).encode(argument))


def transport_of(connection: AbstractConnection) -> asyncio.Transport:
    """The transport of a connection that has just connected; its protocol may be exchanged."""
    reader, writer = cast(Any, connection)._reader, cast(Any, connection)._writer
    if reader is None or writer is None or reader.at_eof() or writer.transport.is_closing():
        raise RedisConnectionError("the connection was closed as soon as it was there")
    return cast(asyncio.Transport, writer.transport)


def close_now(connection: AbstractConnection) -> None:
    """Close a connection without waiting for its end."""
    cast(Any, connection)._close()


def _abort(connection: Any) -> None:
    """Close at once; its user, or the pool at its next use, notices that it is closed."""
    writer = connection._writer
    if writer is not None:
        writer.transport.abort()


# All open connections of this process, in whatever thread's event loop, by server.

_Server = tuple[Any, ...]  # host, port and path

_open_lock = threading.Lock()
_open_connections: WeakKeyDictionary[AbstractConnection, tuple[Any, asyncio.AbstractEventLoop]] = (
    WeakKeyDictionary()
)


def _server_of(connection: Any) -> _Server:
    return tuple(getattr(connection, name, None) for name in ("host", "port", "path"))


def _remember(connection: AbstractConnection) -> None:
    with _open_lock:
        _open_connections[connection] = (_server_of(connection), asyncio.get_running_loop())


def leave_server_of(connection: AbstractConnection) -> None:
    """Close all connections of this process to the server of this one."""
    left = _leave(_server_of(connection))
    if left:
        log.warning("the Redis that was the primary is a replica now: %d connections leave it", left)


def leave_server(host: str, port: int) -> None:
    """Close all connections of this process to the server at this address."""
    _leave((host, port, None))


def _leave(server: _Server) -> int:
    with _open_lock:
        leaving = [(one, loop) for one, (where, loop) in _open_connections.items() if where == server]
        for one, _ in leaving:
            del _open_connections[one]
    for one, loop in leaving:
        with contextlib.suppress(RuntimeError):  # that loop has ended
            loop.call_soon_threadsafe(_abort, one)
    return len(leaving)
