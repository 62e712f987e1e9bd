"""A local cluster restarts what ended by itself, leaves alone what was told to end, and keeps a record."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from sio_server.language import load_texts
from sio_server.local import restarts
from sio_server.local.cluster import LocalCluster
from sio_server.local.restarts import Restarts
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.faults  # they start nodes again and again


class Screen:
    """The lines that were reported, and a wait for the next one."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._lines: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        texts = load_texts("en", "sio_server.local", "up")
        self.keeping = asyncio.create_task(
            Restarts(cluster, texts, lambda ok, line: self._lines.put_nowait((ok, line))).keep()
        )

    async def line(self) -> tuple[bool, str]:
        return await asyncio.wait_for(self._lines.get(), 30)


@pytest.fixture
async def cluster(start_cluster: ClusterFactory) -> LocalCluster:
    return await start_cluster(nodes=1)


@pytest.fixture
async def screen(cluster: LocalCluster) -> AsyncIterator[Screen]:
    made = Screen(cluster)
    yield made
    made.keeping.cancel()
    await asyncio.gather(made.keeping, return_exceptions=True)


async def test_a_node_that_cannot_start_is_tried_again_ever_later_until_it_can(cluster, screen, monkeypatch):
    monkeypatch.setattr(restarts, "FIRST_BACK_OFF_S", 0.1)
    port, command = cluster.ports[0], cluster.node_command
    cluster.node_command = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
    os.kill(cluster.pids[f"node-{port}"], signal.SIGKILL)
    assert "(exit status -9). Restarting it in 0.1 s" in (await screen.line())[1]
    for seconds in ("0.2", "0.4"):
        ok, line = await screen.line()
        assert not ok
        assert "exit status 3" in line
        assert "no room" in line
        assert f"Next attempt in {seconds} s" in line
    cluster.node_command = command
    while not (said := await screen.line())[0]:
        pass
    assert said == (True, f"node-{port} was restarted and is ready")
    assert cluster.is_running(port)
    # One end, however many attempts it took: what never was ready has not ended by itself.
    assert [(end.process, end.status) for end in cluster.unexpected_ends] == [(f"node-{port}", -9)]


async def test_a_node_that_was_told_to_end_is_not_restarted_and_one_that_runs_is_not_started_twice(
    cluster, screen
):
    port = cluster.ports[0]
    pid = cluster.pids[f"node-{port}"]
    await asyncio.gather(*(cluster.start_node(port) for _ in range(3)))
    assert cluster.pids[f"node-{port}"] == pid
    for number in (signal.SIGKILL, signal.SIGTERM):
        await cluster.signal_node(port, number)
        assert not cluster.is_down_unexpectedly(f"node-{port}")
        await cluster.start_node(port)
    # A process that ended by itself is told of; the two before were not.
    os.kill(cluster.pids["redis"], signal.SIGKILL)
    assert "redis exited unexpectedly" in (await screen.line())[1]
    assert await screen.line() == (True, "redis was restarted and is ready")
    assert [end.process for end in cluster.unexpected_ends] == ["redis"]


async def test_a_node_that_is_told_to_end_before_its_restart_stays_down(cluster, screen, monkeypatch):
    port = cluster.ports[0]
    monkeypatch.setattr(restarts, "FIRST_BACK_OFF_S", 0.2)
    os.kill(cluster.pids[f"node-{port}"], signal.SIGKILL)
    await screen.line()
    await cluster.signal_node(port, signal.SIGKILL)
    # Redis ends later and is restarted with the same delay: by then the node's turn has passed.
    os.kill(cluster.pids["redis"], signal.SIGKILL)
    await screen.line()
    assert await screen.line() == (True, "redis was restarted and is ready")
    assert not cluster.is_running(port)
