"""What the cluster is doing, read from Redis and not counted by any one node."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from sio_server.store.connection import redis_errors
from sio_server.store.keys import BUS, NODES, PARTITIONS, node, node_sessions, stats


async def read_status(redis: Redis) -> dict[str, Any]:
    """Nodes, active sessions, bus subscriptions, conversations, entries and runs of the whole cluster.

    A dead node and its sessions count no more once its last heartbeat has expired.
    """
    with redis_errors():
        node_ids = [str(node_id) for node_id in await redis.zrange(NODES, 0, -1)]
        pipe = redis.pipeline(transaction=False)
        for node_id in node_ids:
            pipe.hgetall(node(node_id))
            pipe.hlen(node_sessions(node_id))
        for number in range(PARTITIONS):
            pipe.hgetall(stats(number))
        replies = await pipe.execute()
        subscriptions = await redis.pubsub_numsub(BUS)
    nodes = []
    for index, node_id in enumerate(node_ids):
        described, sessions = replies[2 * index], replies[2 * index + 1]
        if described:
            nodes.append(
                {
                    "node_id": node_id,
                    "name": described["name"],
                    "port": int(described["port"]),
                    "sessions": int(sessions),
                    "started": described["started"],
                }
            )
    totals = {"conversations": 0, "entries": 0, "runs": 0, "runs_finished": 0}
    for counted in replies[2 * len(node_ids) :]:
        for name in totals:
            totals[name] += int(counted.get(name, 0))
    return {
        "nodes": sorted(nodes, key=lambda item: item["name"]),
        "active_sessions": sum(item["sessions"] for item in nodes),
        "bus_subscriptions": int(subscriptions[0][1]),
        **totals,
    }
