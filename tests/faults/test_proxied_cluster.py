"""A cluster whose networks can be made bad, and signals that have taken effect when they are said to have."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError

pytestmark = pytest.mark.faults


async def test_clients_and_redis_are_reached_through_the_proxies(start_cluster):
    cluster = await start_cluster(nodes=2, proxied=True)
    assert not set(cluster.ports) & {proxy.port for proxy in cluster.node_proxies.values()}
    _, token = await guest_token(cluster.urls[1], "Ann")
    async with ChatClient(cluster.urls[1:], token) as client:
        assert client.node == str(cluster.ports[1])
        assert cluster.node_proxies[cluster.ports[1]].connections == 1
        assert cluster.redis_proxies[cluster.ports[1]].connections > 1


async def test_a_stopped_node_stands_still_when_the_signal_has_been_sent(start_cluster):
    cluster = await start_cluster(nodes=1)
    for _ in range(20):
        await cluster.signal_node(cluster.ports[0], signal.SIGSTOP)
        pid = cluster.pids[f"node-{cluster.ports[0]}"]
        states = {
            task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{pid}/task").iterdir()  # noqa: ASYNC240
        }
        assert states == {"T"}
        await cluster.signal_node(cluster.ports[0], signal.SIGCONT)
        await asyncio.sleep(0)


def test_a_redis_behind_tls_cannot_be_proxied(tmp_path):
    with pytest.raises(ClusterError, match="redis://"):
        LocalCluster(9000, 1, tmp_path, redis_url="rediss://redis.example.com:6380/0", proxied=True)
