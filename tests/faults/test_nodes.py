"""Nodes that are killed, paused and restarted under load: nothing is lost, and devices soon go on elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from roomgraph.check import Recorder, Report, check
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, RoomgraphError, guest_token
from sio_server.local.cluster import LocalCluster
from tests.faults.nodes import SOAK, ms, quantile
from tests.waiting import Inbox, poll

pytestmark = pytest.mark.faults

DEVICES = 24  # a third of them on each node
WRITERS = 9
PERIOD_S = 0.15  # between two messages of a writer
ROUNDS = 5 if SOAK else 1
SEED = 20261123


@dataclass
class Absence:
    """How long a device was without a node."""

    node: str
    began: float
    ended: float | None = None


@dataclass
class Load:
    """Devices on all nodes, some of which write all the time; every one notes when it had no node, and why."""

    cluster: LocalCluster
    recorder: Recorder = field(default_factory=Recorder)
    devices: list[RecordedDevice] = field(default_factory=list)
    absences: dict[str, list[Absence]] = field(default_factory=dict)
    told: dict[str, list[tuple[str, float]]] = field(default_factory=dict)  # device -> draining node, when
    sent: dict[str, tuple[str, float, float]] = field(default_factory=dict)  # text -> device, begun, acked
    unknown: int = 0
    conversation_id: str = ""
    runs: list[tuple[RecordedDevice, str, str]] = field(default_factory=list)  # who asked, conversation, run
    run_nodes: dict[str, list[str]] = field(default_factory=dict)  # run -> the nodes of its attempts

    async def start(self) -> None:
        """Connect the devices and let them write."""
        urls = self.cluster.urls
        for index in range(DEVICES):
            home = index % len(urls)
            _, token = await guest_token(urls[home], f"Dev {index}")
            client = ChatClient(urls[home:] + urls[:home], token, give_up_after=40)
            device = RecordedDevice(f"device-{index}", client, self.recorder)
            self.devices.append(device)
            self.told[device.name] = []
            client.on("session:ended", partial(self._was_told, device.name, client))
            await client.connect()
        conversation = await self.devices[0].create("load", agent="off")
        self.conversation_id = conversation.id
        for device in self.devices[1:]:
            await device.join(conversation.id)
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._watch(device)) for device in self.devices]
        self._writers = [asyncio.create_task(self._write(device)) for device in self.devices[:WRITERS]]

    def _was_told(self, name: str, client: ChatClient, payload: dict[str, Any]) -> None:
        self.told[name].append((client.node, time.monotonic()))

    async def ask(self, conversations: int) -> None:
        """Begin a run in each of some conversations, and wait until some node has taken it."""
        for device in self.devices[-conversations:]:
            device.client.on("run:changed", self._runs_on)
            changed: Inbox[dict[str, Any]] = Inbox()
            device.client.on("run:changed", changed)
            conversation = await device.create("asks", agent="always")
            ack = await device.send(conversation.id, "What can you do?")
            assert ack.run_id is not None
            self.runs.append((device, conversation.id, ack.run_id))
            await changed.first(lambda told: told["run"]["status"] == "running", "the run's start", 10)

    def _runs_on(self, told: dict[str, Any]) -> None:
        run = told["run"]
        nodes = self.run_nodes.setdefault(run["run_id"], [])
        if run["attempt"] > len(nodes):
            nodes.append(run["node"])

    async def finish(self) -> Report:
        """Stop writing, wait until all are level, and have it judged."""
        self._stop.set()
        await asyncio.gather(*self._writers)
        for device, conversation_id, run_id in self.runs:
            assert await device.ended(conversation_id, run_id, 30), run_id
            device.settle(conversation_id)
            log = await device.record_log(conversation_id)
            assert device.entries[conversation_id] == log
            assert [entry.type for entry in log if entry.data.get("run_id") == run_id] == ["message", "answer"]
        head = (await self.devices[0].conversation(self.conversation_id).log())[-1].seq
        for device in self.devices:
            assert await device.reaches(self.conversation_id, head, 20), device.name
            device.settle(self.conversation_id)
        log = await self.devices[0].record_log(self.conversation_id)
        for device in self.devices:
            assert device.entries[self.conversation_id] == log, device.name
        return check(self.recorder.history())

    async def close(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._writers, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(device.close() for device in self.devices))

    def on_node(self, port: int) -> list[RecordedDevice]:
        return [device for device in self.devices if device.client.node == str(port)]

    async def all_online(self, away_from: str | None = None) -> None:
        """Wait until every device has a node, another one than that."""
        await poll(
            lambda: all(d.client.online and d.client.node != away_from for d in self.devices),
            f"all devices away from {away_from}",
            30,
            came=lambda: {device.name: (device.client.online, device.client.node) for device in self.devices},
        )

    def recoveries(self, names: set[str], since: float) -> list[float]:
        """For each of these devices, how long after `since` it was level again on another node."""
        return [
            max(
                absence.ended or time.monotonic()
                for absence in self.absences[name]
                if absence.began >= since - 0.1
            )
            - since
            for name in names
            if any(absence.began >= since - 0.1 for absence in self.absences[name])
        ]

    def latencies(self, names: set[str], began: float, ended: float) -> list[float]:
        """Send to delivery between these devices, of what they sent in this time."""
        times: list[float] = []
        for device in self.devices:
            if device.name not in names:
                continue
            for entry in device.entries[self.conversation_id]:
                sender, sent_at, _ = self.sent.get(entry.text, ("", 0.0, 0.0))
                if sender in names and began <= sent_at < ended:
                    times.append(device.arrived[entry.data["request_id"]] - sent_at)
        return times

    async def _write(self, device: RecordedDevice) -> None:
        number = 0
        chance = random.Random(f"{SEED} {device.name}")
        while not self._stop.is_set():
            number += 1
            text = f"{device.name} {number}"
            began = time.monotonic()
            self.sent[text] = device.name, began, 0.0
            try:
                await device.send(self.conversation_id, text)
                self.sent[text] = device.name, began, time.monotonic()
            except RoomgraphError:
                self.unknown += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), chance.uniform(0.5, 1.5) * PERIOD_S)

    async def _watch(self, device: RecordedDevice) -> None:
        absences = self.absences.setdefault(device.name, [])
        node = device.client.node
        while True:
            await asyncio.sleep(0.01)  # the resolution of what is measured
            away = absences[-1] if absences and absences[-1].ended is None else None
            if device.client.online:
                if away is not None:
                    away.ended = time.monotonic()
                node = device.client.node
            elif away is None:
                absences.append(Absence(node, time.monotonic()))


async def run(start_cluster, fault: Callable[[Load], Awaitable[None]]) -> Load:
    """Load before, during and after a fault; nothing may be lost, doubled, reordered, or left unrepaired."""
    cluster = await start_cluster(nodes=3, WORD_DELAY="0.2")
    load = Load(cluster)
    try:
        await load.start()
        await asyncio.sleep(1)  # of load as it is without a fault
        for _ in range(ROUNDS):
            await fault(load)
        await asyncio.sleep(1)  # of load after the faults
        report = await load.finish()
    finally:
        await load.close()
    print(f"\n{report.sent} sent, {report.acked} acked, {report.lost} lost, {report.duplicated} doubled")
    assert report.anomalies == ()
    assert load.unknown == 0, "the SDK repairs every send that was left without an answer"
    assert report.acked == report.sent
    return load


async def test_a_killed_nodes_devices_recover_within_three_seconds_and_the_others_go_on(start_cluster):
    recovered: list[float] = []
    beside: list[float] = []

    async def kill(load: Load) -> None:
        # With every round another node: the last one's devices have come to it by then.
        port = max(load.cluster.ports, key=lambda port: len(load.on_node(port)))
        moved = {device.name for device in load.on_node(port)}
        others = {device.name for device in load.devices} - moved
        began = time.monotonic()
        await load.cluster.signal_node(port, signal.SIGKILL)
        await load.all_online(away_from=str(port))
        await asyncio.sleep(3)  # what the others see meanwhile
        ended = time.monotonic()
        recovered.extend(load.recoveries(moved, began))
        beside.extend(load.latencies(others, began, ended))
        await load.cluster.start_node(port)

    await run(start_cluster, kill)
    print(f"devices of the killed node: level again after {ms(recovered)}")
    print(f"others, send to delivery meanwhile: {ms(beside)}")
    assert len(recovered) >= DEVICES // 3
    assert quantile(recovered, 0.99) < 3.0
    assert quantile(beside, 0.99) < 1.0


async def test_a_paused_nodes_devices_move_and_what_it_does_on_waking_changes_nothing(start_cluster):
    recovered: list[float] = []
    beside: list[float] = []

    async def pause(load: Load) -> None:
        await load.ask(6)
        port = next(port for port in load.cluster.ports if any(n == [str(port)] for n in load.run_nodes.values()))
        owned = [run_id for run_id, nodes in load.run_nodes.items() if nodes[-1] == str(port)]
        moved = {device.name for device in load.on_node(port)}
        writers = {device.name for device in load.devices[:WRITERS]} & moved
        others = {device.name for device in load.devices} - moved
        began = time.monotonic()
        await load.cluster.signal_node(port, signal.SIGSTOP)
        await asyncio.sleep(10)  # the length of the pause is the fault itself
        ended = time.monotonic()
        try:
            # One that only listens hears nothing for 8 s before it goes; a busy machine adds to that.
            await poll(lambda: not load.on_node(port), "all have gone elsewhere while the node stands still", 20)
        finally:
            await load.cluster.signal_node(port, signal.SIGCONT)
        await asyncio.sleep(2)  # it finds out what has become of its sessions and of its runs
        active, idle = load.recoveries(writers, began), load.recoveries(moved - writers, began)
        taken = sum(1 for run_id in owned if len(load.run_nodes[run_id]) > 1)
        print(f"\nof the paused node's {len(owned)} runs {taken} were seen taken over")
        print(f"its devices, level again: those that write after {ms(active)}, those that listen after {ms(idle)}")
        recovered.extend([*active, *idle])
        beside.extend(load.latencies(others, began, ended))

    await run(start_cluster, pause)
    print(f"devices of the paused node: level again after {ms(recovered)}")
    print(f"others, send to delivery meanwhile: {ms(beside)}")
    assert max(recovered) < 10.0
    assert quantile(beside, 0.99) < 1.0


async def test_a_rolling_restart_of_all_nodes_loses_nothing_and_every_device_is_told(start_cluster):
    told: list[float] = []
    recovered: list[float] = []
    delivered: list[float] = []

    async def restart_all(load: Load) -> None:
        started = time.monotonic()
        for port in load.cluster.ports:
            there = {device.name for device in load.on_node(port)}
            began = time.monotonic()
            stopping = asyncio.create_task(load.cluster.signal_node(port, signal.SIGTERM))
            await load.all_online(away_from=str(port))
            await stopping
            told.extend(at - began for name in there for node, at in load.told[name] if at >= began)
            assert all(load.told[name][-1][0] == str(port) for name in there), "every one of them was told"
            back = load.recoveries(there, began)
            print(f"\n{len(back)} devices came back over {(max(back) - min(back)) * 1000:.0f} ms")
            recovered.extend(back)
            await load.cluster.start_node(port)
        delivered.extend(load.latencies({device.name for device in load.devices}, started, time.monotonic()))

    await run(start_cluster, restart_all)
    print(f"told after {ms(told)}; level again on another node after {ms(recovered)}")
    print(f"all, send to delivery meanwhile: {ms(delivered)}")
    assert max(told) < 1.0
    assert quantile(recovered, 0.99) < 3.0
