"""How much is waiting in the whole cluster: runs that have not ended."""

from __future__ import annotations

import asyncio
from math import nan

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sio_server.protocol.errors import Unavailable
from sio_server.store.connection import redis_errors
from sio_server.store.keys import stats
from sio_server.store.partitions import PARTITIONS

READ_S = 1.0  # a scrape waits no longer for Redis


class Backlog:
    """Read when it is asked for; while Redis is away it is unknown (NaN), and the answer does not wait for it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.unfinished_runs = nan

    async def refresh(self) -> None:
        """Read it again."""
        try:
            async with asyncio.timeout(READ_S):
                self.unfinished_runs = await read_unfinished_runs(self._redis)
        except (Unavailable, RedisError, OSError):
            self.unfinished_runs = nan


async def read_unfinished_runs(redis: Redis) -> int:
    """How many runs of all conversations have begun and not ended."""
    with redis_errors():
        pipe = redis.pipeline(transaction=False)
        for number in range(PARTITIONS):
            pipe.hmget(stats(number), "runs", "runs_finished")
        counts = await pipe.execute()
    return sum(int(begun or 0) - int(ended or 0) for begun, ended in counts)
