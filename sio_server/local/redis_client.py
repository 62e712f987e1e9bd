"""A client of the Redis that REDIS_URL names, for what starts and breaks a cluster on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from sio_server.redis_url import parse_redis_url

_Sentinel: Any = Sentinel  # untyped in the library
_LIMITS: dict[str, Any] = {
    "socket_connect_timeout": 1.0,
    "socket_timeout": 2.0,
    "retry": Retry(NoBackoff(), 0),  # the callers try again
}


@asynccontextmanager
async def redis_at(url: str) -> AsyncIterator[Redis]:
    """A client of the primary, closed afterwards. Raises ValueError for a Redis Cluster."""
    at = parse_redis_url(url)
    if at.kind == "single":
        async with Redis.from_url(url, **_LIMITS) as client:
            yield client
        return
    if at.kind == "cluster":
        raise ValueError("a Redis Cluster has several primaries: see RedisCluster.ask")
    of_sentinels = [_options(sentinel) for sentinel in at.sentinels]
    addresses = [(options.pop("host"), options.pop("port")) for options in of_sentinels]
    of_server = _options(at.server)
    del of_server["host"], of_server["port"]
    sentinel = _Sentinel(addresses, sentinel_kwargs={**of_sentinels[0], **_LIMITS}, **of_server, **_LIMITS)
    primary: Redis = sentinel.master_for(at.service)
    try:
        yield primary
    finally:
        await primary.aclose()
        for one in sentinel.sentinels:
            await one.aclose()


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_url(url))
    # Sentinel of redis-py takes this instead of a class of connections.
    return {**options, "ssl": True} if options.pop("connection_class", None) else options
