"""Nodes on a primary with two replicas and three sentinels, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sio_server.local.cluster import LocalCluster
from sio_server.local.ports import is_free
from sio_server.local.processes import Processes
from sio_server.local.replicated import ReplicatedRedis
from tests.conftest import NODE_SETTINGS, free_ports


@asynccontextmanager
async def replicated_redis(folder: Path, replicas: int = 2, sentinels: int = 3) -> AsyncIterator[ReplicatedRedis]:
    """A primary with replicas and sentinels; the nodes' ports below them are free."""
    first = free_ports(4 + 1 + replicas + sentinels) + 4
    ports = range(first, first + 1 + replicas + sentinels)
    assert all(is_free(port) for port in ports)
    processes = Processes(folder / "redis")
    redis = ReplicatedRedis(processes, folder / "redis", ports[: 1 + replicas], ports[1 + replicas :])
    try:
        await redis.start()
        yield redis
    finally:
        await processes.end(processes.names)


@asynccontextmanager
async def nodes_on(
    redis: ReplicatedRedis, folder: Path, nodes: int = 2, **settings: str
) -> AsyncIterator[LocalCluster]:
    """Nodes that use it."""
    cluster = LocalCluster(
        free_ports(nodes), nodes, folder / "nodes", redis_url=redis.url, settings={**NODE_SETTINGS, **settings}
    )
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()
