"""Does to a cluster what a schedule says, and makes it well again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from roomgraph.check.recording import RecordedDevice
from roomgraph.tour.figures import Spell
from roomgraph.tour.own import OwnCluster, OwnDirection
from roomgraph.tour.schedule import RULES, Fault, FaultKind
from sio_clients.errors import RoomgraphError

STARTS = 5  # a node that cannot start because Redis is away just then is started again, as a supervisor would
# Of a node: those that are on it get nothing.
STANDSTILLS = frozenset(
    {FaultKind.NODE_PAUSE, FaultKind.PARTITION, FaultKind.COMMANDS_LOST, FaultKind.REPLIES_LOST}
)
JITTER = 0.5  # of a slow network: so much more than its delay at the most


@dataclass
class Happening:
    """A fault that was played; times are those of the event loop."""

    fault: Fault
    began: float
    hit: frozenset[str] | None = frozenset()  # devices that can get nothing meanwhile; None: all of them
    ended: float | None = None

    @property
    def spell(self) -> Spell:
        """It, as the figures take it."""
        if self.ended is None or self.fault.kind == FaultKind.NODE_KILL:
            # Devices of a dead node go elsewhere at once: they do not wait until it is back.
            return Spell(self.began, self.began)
        return Spell(self.began, self.ended, self.hit)


class Faults:
    """Plays faults on the networks, nodes and Redis of a cluster, and on devices."""

    def __init__(self, cluster: OwnCluster, devices: Sequence[RecordedDevice]) -> None:
        self._cluster = cluster
        self._devices = devices
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.happened: list[Happening] = []

    def counts(self) -> dict[str, int]:
        """How many of each kind were played."""
        return dict(Counter(happening.fault.kind.value for happening in self.happened))

    async def play(self, faults: Sequence[Fault], duration: float) -> None:
        """Play them at their times from now on; all is well when this returns.

        Where the machine is slow a fault waits until its target is well from the one before. What could not begin
        within the duration is not played. Raises RuntimeError when something cannot be started again.
        """
        began = asyncio.get_running_loop().time()
        problem = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for fault in faults:
                    tasks.create_task(self._play(fault, began + fault.at, began + duration))
        except* RuntimeError as failed:
            problem = failed.exceptions[0]
        if problem is not None:
            raise problem

    async def _play(self, fault: Fault, at: float, end: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, at - loop.time()))
        async with AsyncExitStack() as held:
            for target in self._targets(fault):
                await held.enter_async_context(self._busy[target])
            if loop.time() > end:
                return
            happening = Happening(fault, loop.time(), self._hit(fault))
            self.happened.append(happening)
            async with self._acts()[fault.kind](fault):
                await asyncio.sleep(fault.seconds if fault.kind != FaultKind.ROLLING_RESTART else 0.0)
            happening.ended = loop.time()

    def _targets(self, fault: Fault) -> list[str]:
        to = RULES[fault.kind].to
        if to == "nodes":
            return [f"node {number}" for number in range(len(self._cluster.ports))]
        return [to if to == "redis" else f"{to} {fault.target}"]

    def _hit(self, fault: Fault) -> frozenset[str] | None:
        """The devices that can get nothing during a fault; those of a dead node need not wait for it."""
        if fault.kind in (FaultKind.REDIS_KILL, FaultKind.REDIS_PAUSE):
            return None
        if fault.kind == FaultKind.DEVICE_AWAY:
            return frozenset({self._devices[fault.target].name})
        if fault.kind in STANDSTILLS:
            node = str(self._cluster.ports[fault.target])
            return frozenset(device.name for device in self._devices if device.client.node == node)
        return frozenset()

    def _acts(self) -> dict[FaultKind, Callable[[Fault], AbstractAsyncContextManager[None]]]:
        return {
            FaultKind.NODE_KILL: self._node_killed,
            FaultKind.NODE_PAUSE: self._node_paused,
            FaultKind.NODE_RESTART: self._restarted,
            FaultKind.ROLLING_RESTART: self._restarted,
            FaultKind.REDIS_KILL: self._redis_killed,
            FaultKind.REDIS_PAUSE: self._redis_paused,
            FaultKind.BUS_CUT: self._bus_cut,
            FaultKind.PARTITION: self._silent,
            FaultKind.COMMANDS_LOST: self._silent,
            FaultKind.REPLIES_LOST: self._silent,
            FaultKind.REPLY_CUT: self._broken_off,
            FaultKind.CUT: self._broken_off,
            FaultKind.SLOW: self._slow,
            FaultKind.NARROW: self._slow,
            FaultKind.RESET: self._reset,
            FaultKind.DEVICE_AWAY: self._away,
        }

    @asynccontextmanager
    async def _node_killed(self, fault: Fault) -> AsyncIterator[None]:
        port = self._cluster.ports[fault.target]
        await self._cluster.signal_node(port, signal.SIGKILL)
        yield
        await start_again(self._cluster, port)

    @asynccontextmanager
    async def _node_paused(self, fault: Fault) -> AsyncIterator[None]:
        port = self._cluster.ports[fault.target]
        await self._cluster.signal_node(port, signal.SIGSTOP)
        try:
            yield
        finally:
            await self._cluster.signal_node(port, signal.SIGCONT)

    @asynccontextmanager
    async def _restarted(self, fault: Fault) -> AsyncIterator[None]:
        ports = self._cluster.ports
        for port in ports if fault.kind == FaultKind.ROLLING_RESTART else ports[fault.target : fault.target + 1]:
            await self._cluster.signal_node(port, signal.SIGTERM)
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
    async def _broken_off(self, fault: Fault) -> AsyncIterator[None]:
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
