"""The checkpoint store: makes the saver that was asked for, prepares Redis for it, and holds its connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Literal

from redis.exceptions import NoPermissionError, ResponseError

from sio_server.dialog.savers.errors import WrongSaver, is_store_error
from sio_server.dialog.savers.marked import MarkedPlainSaver, MarkedRedisSaver
from sio_server.dialog.savers.plain import PlainRedisSaver
from sio_server.dialog.savers.redis_modules import RedisSaver
from sio_server.protocol.errors import Unavailable
from sio_server.redis_url import parse_redis_url
from sio_server.store.connection import connect_bytes, connect_patient

log = logging.getLogger(__name__)

SETUP_ATTEMPTS = 20  # while other nodes create the same indexes
SETUP_WAIT_S = 60.0  # for a Redis that cannot be reached
SETUP_PAUSE_S = 0.1

Saver = RedisSaver | PlainRedisSaver


class CheckpointStore:
    """A LangGraph checkpointer with its connection.

    `kind`: `plain` is our own saver, for any Redis; `redis` is langgraph-checkpoint-redis, which needs the JSON
    and Search of Redis 8. State comes back from both exactly (docs/decisions/0020-exact-state.md).
    """

    def __init__(self, redis_url: str, kind: Literal["plain", "redis"], replicas: int = 0) -> None:
        """`replicas`: see `connect_bytes`."""
        self._redis = (
            connect_bytes(redis_url, replicas=replicas)
            if kind == "plain"
            else connect_patient(redis_url, decode_responses=False)
        )
        self._kind = kind
        self._is_cluster = parse_redis_url(redis_url).kind == "cluster"
        self.saver: Saver = MarkedPlainSaver(self._redis)

    async def set_up(self, wait_s: float = SETUP_WAIT_S) -> None:
        """Make the saver and prepare Redis for it; other nodes may be doing the same at this moment.

        While Redis cannot be reached it is tried again, for at most `wait_s` seconds. Raises WrongSaver or
        Unavailable.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        elsewhere = 0
        while True:
            try:
                self.saver = await self._prepared_saver()
                return
            except WrongSaver:
                raise
            except Exception as exc:  # redisvl wraps Redis' errors in its own
                if is_store_error(exc) or isinstance(exc, OSError):
                    log.info("the checkpoint store cannot be reached, trying again: error=%s", exc)
                elif isinstance(exc, ResponseError) or "already exists" in str(exc).lower():
                    # "Index already exists": another node was faster between our look and our create.
                    elsewhere += 1
                    log.info("the indexes are being created elsewhere: attempt=%d error=%s", elsewhere, exc)
                else:
                    raise
                if elsewhere == SETUP_ATTEMPTS or loop.time() > deadline:
                    raise Unavailable("the checkpoint store could not be set up") from exc
            await asyncio.sleep(SETUP_PAUSE_S)

    async def delete_threads(self, thread_ids: Sequence[str]) -> None:
        """Drop all checkpoints of these threads."""
        if isinstance(self.saver, PlainRedisSaver):
            await self.saver.adelete_threads(thread_ids)
            return
        for thread_id in thread_ids:
            await self.saver.adelete_thread(thread_id)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def _prepared_saver(self) -> Saver:
        if self._kind == "plain":
            return MarkedPlainSaver(self._redis)
        if self._is_cluster:
            raise WrongSaver(
                "CHECKPOINTER=redis: it searches all keys, which a Redis Cluster cannot. Write CHECKPOINTER=plain."
            )
        if not await self._has_modules():
            raise WrongSaver(
                "CHECKPOINTER=redis: this Redis has no JSON and Search. Write CHECKPOINTER=plain, or "
                "use a Redis 8."
            )
        saver = MarkedRedisSaver(redis_client=self._redis)
        await saver.asetup()
        return saver

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
