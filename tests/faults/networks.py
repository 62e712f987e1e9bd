"""Bad networks between nodes and Redis, for the tests of this folder."""

from __future__ import annotations

from sio_server.cluster.local import LocalCluster


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
