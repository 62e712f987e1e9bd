"""A node that is stopped ends within DRAIN_GRACE and some seconds, whatever else is broken."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from roomgraph.tour.moved_clock import FILE as CLOCK_FILE
from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.node import LAST_S, STOP_S
from tests.faults.networks import cut_off
from tests.waiting import Inbox, poll, within

pytestmark = pytest.mark.faults

GRACE_S = 1
SPARE_S = 2  # for the interpreter to end, on a busy machine


async def seconds_to_stop(cluster: LocalCluster, port: int) -> float:
    """Send SIGTERM and wait for the end of the process."""
    began = time.monotonic()
    async with within(60, "the end of the node"):
        await cluster.signal_node(port, signal.SIGTERM)
    return time.monotonic() - began


async def test_a_cut_off_node_whose_clock_was_set_back_stops_in_time(start_cluster, tmp_path: Path):
    clock = tmp_path / "clock"
    clock.write_text("0")
    cluster = await start_cluster(
        nodes=2,
        proxied=True,
        DRAIN_GRACE=str(GRACE_S),
        WORD_DELAY="0.5",
        **{CLOCK_FILE: str(clock)},
    )
    cluster.node_command = [sys.executable, "-m", "roomgraph.clock_node", "node"]
    for port in cluster.ports:
        await cluster.signal_node(port, signal.SIGTERM)
        await cluster.start_node(port)
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls[0], token) as client:
        written = Inbox[dict]()
        client.on("run:written", written)
        conversation = await client.create(access="open")
        await conversation.send("hello")
        await written.first()
        # Commands reach Redis, their replies are lost, and every clock that is not monotonic goes back.
        cut_off(cluster, 0, "down")
        clock.write_text("-1387")
        for port in cluster.ports:
            assert await seconds_to_stop(cluster, port) < GRACE_S + STOP_S + LAST_S + SPARE_S


async def test_a_node_stops_in_time_though_a_graph_never_returns(start_cluster):
    cluster = await start_cluster(nodes=1, DRAIN_GRACE=str(GRACE_S), GRAPH="tests.graphs.stuck:stuck")
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls[0], token) as client:
        written = Inbox[dict]()
        client.on("run:written", written)
        conversation = await client.create(access="open")
        await conversation.send("hello")
        await written.first(lambda event: bool(event.get("reports")))
        took = await seconds_to_stop(cluster, cluster.ports[0])
        assert took < GRACE_S + STOP_S + LAST_S + SPARE_S
    await poll(lambda: not cluster.is_running(cluster.ports[0]), "the end of the node")
