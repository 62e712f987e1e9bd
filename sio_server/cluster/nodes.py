"""Which nodes live, by heartbeats in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.connection import redis_errors
from sio_server.conversation.keys import NODE_TTL_MS, NODES, node, node_sessions
from sio_server.conversation.scripts import Scripts


class Nodes:
    """The nodes of the cluster, as seen by one of them."""

    def __init__(self, redis: Redis, scripts: Scripts, node_id: str, description: Mapping[str, str]) -> None:
        self._redis = redis
        self._scripts = scripts
        self._node_id = node_id
        self._description: Any = description  # redis-py's type for mappings admits no mapping of str to str

    async def heartbeat(self) -> tuple[bool, list[str]]:
        """Say that this node lives. Returns whether it was unknown until now, and the ids of dead nodes."""
        reply = await self._scripts.plain("heartbeat", [NODES], self._node_id, NODE_TTL_MS)
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(node(self._node_id), mapping=self._description)
            pipe.pexpire(node(self._node_id), NODE_TTL_MS)
            await pipe.execute()
        return reply[0] == "1", [str(dead) for dead in reply[1] if dead != self._node_id]

    async def names(self) -> set[str]:
        """The names of the nodes that live."""
        with redis_errors():
            ids = await self._redis.zrange(NODES, 0, -1)
            pipe = self._redis.pipeline(transaction=False)
            for node_id in ids:
                pipe.hget(node(str(node_id)), "name")
            return {str(name) for name in await pipe.execute() if name is not None}

    async def forget(self, node_id: str) -> None:
        """Strike a node off, after what it left behind has been removed."""
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.zrem(NODES, node_id)
            pipe.delete(node(node_id), node_sessions(node_id))
            await pipe.execute()
