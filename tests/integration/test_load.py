"""Light devices on the cluster: connected, in conversations, talking, cut off and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from roomgraph.load import Figures, Fleet, Wire, WireError
from sio_server.local.cluster import LocalCluster
from tests.conftest import ClusterFactory
from tests.waiting import Inbox


@pytest.fixture
async def fleet(cluster: LocalCluster) -> AsyncIterator[Fleet]:
    fleet = Fleet(cluster.urls, sizes=[6], seed=1)
    yield fleet
    await fleet.close()


def is_whole(figures: Figures) -> bool:
    wrong = figures.duplicated, figures.reordered, figures.differing, figures.misplaced, figures.resets
    return not any(wrong)


async def test_a_fleet_talks_and_every_device_gets_everything(fleet: Fleet) -> None:
    await fleet.grow(12)
    assert {device.node for device in fleet.devices} == {url.rpartition(":")[2] for url in fleet.urls}
    assert fleet.conversations == 2
    assert await fleet.settle(5) == 0
    fleet.take_figures()
    await fleet.talk(0.5, 0.1)
    assert await fleet.settle(5) == 0
    figures = fleet.take_figures()
    assert figures.sent == figures.acked > 20
    # Live, or in what a node or device read because it had missed something; joins may come late in both.
    assert figures.latency.count + figures.caught_up >= figures.sent * 6
    assert figures.latency.count > figures.sent * 3
    assert 0 < figures.latency.quantile(0.5) < 2
    assert is_whole(figures)


async def test_devices_that_were_cut_off_come_back_elsewhere_and_miss_nothing(fleet: Fleet) -> None:
    await fleet.grow(12)
    away, writer = fleet.devices[:6], fleet.devices[7]
    before = {device.device_id: device.node for device in away}
    back: Inbox[str] = Inbox()
    for device in away:
        device.returned = partial(back, device.device_id)
        device.cut()
    for conversation_id in writer.places:
        for number in range(3):
            assert await writer.send(conversation_id, f"while they are away {number}")
    await back.until(lambda names: len(set(names)) == len(away), "the return of all", 10)
    assert await fleet.settle(5) == 0
    assert all(device.node != before[device.device_id] for device in away)
    figures = fleet.take_figures()
    assert figures.lost_connections == figures.returns.count == figures.behind.count == 6
    assert is_whole(figures)


async def test_a_wire_is_told_why_it_is_refused(cluster: LocalCluster) -> None:
    wire = Wire(lambda frame: None, lambda: None)
    with pytest.raises(WireError) as refusal:
        await wire.open(cluster.urls[0], {"token": "nonsense"}, 5)
    assert refusal.value.error["code"] == "token_invalid"  # type: ignore[attr-defined]


@pytest.mark.faults
async def test_a_node_takes_as_many_clients_as_it_may_and_sends_others_on(start_cluster: ClusterFactory) -> None:
    cluster = await start_cluster(nodes=2, MAX_CONNECTIONS="4")
    full = Fleet(cluster.urls, home=0, sizes=[3], seed=1)
    try:
        await full.grow(7)
        nodes = [device.node for device in full.devices]
        assert nodes.count(str(cluster.ports[0])) == 4
        assert nodes.count(str(cluster.ports[1])) == 3
        assert full.figures.refused_connects >= 3
        assert await full.settle(5) == 0
    finally:
        await full.close()
