"""What sentinels and a Redis Cluster say of themselves: read once, judged without them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from sio_server.redis_url import RedisUrl

ANSWER_S = 2.0
SLOTS = 16384


@dataclass(frozen=True)
class SentinelFacts:
    """What one sentinel says of the service, or the `problem` with it."""

    server: str  # host:port
    problem: str = ""
    primary: str = ""  # host:port
    sentinels: int = 0  # that it knows, itself included
    quorum: int = 0
    replicas: int = 0
    down_after_ms: int = 0


@dataclass(frozen=True)
class ClusterFacts:
    """What a server of a cluster says; `timeout_ms` and `full_coverage` are None when this user may not ask."""

    state: str
    uncovered: int  # slots
    replicas: Mapping[str, int]  # of each primary that has slots (host:port), those that are connected
    timeout_ms: int | None = None
    full_coverage: bool | None = None  # whether it serves nothing while slots are not covered


async def read_sentinels(at: RedisUrl) -> list[SentinelFacts]:
    """Ask each sentinel of the URL."""
    return list(await asyncio.gather(*(_read_sentinel(url, at.service) for url in at.sentinels)))


async def read_cluster(at: RedisUrl) -> ClusterFacts:
    """Ask the first server that answers. Raises its errors when none does."""
    failure: Exception = ConnectionError("no server is named")
    for url in at.servers:
        client = _client(url)
        try:
            return await _read_cluster(client)
        except (RedisError, OSError, TimeoutError) as exc:
            failure = exc
        finally:
            await client.aclose()
    raise failure


def url_of(at: RedisUrl, server: str) -> str:
    """The URL of one server of a cluster, with its user and its options."""
    parts = urlsplit(at.server)
    user, separator, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{separator}{server}").geturl()


async def _read_sentinel(url: str, service: str) -> SentinelFacts:
    server = urlsplit(url).netloc.rpartition("@")[2]
    client = _client(url)
    try:
        said: Any = await client.sentinel_master(service)
    except ResponseError as exc:
        return SentinelFacts(server, str(exc))
    except (RedisError, OSError, TimeoutError) as exc:
        return SentinelFacts(server, str(exc) or type(exc).__name__)
    finally:
        await client.aclose()
    return SentinelFacts(
        server,
        primary=f"{said['ip']}:{said['port']}",
        sentinels=int(said["num-other-sentinels"]) + 1,
        quorum=int(said["quorum"]),
        replicas=int(said["num-slaves"]),
        down_after_ms=int(said["down-after-milliseconds"]),
    )


async def _read_cluster(client: Redis) -> ClusterFacts:
    info: Any = await client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
    nodes: Any = await client.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
    try:
        config = await client.config_get("cluster-node-timeout", "cluster-require-full-coverage")
    except ResponseError:
        config = {}
    timeout, coverage = (config.get(f"cluster-{name}") for name in ("node-timeout", "require-full-coverage"))
    primaries = {node["node_id"]: server for server, node in nodes.items() if node["slots"]}
    replicas = dict.fromkeys(primaries.values(), 0)
    for node in nodes.values():
        if node["master_id"] in primaries and node["connected"] and "fail" not in node["flags"]:
            replicas[primaries[node["master_id"]]] += 1
    uncovered = SLOTS - int(info["cluster_slots_ok"])
    return ClusterFacts(
        str(info["cluster_state"]),
        uncovered,
        replicas,
        int(timeout) if timeout else None,
        coverage == "yes" if coverage else None,
    )


def _client(url: str) -> Redis:
    return Redis.from_url(
        url, decode_responses=True, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, protocol=2
    )
