"""Connections to Redis: time limits, retries that are safe, and errors translated at the border."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.protocol.errors import ErrorCode, Unavailable

# No handler waits longer than about two seconds for Redis: a connect or a reply gets one second, and one
# retry is made. A retry is safe because every script of ours has the same effect once or twice.
REPLY_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.5


class _Cancellable(AbstractConnection):
    """A connection on which a command that is cancelled while it is being sent is cancelled.

    redis-py sends in `asyncio.wait_for`, which forgets such a cancellation before Python 3.12: the task would go
    on, and who waits for its end would wait for ever.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # its reply is nobody's
            raise asyncio.CancelledError


def cancellable(client: Redis) -> Redis:
    """The client, which has no connections yet, with connections on which commands can be cancelled."""
    kind = client.connection_pool.connection_class
    client.connection_pool.connection_class = type(f"Cancellable{kind.__name__}", (_Cancellable, kind), {})
    return client


def connect(url: str, *, max_connections: int = 64) -> Redis:
    """A client with bounded waits, for commands that may be repeated. Replies are `str`."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        max_connections=max_connections,
        timeout=REPLY_TIMEOUT_S,
        socket_timeout=REPLY_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(
            ExponentialWithJitterBackoff(base=0.02, cap=0.1),
            1,
            supported_errors=(RedisConnectionError, RedisTimeoutError),
        ),
    )
    return cancellable(Redis.from_pool(pool))


def connect_blocking(url: str, block_s: float) -> Redis:
    """A client for reads that block up to `block_s` seconds (bus, run queue): never repeated by itself."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # what anybody has published must not break the connection
        max_connections=4,
        socket_timeout=block_s + 2.0,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=None,
    )
    return cancellable(Redis.from_pool(pool))


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn Redis' errors into ours: the outcome is unknown, and the same request may be sent again."""
    try:
        yield
    except OutOfMemoryError as exc:
        raise Unavailable("the store is out of memory; try again later") from exc
    except ResponseError as exc:
        if str(exc).startswith(("LOADING", "READONLY", "MISCONF", "CLUSTERDOWN", "MASTERDOWN", "OOM")):
            raise Unavailable("the store cannot write at this moment; try again") from exc
        raise Unavailable("the store refused a command", ErrorCode.INTERNAL) from exc
    except (RedisError, OSError, TimeoutError) as exc:
        raise Unavailable("the store cannot be reached at this moment; try again") from exc
