"""What an error of Redis means: whether it passes, whether this server is still the primary, what to change."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from sio_server.protocol.errors import ErrorCode


@dataclass(frozen=True)
class Failure:
    """What an error means; `message` is for clients and logs."""

    message: str
    code: ErrorCode = ErrorCode.UNAVAILABLE
    readable: bool = False  # Redis cannot write, but reads are answered
    demoted: bool = False  # the server is a replica (now): its connections are of no use

    @property
    def passes(self) -> bool:
        """Whether nothing has to be changed for the same command to succeed later."""
        return self.code == ErrorCode.UNAVAILABLE


_UNREACHABLE = Failure("the store cannot be reached at this moment; try again")
_REFUSED = Failure("the store refused a command", ErrorCode.INTERNAL)
_CLUSTER = Failure(
    "the store is a Redis Cluster: REDIS_URL must name it as one, redis+cluster://host:6379,host:6379",
    ErrorCode.INTERNAL,
)
_LOADING = Failure("the store is still loading its data; try again")

# The first that fits counts. redis-py gives some codes a class, and takes them out of the text; others it leaves
# there. A script of Redis 6.2 has all of them in the text of an ERR.
_FAILURES: tuple[tuple[type[Exception] | None, str, Failure], ...] = (
    (
        ReadOnlyError,
        "READONLY",
        Failure(
            "the store is a read-only replica; try again. If it stays so, REDIS_URL must name the primary",
            demoted=True,
        ),
    ),
    (
        MasterDownError,
        "MASTERDOWN",
        Failure("the store is a replica that has lost its primary; try again", demoted=True),
    ),
    # What blocked when a primary became a replica.
    (None, "UNBLOCKED", Failure("the store has become a replica; try again", demoted=True)),
    (OutOfMemoryError, "OOM", Failure("the store is out of memory; try again later", readable=True)),
    (
        None,
        "MISCONF",
        Failure("the store cannot write to its disk; try again when it has room again", readable=True),
    ),
    (None, "NOREPLICAS", Failure("the store waits for its replicas and does not write; try again", readable=True)),
    (BusyLoadingError, "LOADING", _LOADING),
    (None, "BUSY", Failure("the store is busy with a script; try again")),
    (TryAgainError, "TRYAGAIN", Failure("a part of the store is being moved; try again")),
    (MovedError, "MOVED", _CLUSTER),
    (AskError, "ASK", _CLUSTER),
    (ClusterDownError, "CLUSTERDOWN", Failure("a part of the store has no primary at this moment; try again")),
    (ClusterCrossSlotError, "CROSSSLOT", _REFUSED),
    (
        NoPermissionError,
        "NOPERM",
        Failure(
            "the store refused a command: the user of REDIS_URL needs the rights in docs/operations.md",
            ErrorCode.INTERNAL,
        ),
    ),
    (
        AuthenticationError,
        "NOAUTH",
        Failure("the store refuses the user or the password of REDIS_URL", ErrorCode.INTERNAL),
    ),
)


def explain(error: BaseException | None) -> Failure:
    """What an error of Redis, or of the connection to it, means."""
    code = _code_in(str(error)) if isinstance(error, ResponseError) else None
    for kind, name, failure in _FAILURES:
        if code == name or (kind is not None and isinstance(error, kind)):
            return failure
    return _REFUSED if isinstance(error, ResponseError) else _UNREACHABLE


def _code_in(text: str) -> str | None:
    # What a pipeline adds before the error names the command, whose arguments could say anything.
    said = text.rpartition("of pipeline caused error: ")[2]
    found = re.match(r"([A-Z]+)\b", said) or re.search(r": -([A-Z]+)\b", said)
    return found[1] if found else None
