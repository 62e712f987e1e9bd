"""Breaks one thing of a cluster and makes it work again: what each kind of fault does."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.chaos_nodes import set_clock
from roomgraph.tour.own import OwnCluster, OwnDirection
from roomgraph.tour.schedule import Fault, FaultKind
from sio_clients.errors import RoomgraphError

STARTS = 5  # a node that cannot start because Redis is away just then is started again, as a supervisor would
JITTER = 0.5  # of a slow network: so much more than its delay at the most


class Breaking:
    """`broken(fault)` is a context: the fault begins when it is entered, and is over when it has been left."""

    def __init__(self, cluster: OwnCluster, devices: Sequence[RecordedDevice]) -> None:
        self._cluster = cluster
        self._devices = devices

    def broken(self, fault: Fault) -> AbstractAsyncContextManager[None]:
        """The context of a fault. Raises RuntimeError when something cannot be started again."""
        acts: dict[FaultKind, Callable[[Fault], AbstractAsyncContextManager[None]]] = {
            FaultKind.NODE_KILL: self._node_killed,
            FaultKind.NODE_PAUSE: self._node_paused,
            FaultKind.NODE_RESTART: self._restarted,
            FaultKind.ROLLING_RESTART: self._restarted,
            FaultKind.REDIS_KILL: self._redis_killed,
            FaultKind.REDIS_PAUSE: self._redis_paused,
            FaultKind.REDIS_RESET: self._redis_reset,
            FaultKind.BUS_CUT: self._bus_cut,
            FaultKind.CLOCK_JUMP: self._clock_jump,
            FaultKind.PARTITION: self._silent,
            FaultKind.COMMANDS_LOST: self._silent,
            FaultKind.REPLIES_LOST: self._silent,
            FaultKind.REPLY_CUT: self._cut_mid_way,
            FaultKind.CUT: self._cut_mid_way,
            FaultKind.SLOW: self._slow,
            FaultKind.NARROW: self._slow,
            FaultKind.RESET: self._reset,
            FaultKind.DEVICE_AWAY: self._away,
        }
        return acts[fault.kind](fault)

    async def _end(self, port: int, number: signal.Signals) -> None:
        """End a node, unless it has ended by itself: the cluster knows that, and the scene does not pass."""
        if self._cluster.is_running(port):
            await self._cluster.signal_node(port, number)

    @asynccontextmanager
    async def _node_killed(self, fault: Fault) -> AsyncIterator[None]:
        port = self._cluster.ports[fault.target]
        await self._end(port, signal.SIGKILL)
        yield
        await start_again(self._cluster, port)

    @asynccontextmanager
    async def _node_paused(self, fault: Fault) -> AsyncIterator[None]:
        port = self._cluster.ports[fault.target]
        if not self._cluster.is_running(port):
            await start_again(self._cluster, port)
        await self._cluster.signal_node(port, signal.SIGSTOP)
        try:
            yield
        finally:
            await self._cluster.signal_node(port, signal.SIGCONT)

    @asynccontextmanager
    async def _restarted(self, fault: Fault) -> AsyncIterator[None]:
        ports = self._cluster.ports
        for port in ports if fault.kind == FaultKind.ROLLING_RESTART else ports[fault.target : fault.target + 1]:
            await self._end(port, signal.SIGTERM)
            await start_again(self._cluster, port)
        yield

    @asynccontextmanager
    async def _redis_killed(self, fault: Fault) -> AsyncIterator[None]:
        await self._cluster.signal_redis(signal.SIGKILL)
        yield
        await self._cluster.start_redis()

    @asynccontextmanager
    async def _redis_paused(self, fault: Fault) -> AsyncIterator[None]:
        await self._cluster.signal_redis(signal.SIGSTOP)
        try:
            yield
        finally:
            await self._cluster.signal_redis(signal.SIGCONT)
        # A server of a Redis Cluster that was replaced meanwhile is a replica in step again before the next fault.
        await self._cluster.start_redis()

    @asynccontextmanager
    async def _redis_reset(self, fault: Fault) -> AsyncIterator[None]:
        for network in self._cluster.redis_proxies.values():
            network.reset()
        yield

    @asynccontextmanager
    async def _clock_jump(self, fault: Fault) -> AsyncIterator[None]:
        port = self._cluster.ports[fault.target]
        set_clock(self._cluster, port, fault.amount)
        try:
            yield
        finally:
            set_clock(self._cluster, port, 0)

    @asynccontextmanager
    async def _bus_cut(self, fault: Fault) -> AsyncIterator[None]:
        # Redis may be on its way back from another fault: it is patient with its clients then.
        await self._cluster.cut_bus()
        yield

    @asynccontextmanager
    async def _silent(self, fault: Fault) -> AsyncIterator[None]:
        """Nothing passes between a node and Redis, in both directions or in one."""
        network = self._cluster.redis_proxies[self._cluster.ports[fault.target]]
        directions: list[OwnDirection] = []
        if fault.kind != FaultKind.REPLIES_LOST:
            directions.append(network.up)
        if fault.kind != FaultKind.COMMANDS_LOST:
            directions.append(network.down)
        for direction in directions:
            direction.blackhole = True
        try:
            yield
        finally:
            for direction in directions:
                direction.blackhole = False

    @asynccontextmanager
    async def _cut_mid_way(self, fault: Fault) -> AsyncIterator[None]:
        """A connection is reset after so many more bytes: one to Redis, or one of a client."""
        port = self._cluster.ports[fault.target]
        to_redis = fault.kind == FaultKind.REPLY_CUT
        direction = (self._cluster.redis_proxies if to_redis else self._cluster.node_proxies)[port].down
        direction.cut(fault.amount)
        try:
            yield
        finally:
            direction.cut(None)

    @asynccontextmanager
    async def _slow(self, fault: Fault) -> AsyncIterator[None]:
        """A node's clients have a slow network, or a narrow one."""
        network = self._cluster.node_proxies[self._cluster.ports[fault.target]]
        for direction in (network.up, network.down):
            if fault.kind == FaultKind.NARROW:
                direction.rate = float(fault.amount)
            else:
                direction.delay_s = fault.amount / 2000
                direction.jitter_s = direction.delay_s * JITTER
        try:
            yield
        finally:
            for direction in (network.up, network.down):
                direction.delay_s, direction.jitter_s, direction.rate = 0.0, 0.0, None

    @asynccontextmanager
    async def _reset(self, fault: Fault) -> AsyncIterator[None]:
        self._cluster.node_proxies[self._cluster.ports[fault.target]].reset()
        yield

    @asynccontextmanager
    async def _away(self, fault: Fault) -> AsyncIterator[None]:
        """A device loses its connection, and comes back on the node after the one it was on."""
        client = self._devices[fault.target].client
        was_on = self._cluster.ports.index(int(client.node))
        await client.go_offline()
        yield
        # It comes back on its own when that node cannot be reached either.
        with contextlib.suppress(RoomgraphError):
            await client.go_online(self._cluster.urls[(was_on + 1) % len(self._cluster.urls)])


async def start_again(cluster: OwnCluster, port: int) -> None:
    """Start a node that has ended. Raises RuntimeError when it does not get ready, however often."""
    for left in reversed(range(STARTS)):
        try:
            await cluster.start_node(port)
        except RuntimeError:
            if not left:
                raise
        else:
            return
