"""Connections to Redis: time limits, retries that are safe, and errors translated at the border."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.protocol.errors import Unavailable
from sio_server.store.failures import explain

log = logging.getLogger(__name__)

# No handler waits two seconds for Redis: a command has COMMAND_TIMEOUT_S for everything, which is to find a free
# connection, to connect, to be answered, and to be repeated once; and what fails ends its handler. A command may
# be repeated because each of ours has the same effect once or twice (docs/decisions/0012-lost-replies.md).
COMMAND_TIMEOUT_S = 1.4
REPLY_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.5

# A connection is ready as soon as it is there: the newer protocol, and telling the library's name, would cost two
# round trips more, and a Redis may be far away.
_AT_ONCE: dict[str, Any] = {"protocol": 2, "driver_info": None}


_Client = TypeVar("_Client", bound=Redis)


class _OurConnection(AbstractConnection):
    """A connection that can be cancelled while it sends, and leaves a server that is a replica now.

    redis-py sends in `asyncio.wait_for`, which forgets a cancellation before Python 3.12: the task would continue,
    and a task that waits for its end would wait for ever. And uvloop raises RuntimeError when one writes to a
    connection that has just broken, which no library above takes for a lost connection.

    After a planned failover the old primary keeps its connections, and refuses writes on each. The first refusal
    closes all connections of this process to that server, also those that wait for a reply or for the bus: they
    are opened again, and then reach the new primary.
    """

    async def connect(self) -> None:
        if not self.is_connected:
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
                _leave_server_of(self)
            raise


_Server = tuple[Any, ...]  # host, port and path

# All open connections of this process, in whatever thread's event loop, by server.
_open_lock = threading.Lock()
_open_connections: WeakKeyDictionary[AbstractConnection, tuple[Any, asyncio.AbstractEventLoop]] = (
    WeakKeyDictionary()
)


def _server_of(connection: Any) -> _Server:
    return tuple(getattr(connection, name, None) for name in ("host", "port", "path"))


def _remember(connection: AbstractConnection) -> None:
    with _open_lock:
        _open_connections[connection] = (_server_of(connection), asyncio.get_running_loop())


def _leave_server_of(connection: AbstractConnection) -> None:
    """Close all connections to the server of this one."""
    server = _server_of(connection)
    with _open_lock:
        leaving = [(one, loop) for one, (where, loop) in _open_connections.items() if where == server]
        for one, _ in leaving:
            del _open_connections[one]
    if leaving:
        log.warning("the Redis that was the primary is a replica now: %d connections leave it", len(leaving))
    for one, loop in leaving:
        with contextlib.suppress(RuntimeError):  # that loop has ended
            loop.call_soon_threadsafe(_abort, one)


def _abort(connection: Any) -> None:
    """Close at once; its user, or the pool at its next use, notices that it is closed."""
    writer = connection._writer
    if writer is not None:
        writer.transport.abort()


def cannot_write(error: BaseException | None) -> bool:
    """Whether Redis has answered that it cannot write at this moment, though it may be read."""
    return explain(error).readable


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"no answer within {seconds:g} s") from None


class _BoundedPipeline(Pipeline):
    """A pipeline whose commands have the time of one."""

    bounded: BoundedRedis

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        names = {str(command[0][0]) for command in self.command_stack}
        with self.bounded.noting(names):
            async with _within(COMMAND_TIMEOUT_S):
                return await super().execute(raise_on_error)


# Commands of ours that a replica refuses.
_WRITES = frozenset({"SET", "HSET", "ZADD", "XADD", "HDEL", "ZREM", "DEL", "INCR", "PEXPIRE", "XACK", "XDEL"})


class BoundedRedis(Redis):
    """A client none of whose commands takes longer than COMMAND_TIMEOUT_S, whatever it waits for."""

    answered_at = -float("inf")  # monotonic: when a command was answered last, by a server that may write
    demoted = False  # the server has said that it is a replica, and nothing was written since

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with self.noting({args[0]}):
            async with _within(COMMAND_TIMEOUT_S):
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    @contextmanager
    def noting(self, commands: set[str]) -> Iterator[None]:
        """Note from the end of these commands whether the server can be written to."""
        try:
            yield
        except ResponseError as exc:
            self.demoted = self.demoted or explain(exc).demoted
            raise
        if self.demoted and commands & _WRITES:
            self.demoted = False
        if not self.demoted:
            self.answered_at = time.monotonic()

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipe = _BoundedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.bounded = self
        return pipe


def with_our_connections(client: _Client) -> _Client:
    """The client, which has no connections yet, with connections of ours (`_OurConnection`)."""
    kind = client.connection_pool.connection_class
    client.connection_pool.connection_class = type(f"Our{kind.__name__}", (_OurConnection, kind), {})
    return client


def connect_patient(url: str) -> Redis:
    """A client for what graphs do, many things at once: a command that finds all connections in use waits for one.

    Commands may be repeated. Replies are `str`.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        max_connections=64,
        timeout=10.0,
        **_AT_ONCE,
        socket_timeout=2.0,
        socket_connect_timeout=1.0,
        health_check_interval=5,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
    )
    return with_our_connections(Redis.from_pool(pool))


def connect(url: str, *, max_connections: int = 64) -> BoundedRedis:
    """A client with bounded waits, for commands that may be repeated. Replies are `str`."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        max_connections=max_connections,
        timeout=COMMAND_TIMEOUT_S,
        **_AT_ONCE,
        socket_timeout=REPLY_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(
            ExponentialWithJitterBackoff(base=0.02, cap=0.1),
            1,
            supported_errors=(RedisConnectionError, RedisTimeoutError, ReadOnlyError),
        ),
    )
    return with_our_connections(cast(BoundedRedis, BoundedRedis.from_pool(pool)))


def connect_blocking(url: str, block_s: float) -> Redis:
    """A client for reads that block up to `block_s` seconds (bus, run queue): never repeated by itself."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # what anyone has published must not break the connection
        max_connections=4,
        **_AT_ONCE,
        socket_timeout=block_s + 2.0,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=None,
    )
    return with_our_connections(Redis.from_pool(pool))


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn Redis' errors into ours: the outcome is unknown, and the same request may be sent again."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as exc:
        failure = explain(exc)
        raise Unavailable(failure.message, failure.code) from exc
