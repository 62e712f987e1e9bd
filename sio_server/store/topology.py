"""How connections to Redis are made, by the scheme of REDIS_URL; everything that connects does it here."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection, parse_url

from sio_server.redis_url import parse_redis_url
from sio_server.store.redis_py import AT_ONCE, CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, close_now, our_kind
from sio_server.store.sentinel import Sentinels


def new_connection(url: str, **options: Any) -> AbstractConnection:
    """A connection to the server that may write, which is not connected yet."""
    kind, given = _kind_of(url)
    return kind(**{**given, **options})


def new_pool(
    url: str, *, max_connections: int, timeout: float | None = 20, **options: Any
) -> BlockingConnectionPool:
    """A pool of connections to the server that may write; a command waits up to `timeout` s for one."""
    kind, given = _kind_of(url)
    return BlockingConnectionPool(
        max_connections=max_connections, timeout=timeout, connection_class=kind, **{**given, **options}
    )


def primary_watch(url: str) -> Callable[[], Awaitable[None]] | None:
    """What has to run in a process that stays connected, if anything: see `Sentinels.watch`."""
    locator = getattr(_kind_of(url)[0], "locator", None)
    return locator.watch if isinstance(locator, Sentinels) else None


def disputes(url: str) -> Callable[[tuple[str, int] | None], Awaitable[bool]] | None:
    """Says whether a server is the primary for certain, where that can be asked: see `Sentinels.is_undisputed`."""
    locator = getattr(_kind_of(url)[0], "locator", None)
    return locator.is_undisputed if isinstance(locator, Sentinels) else None


_kinds_lock = threading.Lock()


def _kind_of(url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """A class of connections of ours, and what redis-py reads from the URL; one for each URL, in all threads."""
    with _kinds_lock:  # lru_cache may call twice when two threads call at once
        return _make_kind(url)


@lru_cache(maxsize=64)  # all connections of a process to one primary must know of each other
def _make_kind(url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
    at = parse_redis_url(url)  # of a cluster, one of its servers
    kind, given = _read(at.server)
    sentinels = None
    if at.kind == "sentinel":
        sentinels = Sentinels(at.service, [_read(sentinel) for sentinel in at.sentinels])
    ours = our_kind(kind, sentinels)
    if sentinels is not None:
        sentinels.open_one = partial(_open_one, ours, given)
    return ours, given


async def _open_one(kind: type[AbstractConnection], given: dict[str, Any]) -> None:
    connection = kind(
        **{**given, **AT_ONCE}, socket_timeout=REPLY_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S
    )
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    finally:
        close_now(connection)


def _read(url: str) -> tuple[type[AbstractConnection], dict[str, Any]]:
    given: dict[str, Any] = dict(parse_url(url))
    return given.pop("connection_class", Connection), given
