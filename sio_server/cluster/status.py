"""What the cluster is doing, read from Redis and not counted by any one node."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from sio_server.cluster.nodes import READY
from sio_server.store.connection import redis_errors
from sio_server.store.keys import NODES, heartbeat_channel, node, node_sessions, stats
from sio_server.store.partitions import PARTITIONS


async def read_status(redis: Redis) -> dict[str, Any]:
    """Nodes, active sessions, bus subscriptions, conversations, entries and runs of the whole cluster.

    `problems` says what is wrong, in words; `healthy` that there is nothing. `unfinished_runs` wait, or are
    executed. A dead node and its sessions count no more once its last heartbeat has expired.
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
        subscriptions = await _count_subscriptions(redis, [heartbeat_channel(node_id) for node_id in node_ids])
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
                    "version": described["version"],
                    "state": described["state"],
                }
            )
    totals = {"conversations": 0, "entries": 0, "runs": 0, "runs_finished": 0}
    for counted in replies[2 * len(node_ids) :]:
        for name in totals:
            totals[name] += int(counted.get(name, 0))
    problems = problems_of(nodes, subscriptions)
    return {
        "healthy": not problems,
        "problems": problems,
        "versions": sorted({str(item["version"]) for item in nodes}),
        "unfinished_runs": totals["runs"] - totals["runs_finished"],
        "nodes": sorted(nodes, key=lambda item: item["name"]),
        "active_sessions": sum(item["sessions"] for item in nodes),
        "bus_subscriptions": subscriptions,
        **totals,
    }


def problems_of(nodes: list[dict[str, Any]], subscriptions: int) -> list[str]:
    """What is wrong, in words."""
    problems = [f"node {item['name']}: {item['state']}" for item in nodes if item["state"] != READY]
    if not nodes:
        problems.append("no node is running")
    elif subscriptions < len(nodes):
        problems.append(f"{len(nodes) - subscriptions} of {len(nodes)} nodes do not hear themselves on the bus")
    versions = sorted({str(item["version"]) for item in nodes})
    if len(versions) > 1:
        problems.append(f"nodes of {len(versions)} versions: {', '.join(versions)}")
    return problems


async def _count_subscriptions(redis: Redis, channels: list[str]) -> int:
    """How many nodes hear themselves on the bus."""
    if not channels:
        return 0
    try:
        counts = await redis.pubsub_shardnumsub(*channels)
    except NoPermissionError:
        raise
    except ResponseError:  # before Redis 7
        counts = await redis.pubsub_numsub(*channels)
    return sum(int(count) for _, count in counts)
