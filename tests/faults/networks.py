"""Bad networks between nodes and Redis, for the tests of this folder."""

from __future__ import annotations

import asyncio
import uuid

from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.local.cluster import LocalCluster
from sio_server.store.scripts import Scripts


def cut_off(cluster: LocalCluster, node: int, way: str) -> None:
    """Let nothing pass between a node and Redis: `up` to Redis, `down` to the node, or `both`."""
    proxy = cluster.redis_proxies[cluster.ports[node]]
    if way in ("up", "both"):
        proxy.up.blackhole = True
    if way in ("down", "both"):
        proxy.down.blackhole = True


def heal(cluster: LocalCluster, node: int) -> None:
    """Let everything pass again, also what is under way."""
    proxy = cluster.redis_proxies[cluster.ports[node]]
    proxy.up.blackhole = proxy.down.blackhole = False


async def silence_the_bus(cluster: LocalCluster, node: int) -> asyncio.ReadTransport:
    """Let nothing pass from Redis to a node on the connection of its bus alone; returns what is paused."""
    async with Redis.from_url(cluster.redis_url, decode_responses=True) as redis:
        listeners = {client["addr"] for client in await redis.client_list(_type="pubsub")}
    for writers in cluster.redis_proxies[cluster.ports[node]]._connections.values():
        host, port = writers[1].get_extra_info("sockname")
        if f"{host}:{port}" in listeners:
            transport: asyncio.ReadTransport = writers[1].transport  # type: ignore[assignment]
            transport.pause_reading()
            return transport
    raise AssertionError("the node does not listen on the bus")


async def append_unheard(redis: Redis, conversation_id: str) -> int:
    """Append an entry without any node: that somebody has joined. Returns the head of the log, at or above it."""
    scripts = Scripts(redis)
    log = ConversationLog(scripts)
    name = f"extra-{uuid.uuid4().hex[:8]}"
    await Members(redis, scripts, log, retention=0).join(Author(name, name, "elsewhere"), conversation_id)
    return (await log.page(conversation_id, "", limit=1)).bounds.head
