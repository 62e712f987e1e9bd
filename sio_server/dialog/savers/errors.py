"""What savers and their store raise, and which of a library's errors mean that the store is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.store.failures import explain


class WrongSaver(ValueError):
    """The saver asked for cannot work on this Redis; the message is for people."""


class StaleOwner(Exception):
    """The writer's fencing token is not the lease's: nothing was changed."""

    def __init__(self) -> None:
        super().__init__("another node may have taken the run: this checkpoint was refused")


class StoreLost(Exception):
    """Our own Redis cannot be reached, or cannot write now. A graph's own Redis client never raises it."""


class NotKept(Exception):
    """The state holds text that no store can keep: half of a surrogate pair."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Mark the errors of our own store, at the only place where they can be told from those of a graph."""
    try:
        yield
    except (StoreLost, NotKept, StaleOwner):
        raise
    except Exception as exc:
        if is_store_error(exc):
            raise StoreLost(f"the store of the checkpoints: {exc}") from exc
        if isinstance(exc, UnicodeError) or (isinstance(exc, TypeError) and "surrogates" in str(exc)):
            raise NotKept(str(exc)) from exc
        raise


def is_store_error(error: BaseException | None) -> bool:
    """Whether an error of a Redis client says that Redis cannot be reached, or cannot write now."""
    while error is not None:
        if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            return True
        if isinstance(error, ResponseError) and explain(error).passes:
            return True
        error = error.__cause__ or error.__context__
    return False
