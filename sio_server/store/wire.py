"""One connection to Redis without a task: commands out, replies in, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from sio_server.store.failures import explain
from sio_server.store.redis_py import (
    AT_ONCE,
    CONNECT_TIMEOUT_S,
    REPLY_TIMEOUT_S,
    close_now,
    leave_server_of,
    parse_error,
    transport_of,
)
from sio_server.store.topology import new_connection

MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024  # of commands that a Redis which does not read leaves here

_NOTHING_YET = object()

# A command as bytes: its arguments may be bytes, str, int and float; TypeError tells of another.
pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command

OnReply = Callable[[Any], None]
OnLost = Callable[[BaseException | None], None]


class Wire(asyncio.Protocol):
    """A connection that redis-py has opened (URL, TLS, user, database), and that is read and written here.

    `on_reply` is called with each reply in the order of the commands, and with each message of pub/sub. An error
    of Redis is a value, as redis-py would raise it; so is the UnicodeDecodeError of a reply that is no UTF-8.

    `on_lost` is called once when the connection is lost, with None when the server has closed it in order; not
    after `close` and `abort`. A Redis that serves nobody (LOADING, NOAUTH, too many clients) counts as lost. No
    time is limited here: a Redis that hangs is noticed by the caller, which aborts.

    It is used in the event loop in which it was opened. What the callbacks raise closes the connection.
    """

    def __init__(self, on_reply: OnReply, on_lost: OnLost, *, decode: bool = True, errors: str = "strict") -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            protocolError=RedisConnectionError,
            replyError=parse_error,
            encoding="utf-8" if decode else None,
            errors=errors,
            notEnoughData=_NOTHING_YET,
        )
        self._out: list[bytes] = []
        self._over = False
        self._ended = self._loop.create_future()

    @classmethod
    async def open(
        cls, url: str, on_reply: OnReply, on_lost: OnLost, *, decode: bool = True, errors: str = "strict"
    ) -> Wire:
        """Connect. Raises what redis-py raises: ConnectionError, TimeoutError and AuthenticationError of it.

        `errors`: what becomes of a reply that is no UTF-8, as `bytes.decode` takes it.
        """
        connection = new_connection(
            url, **AT_ONCE, socket_timeout=REPLY_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S
        )
        wire = cls(on_reply, on_lost, decode=decode, errors=errors)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            wire._take_over(connection)
        except BaseException:
            close_now(connection)
            raise
        return wire

    def _take_over(self, connection: AbstractConnection) -> None:
        self._transport = transport_of(connection)
        self._connection = connection  # keeps its writer, by which a demoted server is left
        self._transport.set_protocol(self)

    def send(self, *commands: Sequence[Any]) -> None:
        """Send commands, of bytes, str, int and float; those of one turn of the loop are written together.

        The name of a command has no space: `("CLIENT", "ID")`. Raises TypeError when an argument is of another
        type; then none of them is sent. What is sent after the connection was lost is dropped.
        """
        self.send_packed(b"".join([pack(tuple(command)) for command in commands]))

    def send_packed(self, commands: bytes) -> None:
        """Send what `pack` has made of one command or more."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(commands)

    @property
    def server(self) -> tuple[str, int] | None:
        """The address of the server, unless it is a unix socket."""
        host, port = getattr(self._connection, "host", None), getattr(self._connection, "port", None)
        return (host, port) if isinstance(host, str) and isinstance(port, int) else None

    @property
    def is_full(self) -> bool:
        """Whether Redis has left more than MAX_UNWRITTEN_BYTES unread: a caller that can refuse sends no more."""
        return self._transport.get_write_buffer_size() > MAX_UNWRITTEN_BYTES

    def close(self) -> None:
        """Close when what was sent has been written. Nothing is called any more."""
        self._flush()
        self._over = True
        self._transport.close()

    def abort(self) -> None:
        """Close at once, without writing more. Nothing is called any more."""
        self._over = True
        self._out.clear()
        self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await asyncio.shield(self._ended)

    def _flush(self) -> None:
        out = self._out
        if not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        try:
            if not self._transport.is_closing():
                self._transport.write(data)
        except RuntimeError as exc:  # uvloop, when the connection has just broken
            self._fail(RedisConnectionError(f"the connection is broken: {exc}"))

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        reader, on_reply = self._reader, self._on_reply
        reader.feed(data)
        while not self._over:
            try:
                reply = reader.gets()
            except UnicodeDecodeError as exc:  # the reply is taken; the next one follows
                reply = exc
            except RedisConnectionError as exc:  # no reply of a Redis
                self._fail(exc)
                return
            if reply is _NOTHING_YET:
                return
            if isinstance(reply, Exception):
                if isinstance(reply, RedisConnectionError) and not isinstance(reply, ResponseError):
                    self._fail(reply)  # it serves no more clients
                    return
                if explain(reply).demoted:
                    leave_server_of(self._connection)
            on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        close_now(self._connection)
        if not self._ended.done():
            self._ended.set_result(None)
        self._lose(exc)

    def _fail(self, error: BaseException) -> None:
        self._transport.abort()
        self._lose(error)

    def _lose(self, error: BaseException | None) -> None:
        if not self._over:
            self._over = True
            self._on_lost(error)
