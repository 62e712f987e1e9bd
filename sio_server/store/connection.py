"""Connections to Redis: time limits, retries that are safe, and errors translated at the border."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.protocol.errors import ErrorCode, Unavailable

# No handler waits two seconds for Redis: a command has COMMAND_TIMEOUT_S for everything, which is to find a free
# connection, to connect, to be answered, and to be repeated once; and what fails ends its handler. A command may
# be repeated because each of ours has the same effect once or twice (docs/decisions/0012-lost-replies.md).
COMMAND_TIMEOUT_S = 1.4
REPLY_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.5

# Errors that say that Redis cannot write, or not yet, and not that the command is wrong.
CANNOT_WRITE = ("READONLY", "MISCONF", "OOM", "NOREPLICAS")
NOT_NOW = (*CANNOT_WRITE, "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN")

# A connection is ready as soon as it is there: the newer protocol, and telling the library's name, would cost two
# round trips more, and a Redis may be far away.
_AT_ONCE: dict[str, Any] = {"protocol": 2, "driver_info": None}


_Client = TypeVar("_Client", bound=Redis)


class _Cancellable(AbstractConnection):
    """A connection on which a command that is cancelled while it is being sent is cancelled.

    redis-py sends in `asyncio.wait_for`, which forgets such a cancellation before Python 3.12: the task would go
    on, and who waits for its end would wait for ever. And uvloop raises RuntimeError when one writes to what has
    just broken, which no library above takes for a lost connection.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as exc:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"the connection is broken: {exc}") from exc
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # its reply is nobody's
            raise asyncio.CancelledError


def cannot_write(error: BaseException | None) -> bool:
    """Whether Redis has answered that it cannot write at this moment, though it may be read."""
    return isinstance(error, OutOfMemoryError) or (
        isinstance(error, ResponseError) and str(error).startswith(CANNOT_WRITE)
    )


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"no answer within {seconds:g} s") from None


class _BoundedPipeline(Pipeline):
    """A pipeline whose commands have the time of one."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with _within(COMMAND_TIMEOUT_S):
            return await super().execute(raise_on_error)


class BoundedRedis(Redis):
    """A client none of whose commands takes longer than COMMAND_TIMEOUT_S, whatever it waits for."""

    answered_at = -float("inf")  # monotonic: when a command was answered last

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with _within(COMMAND_TIMEOUT_S):
            answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        self.answered_at = time.monotonic()
        return answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _BoundedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def cancellable(client: _Client) -> _Client:
    """The client, which has no connections yet, with connections on which commands can be cancelled."""
    kind = client.connection_pool.connection_class
    client.connection_pool.connection_class = type(f"Cancellable{kind.__name__}", (_Cancellable, kind), {})
    return client


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
            supported_errors=(RedisConnectionError, RedisTimeoutError),
        ),
    )
    return cancellable(cast(BoundedRedis, BoundedRedis.from_pool(pool)))


def connect_blocking(url: str, block_s: float) -> Redis:
    """A client for reads that block up to `block_s` seconds (bus, run queue): never repeated by itself."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # what anybody has published must not break the connection
        max_connections=4,
        **_AT_ONCE,
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
        if str(exc).startswith(NOT_NOW):
            raise Unavailable("the store cannot write at this moment; try again") from exc
        raise Unavailable("the store refused a command", ErrorCode.INTERNAL) from exc
    except (RedisError, OSError, TimeoutError) as exc:
        raise Unavailable("the store cannot be reached at this moment; try again") from exc
