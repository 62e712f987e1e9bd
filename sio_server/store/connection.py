"""Clients of Redis for each use, with their time limits, and errors translated at the border."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.protocol.errors import Unavailable
from sio_server.redis_url import parse_redis_url
from sio_server.store.bounded import BoundedRedis
from sio_server.store.failures import explain
from sio_server.store.pipelined import (
    COMMAND_TIMEOUT_S,
    RETRIES,
    Pipelined,
    PipelinedBytes,
    PipelinedPatient,
    PipelinedReader,
)
from sio_server.store.redis_py import AT_ONCE, CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S
from sio_server.store.routed import RoutedPipelined
from sio_server.store.topology import new_pool


def cannot_write(error: BaseException | None) -> bool:
    """Whether Redis has answered that it cannot write at this moment, though it may be read."""
    return explain(error).readable


def connect_patient(url: str, *, decode_responses: bool = True) -> Redis:
    """A client for what graphs do, many things at once: a command that finds all connections in use waits for one.

    Commands may be repeated; a connection that was lost in the pool costs nothing. Replies are `str`, or `bytes`.
    On a Redis Cluster they share one connection to each primary.
    """
    if parse_redis_url(url).kind == "cluster":
        make = PipelinedPatient if decode_responses else PipelinedBytes
        return BoundedRedis(url, _spare_pool(url, decode_responses=decode_responses), _pipelined(url, make))
    pool = new_pool(
        url,
        decode_responses=decode_responses,
        max_connections=64,
        timeout=10.0,
        **AT_ONCE,
        socket_timeout=2.0,
        socket_connect_timeout=1.0,
        health_check_interval=5,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
    )
    return Redis.from_pool(pool)


def connect(url: str, *, replicas: int = 0) -> BoundedRedis:
    """A client with bounded waits, for commands that may be repeated and do not block. Replies are `str`.

    Its commands share one connection; subscriptions have others. With `replicas` so many must have what a durable
    script has written before its reply counts; these scripts have a second connection.
    """
    pool = new_pool(
        url,
        decode_responses=True,
        max_connections=64,
        timeout=COMMAND_TIMEOUT_S,
        **AT_ONCE,
        socket_timeout=REPLY_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(
            ExponentialWithJitterBackoff(base=0.02, cap=0.1),
            RETRIES,
            supported_errors=(RedisConnectionError, RedisTimeoutError, ReadOnlyError),
        ),
    )
    return BoundedRedis(url, pool, _pipelined(url, Pipelined), replicas)


def connect_bytes(url: str, *, replicas: int = 0) -> BoundedRedis:
    """A client whose replies are `bytes`, for values of any size (`PipelinedBytes`); commands may be repeated.

    `replicas` as for `connect`, for scripts of `run_together`.
    """
    pool = _spare_pool(url, decode_responses=False)
    return BoundedRedis(url, pool, _pipelined(url, PipelinedBytes), replicas)


def connect_reader(url: str, block_s: float) -> BoundedRedis:
    """A client for one caller's reads that block up to `block_s` seconds: never repeated by itself."""
    pool = _spare_pool(url, decode_responses=True)
    return BoundedRedis(url, pool, PipelinedReader(url, block_s))


def _pipelined(url: str, make: Callable[[str], Pipelined]) -> Pipelined | RoutedPipelined:
    at = parse_redis_url(url)
    return RoutedPipelined(at, make) if at.kind == "cluster" else make(url)


def _spare_pool(url: str, *, decode_responses: bool) -> BlockingConnectionPool:
    """A pool for what a shared connection is not for."""
    return new_pool(
        url,
        decode_responses=decode_responses,
        max_connections=4,
        timeout=COMMAND_TIMEOUT_S,
        **AT_ONCE,
        socket_timeout=REPLY_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
    )


def connect_blocking(url: str, block_s: float) -> Redis:
    """A client for reads that block up to `block_s` seconds (trace): never repeated by itself."""
    pool = new_pool(
        url,
        decode_responses=True,
        encoding_errors="replace",  # what anyone has published must not break the connection
        max_connections=4,
        **AT_ONCE,
        socket_timeout=block_s + 2.0,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=None,
    )
    return Redis.from_pool(pool)


REDIS_ERRORS = (RedisError, OSError, TimeoutError)


def to_unavailable(error: Exception) -> Unavailable:
    """One of REDIS_ERRORS as ours: the outcome is unknown, and the same request may be sent again."""
    failure = explain(error)
    return Unavailable(failure.message, failure.code)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn Redis' errors into ours."""
    try:
        yield
    except REDIS_ERRORS as exc:
        raise to_unavailable(exc) from exc
