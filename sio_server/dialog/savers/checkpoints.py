"""Checkpoints of the graph's state, in the same Redis, so that any node goes on where another stopped."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, Literal

from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from langgraph.checkpoint.redis.util import from_storage_safe_str, to_storage_safe_id, to_storage_safe_str
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redisvl.query import FilterQuery
from redisvl.query.filter import Tag

from sio_server.dialog.savers.plain import PlainRedisSaver, resumable
from sio_server.protocol.errors import Unavailable
from sio_server.store.connection import with_our_connections
from sio_server.store.failures import explain

log = logging.getLogger(__name__)

SETUP_ATTEMPTS = 20  # while other nodes do the same
SETUP_WAIT_S = 60.0  # for a Redis that goes away meanwhile

# The library logs an error with a traceback whenever Redis is away; here that is told by exceptions.
logging.getLogger("redisvl").setLevel(logging.CRITICAL)


class WrongSaver(ValueError):
    """The saver asked for cannot work on this Redis; the message is for people."""


def is_store_error(error: BaseException | None) -> bool:
    """Whether an exception, or one that caused it, says that Redis cannot be reached, or cannot write now."""
    while error is not None:
        if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            return True
        if isinstance(error, ResponseError) and explain(error).passes:
            return True
        error = error.__cause__ or error.__context__
    return False


class RedisSaver(AsyncRedisSaver):
    """langgraph-checkpoint-redis, whose deletions leave nothing behind.

    Writes that an owner makes late, when its thread has been deleted, bring a part of a checkpoint back that no
    index knows; it is found by the writes that belong to it.
    """

    async def adelete_thread(self, thread_id: str) -> None:
        writes = FilterQuery(
            filter_expression=Tag("thread_id") == to_storage_safe_id(thread_id),
            return_fields=["checkpoint_ns", "checkpoint_id"],
            num_results=10_000,
        )
        found = await self.checkpoint_writes_index.search(writes)
        places = {(document.checkpoint_ns, document.checkpoint_id) for document in found.docs}
        await super().adelete_thread(thread_id)
        parts = [self._make_redis_checkpoint_key(thread_id, *place) for place in places]
        if self._key_registry:
            parts += [self._key_registry.make_write_keys_zset_key(thread_id, *place) for place in places]
        if parts:
            await self._redis.unlink(*parts)

    async def subgraphs(self, thread_id: str, root_id: str) -> set[str]:
        """The namespaces of subgraphs that can be entered from the root's checkpoint `root_id`.

        Not by `alist`, which makes every checkpoint of the thread into objects, with all values.
        """
        of_subgraphs = FilterQuery(
            filter_expression=(Tag("thread_id") == to_storage_safe_id(thread_id))
            & (Tag("checkpoint_ns") != to_storage_safe_str("")),
            return_fields=["checkpoint_ns", "$.metadata"],
            num_results=10_000,
        )
        found = await self.checkpoints_index.search(of_subgraphs)
        return {
            namespace
            for document in found.docs
            if resumable(
                namespace := from_storage_safe_str(document.checkpoint_ns),
                json.loads(document["$.metadata"]).get("parents", {}),
                root_id,
            )
        }


Saver = RedisSaver | PlainRedisSaver


class CheckpointStore:
    """A LangGraph checkpointer with its connection.

    `kind`: `redis` is langgraph-checkpoint-redis, which needs the JSON and Search of Redis 8; `plain` is our own
    saver, for any Redis; `auto` is `redis` where Redis can, otherwise `plain`.
    """

    def __init__(self, redis_url: str, kind: Literal["auto", "redis", "plain"]) -> None:
        # The savers' writes have the same effect once or twice, so a command may be repeated; and connections
        # that were lost while they lay in the pool must not cost a run.
        # Who finds all of them in use waits: a graph may write many things at once.
        pool = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=64,
            timeout=10.0,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            health_check_interval=5,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
        )
        self._redis = with_our_connections(Redis.from_pool(pool))
        self._kind = kind
        self.saver: Saver = PlainRedisSaver(self._redis)

    async def set_up(self) -> None:
        """Choose the saver and prepare Redis for it. Other nodes may be doing the same at this moment.

        Raises WrongSaver or Unavailable.
        """
        deadline = asyncio.get_running_loop().time() + SETUP_WAIT_S
        attempt = 0
        while attempt < SETUP_ATTEMPTS and asyncio.get_running_loop().time() < deadline:
            try:
                if self._kind == "plain":
                    return
                if not await self._has_modules():
                    if self._kind == "redis":
                        raise WrongSaver(
                            "CHECKPOINTER=redis: this Redis has no JSON and Search. CHECKPOINTER: write "
                            "CHECKPOINTER=auto for checkpoints in plain keys, or use a Redis 8."
                        )
                    log.warning(
                        "this Redis has no JSON and Search: checkpoints are kept by the plain saver, "
                        "which needs neither"
                    )
                    return
                saver = RedisSaver(redis_client=self._redis)
                await saver.asetup()
                self.saver = saver
                return
            except WrongSaver:
                raise
            except Exception as exc:  # redisvl wraps Redis' errors in its own
                if is_store_error(exc) or isinstance(exc, OSError):
                    log.info("the checkpoint store is not there yet: error=%s", exc)
                elif isinstance(exc, ResponseError) or "already exists" in str(exc).lower():
                    # "Index already exists": another node was faster between our look and our create.
                    attempt += 1
                    log.info("the indexes are being created elsewhere: attempt=%d error=%s", attempt, exc)
                else:
                    raise
            await asyncio.sleep(0.1)
        raise Unavailable("the checkpoint store could not be set up")

    async def delete_threads(self, thread_ids: Sequence[str]) -> None:
        """Drop all checkpoints of these threads."""
        for thread_id in thread_ids:
            await self.saver.adelete_thread(thread_id)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def _has_modules(self) -> bool:
        command: Any = self._redis.execute_command  # untyped in the library
        for probe in (("JSON.GET", "rg:no-such-key"), ("FT._LIST",)):
            try:
                await command(*probe)
            except ResponseError as exc:
                if "unknown command" in str(exc).lower() or isinstance(exc, NoPermissionError):
                    return False
                raise
        return True
