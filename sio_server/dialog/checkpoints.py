"""Checkpoints of the graph's state, in the same Redis, so that any node goes on where another stopped."""

from __future__ import annotations

import asyncio
import logging

from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sio_server.protocol.errors import Unavailable

log = logging.getLogger(__name__)

SETUP_ATTEMPTS = 20
KEEP_CHECKPOINTS = 5  # of each thread; older ones are pruned when a run has ended


def is_store_error(error: BaseException | None) -> bool:
    """Whether an exception, or one that caused it, says that Redis could not be reached."""
    while error is not None:
        if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            return True
        error = error.__cause__ or error.__context__
    return False


class CheckpointStore:
    """A LangGraph checkpointer with its connection. The thread of a conversation is `<id>@<epoch>`."""

    def __init__(self, redis_url: str) -> None:
        # The saver writes each key as a whole, so a command may be repeated; and connections that were lost
        # while they lay in the pool must not cost a run.
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            health_check_interval=5,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
        )
        self.saver = AsyncRedisSaver(redis_client=self._redis)

    async def set_up(self) -> None:
        """Create the search indexes. Other nodes may be doing the same at this moment."""
        for attempt in range(SETUP_ATTEMPTS):
            try:
                await self.saver.asetup()
                return
            except ResponseError as exc:
                if "unknown command" in str(exc).lower():
                    raise Unavailable(
                        "this Redis has no JSON and Search, which the checkpoints need: "
                        "use Redis 8, or `roomgraph redis`"
                    ) from exc
                # "Index already exists": another node was faster between our look and our create.
                log.info("the indexes are being created elsewhere: attempt=%d error=%s", attempt, exc)
            except (RedisError, OSError) as exc:
                log.info("the checkpoint store is not there yet: attempt=%d error=%s", attempt, exc)
            except Exception as exc:  # redisvl wraps Redis' errors in its own
                if "already exists" not in str(exc).lower():
                    raise
            await asyncio.sleep(0.1)
        raise Unavailable("the checkpoint store could not be set up")

    async def prune(self, thread_id: str) -> None:
        """Drop all but the latest checkpoints of a thread."""
        await self.saver.aprune([thread_id], keep_last=KEEP_CHECKPOINTS)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()
