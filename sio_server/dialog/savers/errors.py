"""What savers and their store raise, and which of a library's errors mean that the store is away."""

from __future__ import annotations

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


def is_store_error(error: BaseException | None) -> bool:
    """Whether an exception, or one that caused it, says that Redis cannot be reached, or cannot write now."""
    while error is not None:
        if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            return True
        if isinstance(error, ResponseError) and explain(error).passes:
            return True
        error = error.__cause__ or error.__context__
    return False
