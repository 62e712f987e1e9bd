"""Plays the faults of a schedule on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.breaking import Breaking
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.player import Player
from roomgraph.tour.schedule import RULES, Fault, FaultKind

# Of a node: the devices that are on it get nothing.
STANDSTILLS = frozenset(
    {FaultKind.NODE_PAUSE, FaultKind.PARTITION, FaultKind.COMMANDS_LOST, FaultKind.REPLIES_LOST}
)


class Faults(Player[Fault]):
    """Plays faults on the networks, nodes and Redis of a cluster, and on devices."""

    def __init__(self, cluster: OwnCluster, devices: Sequence[RecordedDevice]) -> None:
        super().__init__()
        self._breaking = Breaking(cluster, devices)
        self._cluster = cluster
        self._devices = devices

    def targets(self, item: Fault) -> list[str]:
        to = RULES[item.kind].to
        if to == "nodes":
            return [f"node {number}" for number in range(len(self._cluster.ports))]
        return [to if to == "redis" else f"{to} {item.target}"]

    def hit(self, item: Fault) -> frozenset[str] | None:
        """Devices of a dead node need not wait for it."""
        if item.kind in (FaultKind.REDIS_KILL, FaultKind.REDIS_PAUSE):
            return None
        if item.kind == FaultKind.DEVICE_AWAY:
            return frozenset({self._devices[item.target].name})
        if item.kind in STANDSTILLS:
            node = str(self._cluster.ports[item.target])
            return frozenset(device.name for device in self._devices if device.client.node == node)
        return frozenset()

    async def carry_out(self, item: Fault) -> None:
        async with self._breaking.broken(item):
            await asyncio.sleep(item.seconds if item.kind != FaultKind.ROLLING_RESTART else 0.0)
