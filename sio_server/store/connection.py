"""Connections to Redis: time limits, retries that are safe, and errors translated at the border."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.protocol.errors import Unavailable
from sio_server.store.failures import explain
from sio_server.store.redis_py import AT_ONCE, CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, our_kind

log = logging.getLogger(__name__)

# No handler waits two seconds for Redis: a command has COMMAND_TIMEOUT_S for everything, which is to find a free
# connection, to connect, to be answered, and to be repeated once; and what fails ends its handler. A command may
# be repeated because each of ours has the same effect once or twice (docs/decisions/0012-lost-replies.md).
COMMAND_TIMEOUT_S = 1.4
_Client = TypeVar("_Client", bound=Redis)


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
    """The client, which has no connections yet, with connections of ours."""
    client.connection_pool.connection_class = our_kind(client.connection_pool.connection_class)
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
        **AT_ONCE,
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
        **AT_ONCE,
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
        **AT_ONCE,
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
