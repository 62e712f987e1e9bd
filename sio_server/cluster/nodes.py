"""Which nodes live, by heartbeats in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from sio_server.store.connection import redis_errors
from sio_server.store.keys import NODE_TTL_MS, NODES, node, node_sessions
from sio_server.store.scripts import Scripts

READY = "ready"  # the state of a node with which nothing is wrong


@dataclass(frozen=True)
class Beat:
    """What a heartbeat was answered with."""

    unknown: bool  # this node was not known as alive until now
    dead: list[str]  # ids of nodes that have been silent for too long
    redis_ms: int  # Redis' time


class Nodes:
    """The nodes of the cluster, as seen by one of them."""

    def __init__(self, redis: Redis, scripts: Scripts, node_id: str, description: Mapping[str, str]) -> None:
        self._redis = redis
        self._scripts = scripts
        self._node_id = node_id
        self._description = description
        self.read_state: Callable[[], str] = lambda: READY  # how this node is, for each heartbeat

    async def heartbeat(self) -> Beat:
        """Record that this node lives."""
        reply = await self._scripts.plain("heartbeat", [NODES], node_id=self._node_id, silent_ms=NODE_TTL_MS)
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            described: Any = {**self._description, "state": self.read_state()}
            pipe.hset(node(self._node_id), mapping=described)
            pipe.pexpire(node(self._node_id), NODE_TTL_MS)
            await pipe.execute()
        dead = [str(node_id) for node_id in reply["dead"] if node_id != self._node_id]
        return Beat(reply["unknown"] == "1", dead, int(reply["ms"]))

    async def names(self) -> set[str]:
        """The names of the nodes that live."""
        return {str(described["name"]) for _, described in await self._described()}

    async def addresses(self) -> list[str]:
        """Where the other live nodes are reached over HTTP, as they say themselves."""
        return [
            address_of(described) for node_id, described in await self._described() if node_id != self._node_id
        ]

    async def forget(self, node_id: str) -> None:
        """Remove a node, after what it left behind has been removed."""
        with redis_errors():
            # In a cluster they are in different places. As long as it is listed, another node does this again.
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(node(node_id))
            pipe.delete(node_sessions(node_id))
            await pipe.execute()
            await self._redis.zrem(NODES, node_id)

    async def _described(self) -> list[tuple[str, dict[str, Any]]]:
        with redis_errors():
            ids = [str(node_id) for node_id in await self._redis.zrange(NODES, 0, -1)]
            pipe = self._redis.pipeline(transaction=False)
            for node_id in ids:
                pipe.hgetall(node(node_id))
            return [found for found in zip(ids, await pipe.execute(), strict=True) if found[1]]


def address_of(described: Mapping[str, str]) -> str:
    """Where a node is reached over HTTP, by its description in Redis."""
    host = described["host"]
    host = f"[{host}]" if ":" in host else host  # an IPv6 address
    return f"http://{host}:{described['port']}{described.get('path', '')}"
