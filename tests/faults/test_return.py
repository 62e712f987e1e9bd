"""All devices of a node return at once: each to another node, spread, within seconds, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest

from roomgraph.load import Fleet
from roomgraph.load.processes import Processes
from sio_clients.route import RETURN_S
from sio_server.gateway.sessions.auth import Tokens
from sio_server.local.cluster import LocalCluster
from sio_server.open_files import raise_open_files
from sio_server.tasks import end_tasks
from tests.conftest import SECRET, ClusterFactory
from tests.faults.raw_websocket import RawWebSocket
from tests.waiting import within

pytestmark = [pytest.mark.faults, pytest.mark.timeout(280)]

DEVICES = 2000 if os.environ.get("SOAK") else 500
LEVEL_S = 10.0
# Of a node: two have room for all, and neither has room for all alone.
MAX_CONNECTIONS = DEVICES * 3 // 4
MEMORY = 400 * 2**20
EVERY_S = 50.0
TALK_EVERY_S = 0.02
QUIET_S = 2.0
# What the others may wait for an answer meanwhile, as a multiple of what they wait otherwise, or in seconds.
MOST_TIMES, LEAST_S = 10.0, 0.3


@pytest.fixture
async def cluster(start_cluster: ClusterFactory) -> LocalCluster:
    return await start_cluster(nodes=3, MAX_CONNECTIONS=str(MAX_CONNECTIONS))


@pytest.fixture
async def fleet(cluster: LocalCluster) -> AsyncIterator[Fleet]:
    """Devices that all begin on the first node, which has room for all."""
    raise_open_files()
    tokens = Tokens(SECRET, "roomgraph")

    async def issue(count: int) -> list[str]:
        return [tokens.issue(f"guest-{os.urandom(6).hex()}", "Guest", 3600) for _ in range(count)]

    await cluster.signal_node(cluster.ports[0], signal.SIGTERM)
    cluster.settings["MAX_CONNECTIONS"] = str(DEVICES)
    await cluster.start_node(cluster.ports[0])
    fleet = Fleet(cluster.urls, home=0, seed=1, tokens=issue)
    yield fleet
    await fleet.close()


async def all_level(fleet: Fleet) -> None:
    """Wait until all devices have come back and have everything."""
    level = asyncio.Event()

    def count() -> None:
        if fleet.figures.behind.count >= DEVICES:
            level.set()

    for device in fleet.devices:
        device.returned = count
    await level.wait()


@pytest.mark.parametrize("how", ["killed", "cut off"])
async def test_all_devices_of_a_lost_node_return_spread_over_time_and_nodes(
    cluster: LocalCluster, fleet: Fleet, how: str
) -> None:
    home, *others = cluster.ports
    await fleet.grow(DEVICES)
    assert Counter(device.node for device in fleet.devices) == {str(home): DEVICES}
    assert await fleet.settle(30) == 0
    fleet.take_figures()
    processes = Processes({str(port): cluster.pids[f"node-{port}"] for port in others})
    talking = asyncio.create_task(fleet.talk(2 * LEVEL_S, EVERY_S))
    back = asyncio.create_task(all_level(fleet))
    await asyncio.sleep(0.5)  # of load before the fault

    if how == "killed":
        await cluster.signal_node(home, signal.SIGKILL)
    else:
        for device in fleet.devices:
            device.cut()
    async with within(LEVEL_S + 20, "the return of all devices", lambda: Counter(d.node for d in fleet.devices)):
        await back
    figures, usage = fleet.figures, processes.look()
    await end_tasks([talking])
    missing = await fleet.settle(30)
    print(f"\n{DEVICES} devices, {how}: from the loss to level", figures.behind.percentiles_ms(), "ms")
    print("connected again in each half second:", figures.returns.shares([half / 2 for half in range(20)]))
    tenths = [tenth * RETURN_S / 10 for tenth in range(10)]
    pauses = figures.pauses.shares(tenths)
    print("pauses, and tries, in each tenth of the spread:", pauses, figures.attempts.shares([*tenths, RETURN_S]))

    assert figures.behind.count == figures.lost_connections == DEVICES
    assert figures.behind.highest <= LEVEL_S
    # Nobody has lost anything, and what they wrote meanwhile is there, once.
    assert missing == 0
    assert figures.sent == figures.acked > 0
    assert figures.duplicated + figures.reordered + figures.differing + figures.misplaced + figures.resets == 0
    # They do not come at one moment, and not to one node.
    assert min(pauses) > DEVICES / 30
    assert max(pauses) < DEVICES / 5
    nodes = Counter(device.node for device in fleet.devices)
    assert set(nodes) == {str(port) for port in others}
    assert max(nodes.values()) < 0.6 * DEVICES
    for port in others:
        assert nodes[str(port)] <= MAX_CONNECTIONS
        assert usage[str(port)].open_files <= MAX_CONNECTIONS + 256
        assert processes.highest_memory[str(port)] < MEMORY


async def test_other_clients_are_answered_while_very_many_connect_to_their_node_at_once(
    start_cluster: ClusterFactory, new_id: str
) -> None:
    raise_open_files()
    cluster = await start_cluster(nodes=1)
    (port,) = cluster.ports
    tokens = Tokens(SECRET, "roomgraph")
    with ExitStack() as stack:
        other, *returning = (stack.enter_context(RawWebSocket(port)) for _ in range(1 + DEVICES))
        await other.open(tokens.issue(f"{new_id}-other", "Guest", 3600), "phone")

        async def ninth_tenth_of_waits(until: asyncio.Future[Any]) -> float:
            waits = []
            while not until.done():
                began = time.monotonic()
                assert (await other.call("device:list", {}))["ok"]
                waits.append(time.monotonic() - began)
                await asyncio.sleep(TALK_EVERY_S)
            return sorted(waits)[len(waits) * 9 // 10]

        before = await ninth_tenth_of_waits(asyncio.create_task(asyncio.sleep(QUIET_S)))
        began = time.monotonic()
        opening = [
            client.open(tokens.issue(f"{new_id}-{number}", "Guest", 3600), "phone")
            for number, client in enumerate(returning)
        ]
        back = asyncio.gather(*opening)
        during = await ninth_tenth_of_waits(back)
        await back
        took = time.monotonic() - began
    print(
        f"\n{DEVICES} connect in {took:.1f} s; answers (p90): {before * 1e3:.1f} ms before, {during * 1e3:.1f} ms"
    )
    assert took < 2 * LEVEL_S
    assert during < max(MOST_TIMES * before, LEAST_S)
