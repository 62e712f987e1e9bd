"""What is done to a Redis of several servers on this machine reaches the right one, whatever cannot be asked."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from sio_server.local import cluster as module
from sio_server.local.cluster import LocalCluster, Topology
from sio_server.local.errors import ClusterError
from tests.conftest import free_ports


class Signalled(LocalCluster):
    """Notes which servers get a signal."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        super().__init__(free_ports(1), 1, folder, topology=topology)
        self.sent: list[tuple[str, signal.Signals]] = []
        self.primaries: list[int] = []  # what is answered to each question for the primary
        vars(self._processes)["signal"] = self._note

    async def _note(self, name: str, number: signal.Signals) -> None:
        self.sent.append((name, number))

    async def _primary(self) -> int:
        return self.primaries.pop(0)


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
async def test_the_server_that_was_stopped_is_continued_without_asking_for_the_primary(
    tmp_path: Path, topology: Topology
) -> None:
    cluster = Signalled(tmp_path, topology)
    cluster.primaries = [1, 2]
    for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGCONT):
        await cluster.signal_redis(number)
    assert cluster.sent == [("redis-1", signal.SIGSTOP), ("redis-2", signal.SIGKILL), ("redis-1", signal.SIGCONT)]


async def test_a_slot_without_a_primary_is_said_as_that(tmp_path: Path) -> None:
    cluster = LocalCluster(free_ports(1), 1, tmp_path, topology="cluster")
    assert cluster.redis_cluster is not None

    async def none() -> list[Any]:
        return []

    vars(cluster.redis_cluster)["primaries"] = none
    with pytest.raises(ClusterError, match="no primary has slot 7"):
        await cluster.redis_cluster.primary_of(7)


@pytest.mark.parametrize("topology", ["single", "sentinel", "cluster"])
async def test_the_bus_is_cut_when_redis_answers_again_and_not_tried_for_ever(
    tmp_path: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = LocalCluster(free_ports(1), 1, tmp_path, topology=topology)
    tried = 0
    cut = cluster._cut_bus

    async def cut_when_asked_again() -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            await cut()  # nothing runs

    monkeypatch.setattr(cluster, "_cut_bus", cut_when_asked_again)
    await cluster.cut_bus()
    assert tried == 2
    monkeypatch.setattr(module, "CUT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(cluster, "_cut_bus", cut)
    with pytest.raises(TimeoutError):
        await cluster.cut_bus()
