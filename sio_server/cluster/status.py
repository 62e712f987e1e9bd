"""What the cluster is doing, read from Redis and not counted by any one node."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from sio_server.cluster.nodes import READY
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.keys import (
    NODES,
    heartbeat_channel,
    node,
    node_sessions,
    shard_heartbeat_channel,
    stats,
)
from sio_server.store.partitions import PARTITIONS, TAGS, tag
from sio_server.store.routed import RoutedPipelined
from sio_server.store.slots import Server, name_of, slot_of
from sio_server.store.wire import pack


async def read_status(redis: BoundedRedis) -> dict[str, Any]:
    """Nodes, active sessions, bus subscriptions, conversations, entries and runs of the whole cluster.

    `shards`: of a Redis Cluster: address, partitions, and whether it answers. `problems` says what is wrong, in
    words; `healthy` that there is nothing. `unfinished_runs` wait, or are executed. A dead node and its sessions
    count no more once its last heartbeat has expired.
    """
    with redis_errors():
        node_ids, replies, unread = await _read_all(redis)
        subscriptions = await _count_subscriptions(redis, node_ids)
        shards = await _read_shards(redis)
    nodes = []
    for index, node_id in enumerate(node_ids):
        described, sessions = replies[2 * index], replies[2 * index + 1]
        if described:
            nodes.append(
                {
                    "node_id": node_id,
                    "name": described["name"],
                    "port": int(described["port"]),
                    "sessions": int(sessions or 0),
                    "started": described["started"],
                    "version": described["version"],
                    "state": described["state"],
                }
            )
    totals = {"conversations": 0, "entries": 0, "runs": 0, "runs_finished": 0}
    for counted in replies[2 * len(node_ids) :]:
        for name in totals:
            totals[name] += int(counted.get(name, 0))
    problems = [] if unread else problems_of(nodes, subscriptions)
    problems += [f"shard {item['address']}: away" for item in shards if not item["answers"]]
    if unread:
        problems.append("what some shards have is not counted")
    return {
        "healthy": not problems,
        "problems": problems,
        "versions": sorted({str(item["version"]) for item in nodes}),
        "unfinished_runs": totals["runs"] - totals["runs_finished"],
        "nodes": sorted(nodes, key=lambda item: item["name"]),
        "active_sessions": sum(item["sessions"] for item in nodes),
        "bus_subscriptions": subscriptions,
        **({"shards": shards} if shards else {}),
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


async def _read_all(redis: BoundedRedis) -> tuple[list[str], list[Any], bool]:
    """The ids of the nodes; what is known of each, and of each partition; whether a shard could not be read."""
    try:
        node_ids = [str(node_id) for node_id in await redis.zrange(NODES, 0, -1)]
    except RedisError:
        if redis.routed is None:
            raise
        node_ids = []
    pipe = redis.pipeline(transaction=False)
    for node_id in node_ids:
        pipe.hgetall(node(node_id))
        pipe.hlen(node_sessions(node_id))
    for number in range(PARTITIONS):
        pipe.hgetall(stats(number))
    if redis.routed is None:
        return node_ids, await pipe.execute(), False
    replies = await pipe.execute(raise_on_error=False)
    read = [None if isinstance(reply, Exception) else reply for reply in replies]
    return node_ids, [{} if reply is None else reply for reply in read], None in read or not node_ids


async def _read_shards(redis: BoundedRedis) -> list[dict[str, Any]]:
    if redis.routed is None:
        return []
    routed, found = redis.routed, []
    by_server = partitions_of(routed)
    answers = await asyncio.gather(
        *(routed.call(pack(("PING",)), key=tag(numbers[0])) for numbers in by_server.values()),
        return_exceptions=True,
    )
    for (server, numbers), answer in zip(by_server.items(), answers, strict=True):
        found.append(
            {
                "address": name_of(server),
                "partitions": len(numbers),
                "answers": not isinstance(answer, BaseException),
            }
        )
    return sorted(found, key=lambda item: str(item["address"]))


def partitions_of(routed: RoutedPipelined) -> dict[Server | None, list[int]]:
    """Which partitions each primary has."""
    found: dict[Server | None, list[int]] = {}
    for number in range(PARTITIONS):
        found.setdefault(routed.primary(slot_of(tag(number))), []).append(number)
    return found


async def _count_subscriptions(redis: BoundedRedis, node_ids: list[str]) -> int:
    """How many nodes hear themselves on the bus; on a Redis Cluster those that do so on most partitions."""
    if not node_ids:
        return 0
    if redis.routed is not None:
        return await _count_on_shards(redis.routed, node_ids)
    channels = [heartbeat_channel(node_id) for node_id in node_ids]
    try:
        counts = await redis.pubsub_shardnumsub(*channels)
    except NoPermissionError:
        raise
    except ResponseError:  # before Redis 7
        counts = await redis.pubsub_numsub(*channels)
    return sum(int(count) for _, count in counts)


async def _count_on_shards(routed: RoutedPipelined, node_ids: list[str]) -> int:
    heard = dict.fromkeys(node_ids, 0)
    by_server = partitions_of(routed)

    async def ask(numbers: list[int]) -> None:
        # Nodes take the first partition of each primary for their heartbeats, as `ShardedSubscriptions` has it.
        channels = [shard_heartbeat_channel(TAGS[numbers[0]], node_id) for node_id in node_ids]
        try:
            flat: Any = await routed.call(pack(("PUBSUB", "SHARDNUMSUB", *channels)), key=channels[0])
        except RedisError:
            return
        for node_id, count in zip(node_ids, flat[1::2], strict=True):
            heard[node_id] += len(numbers) if int(count) else 0

    await asyncio.gather(*(ask(numbers) for numbers in by_server.values()))
    return sum(1 for partitions in heard.values() if partitions > PARTITIONS / 2)
