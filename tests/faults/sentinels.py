"""Nodes on a primary with two replicas and three sentinels, for the tests of this folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from sio_server.local.cluster import LocalCluster
from sio_server.local.ports import is_free
from sio_server.local.processes import Processes
from sio_server.local.replicated import Place, ReplicatedRedis
from tests.conftest import NODE_SETTINGS, free_ports

NEAR, FAR = "10.213.77.1", "10.213.77.2"


@asynccontextmanager
async def replicated_redis(
    folder: Path, replicas: int = 2, sentinels: int = 3, far: Place | None = None, near_replicas: int = 0
) -> AsyncIterator[ReplicatedRedis]:
    """A primary with replicas and sentinels; the nodes' ports below them are free.

    `far`: where the replicas, but for `near_replicas`, and all sentinels but the first run; the others have the
    address `NEAR` then.
    """
    first = free_ports(4 + 1 + replicas + sentinels) + 4
    ports = range(first, first + 1 + replicas + sentinels)
    assert all(is_free(port) for port in ports)
    processes = Processes(folder / "redis")
    near = (*ports[: 1 + near_replicas], ports[1 + replicas])
    places = {port: Place(NEAR) if port in near else far for port in ports} if far else {}
    redis = ReplicatedRedis(processes, folder / "redis", ports[: 1 + replicas], ports[1 + replicas :], places)
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


class Cable:
    """Between this network and the one of `far`."""

    def __init__(self, name: str) -> None:
        self.far = Place(FAR, ("ip", "netns", "exec", name))
        self._link = f"{name}-a"

    def cut(self) -> None:
        """Nothing passes from now on, in both directions."""
        ip("link", "set", self._link, "down")

    def mend(self) -> None:
        ip("link", "set", self._link, "up")


@contextmanager
def cable() -> Iterator[Cable]:
    """A second network, and a cable to it. Skips the test where that is not allowed."""
    name = f"rg{os.getpid() % 100_000}"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root, and `ip` of iproute2")
    try:
        ip("link", "add", f"{name}-a", "type", "veth", "peer", "name", f"{name}-b", "netns", name)
        ip("addr", "add", f"{NEAR}/30", "dev", f"{name}-a")
        ip("link", "set", f"{name}-a", "up")
        for arguments in (("addr", "add", f"{FAR}/30", "dev", f"{name}-b"), ("link", "set", f"{name}-b", "up")):
            ip("-n", name, *arguments)
        ip("-n", name, "link", "set", "lo", "up")
        yield Cable(name)
    finally:
        ip("netns", "delete", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
