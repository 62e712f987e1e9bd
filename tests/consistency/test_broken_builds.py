"""A checker that accuses nobody proves nothing: each guarantee is switched off, and it must name the breach.

Real nodes run with one guarantee less (tests/broken/nodes.py), under a workload and the fault against which the
guarantee stands. The whole build passes the very same workload and fault without an anomaly.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from roomgraph.check import AnomalyKind, Execution, Recorder, Report, check
from roomgraph.check.file import read_history, write_history
from roomgraph.check.recording import RecordedDevice
from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import AgentMode, Entry
from sio_server.protocol.stream import Run, Step, Stream
from sio_server.store.connection import connect_blocking
from tests.broken.nodes import BREAKS
from tests.conftest import NODE_SETTINGS, RawClient, free_ports
from tests.graphs.steps import go_key, held_key, noted_key
from tests.waiting import WAIT_S, poll, within

pytestmark = pytest.mark.faults

K = AnomalyKind
LEVEL_S = 8.0  # for what takes a second in the whole build, and never happens in a broken one
OVER = "a run is another node's, or has ended"


class Stage:
    """Two nodes with bad networks at hand, and recorded devices in one conversation."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.recorder = Recorder()
        self.devices: list[RecordedDevice] = []
        self.conversation_id = ""
        # For what waits: the usual connection repeats a command after a second, and what came would be lost.
        self.redis = connect_blocking(cluster.redis_url, WAIT_S)

    async def device(self, name: str, urls: list[str], agent: AgentMode = "off") -> RecordedDevice:
        """Connect a device to the first of these nodes; it creates or joins the conversation."""
        _, token = await guest_token(urls[0], name)
        device = RecordedDevice(name, ChatClient(urls, token, give_up_after=WAIT_S), self.recorder)
        await device.client.connect()
        self.devices.append(device)
        if self.conversation_id:
            await device.join(self.conversation_id)
        else:
            self.conversation_id = (await device.create("broken?", agent=agent)).id
        return device

    def direct(self, node: int) -> str:
        """The address of a node without a proxy between."""
        return f"http://127.0.0.1:{self.cluster.ports[node]}"

    @asynccontextmanager
    async def without_redis(self, node: int) -> AsyncIterator[None]:
        """A node is cut off from Redis: its connections are broken, and it gets no new ones."""
        proxy = self.cluster.redis_proxies[self.cluster.ports[node]]
        targets, proxy.targets = proxy.targets, []
        proxy.reset()
        try:
            yield
        finally:
            proxy.targets = targets

    async def send(self, device: RecordedDevice, *texts: str) -> None:
        for text in texts:
            await device.send(self.conversation_id, text)

    # What the graph does

    async def held(self) -> int:
        """The port of the node on which the graph waits."""
        found: Any = await self.redis.blpop([held_key(self.conversation_id)], timeout=WAIT_S)
        assert found is not None, "the graph does not wait"
        return int(found[1])

    async def go(self, port: int) -> None:
        """Let the graph on a node go on."""
        await self.redis.rpush(go_key(self.conversation_id, port), "go")

    async def lets_go(self, port: int, run_id: str) -> None:
        """Wait until a node has found that the run is not its own any more, or the run has ended."""
        log = self.folder / "logs" / f"node-{port}.log"

        async def has_let_go() -> bool:
            if any(OVER in line and run_id in line for line in log.read_text().splitlines()):
                return True
            return await self.devices[0].ended(self.conversation_id, run_id, 0.02)

        await poll(has_let_go, f"the end of {run_id} on node {port}", WAIT_S)

    async def executions(self) -> list[Execution]:
        """What was executed; its attempts are fencing tokens."""
        lines: Any = await self.redis.lrange(noted_key(self.conversation_id), 0, -1)
        noted = [json.loads(line) for line in lines]
        ended = {tuple(who): at for what, *who, at in noted if what == "ended"}
        began = [(*who, at, ended.get(tuple(who))) for what, *who, at in noted if what == "began"]
        return [Execution(*facts) for facts in began]

    async def judge(self) -> Report:
        """Wait until all devices are level, as far as they ever will be, and judge what was recorded."""
        log = await self.devices[0].conversation(self.conversation_id).log()
        await asyncio.gather(*(d.reaches(self.conversation_id, log[-1].seq, LEVEL_S) for d in self.devices))
        for device in self.devices:
            assert device.client.online
            device.settle(self.conversation_id)
        await self.devices[0].record_log(self.conversation_id)
        self.recorder.execution(*await self.executions())
        history = self.recorder.history()
        path = self.folder / f"{self.conversation_id}.jsonl"
        write_history(path, history)
        assert read_history(path) == history
        return check(history)

    async def close(self) -> None:
        await asyncio.gather(*(device.close() for device in self.devices))
        await self.redis.aclose()


# Workloads


def _ends_with(text: str, entries: list[Entry]) -> bool:
    return entries[-1].text == text


def _says_something(device: RecordedDevice, conversation_id: str, run_id: str) -> bool:
    run = device.conversation(conversation_id).runs.get(run_id)
    return run is not None and bool(run.text)


async def replies_are_lost(stage: Stage) -> None:
    """The node's reply does not come: the message is logged, and the client sends it again to another node."""
    writer = await stage.device("Writer", stage.cluster.urls)
    reader = await stage.device("Reader", [stage.direct(1)])
    await stage.send(writer, "hello")
    for number in range(3):
        proxy = stage.cluster.node_proxies[int(writer.client.node)]
        proxy.down.blackhole = True
        text = f"is there an echo? {number}"
        sending = asyncio.create_task(stage.send(writer, text))
        assert await reader.until(stage.conversation_id, partial(_ends_with, text), WAIT_S)
        proxy.reset()
        proxy.down.blackhole = False
        await sending
    await stage.send(writer, "goodbye")


async def a_node_is_deaf(stage: Stage) -> None:
    """While a node is cut off from Redis, others write."""
    writer = await stage.device("Writer", [stage.direct(0)])
    await stage.device("Reader", [stage.direct(1)])
    await stage.send(writer, "before")
    async with stage.without_redis(1):
        await stage.send(writer, "one", "two", "three")
    await stage.send(writer, "after")


async def the_store_is_away(stage: Stage) -> None:
    """Messages are sent while the node cannot reach Redis."""
    writer = await stage.device("Writer", [stage.direct(0)])
    await stage.device("Reader", [stage.direct(1)])
    await stage.send(writer, "before")
    async with stage.without_redis(0):
        sending = asyncio.create_task(stage.send(writer, "one", "two"))
        await asyncio.wait({sending}, timeout=1.5)  # the length of the cut is the fault itself
    await sending
    await stage.send(writer, "after")


async def the_way_to_redis_is_unsteady(stage: Stage) -> None:
    """A client sends many messages in a row, and does not wait for the acks between."""
    reader = await stage.device("Reader", [stage.direct(0)])
    raw = RawClient()
    _, token = await guest_token(stage.direct(0), "Raw")
    await raw.connect(stage.direct(0), {"token": token})
    loop, acks = asyncio.get_running_loop(), asyncio.Queue[None]()
    await raw.call("conversation:join", {"conversation_id": stage.conversation_id})
    proxy = stage.cluster.redis_proxies[stage.cluster.ports[0]]
    proxy.up.jitter_s = 0.05
    try:
        for number in range(30):
            request_id, text = uuid.uuid4().hex, f"in a row {number}"

            def acked(ack: dict[str, Any], request_id: str = request_id) -> None:
                assert ack["ok"], ack
                stage.recorder.end_send(request_id, "ok", loop.time(), (ack["epoch"], ack["seq"]), ack["run_id"])
                acks.put_nowait(None)

            request = {"conversation_id": stage.conversation_id, "request_id": request_id, "text": text}
            stage.recorder.begin_send(stage.conversation_id, request_id, "Raw", text, loop.time())
            await raw.sio.emit("message:send", request, callback=acked)
        async with within(WAIT_S, "30 acks"):
            for _ in range(30):
                await acks.get()
    finally:
        proxy.up.jitter_s = 0.0
        await raw.sio.disconnect()
    assert reader.client.online


async def an_owner_wakes(stage: Stage) -> None:
    """The node that executes a run is paused, another takes the run, and the first one wakes and goes on."""
    here = await stage.device("Here", [stage.direct(0)], "always")
    await stage.device("There", [stage.direct(1)])
    ack = await here.send(stage.conversation_id, "hold@c hold@words")
    assert ack.run_id is not None
    paused = await stage.held()
    await stage.cluster.signal_node(paused, signal.SIGSTOP)
    try:
        other = await stage.held()
        assert other != paused
        await stage.go(paused)  # what it finds when it wakes
    finally:
        await stage.cluster.signal_node(paused, signal.SIGCONT)
    await stage.lets_go(paused, ack.run_id)
    await stage.go(other)
    for device in stage.devices:
        assert await device.ended(stage.conversation_id, ack.run_id, WAIT_S)


async def an_answer_begins_anew(stage: Stage) -> None:
    """A node is paused when its run has said something, and another answers."""
    here = await stage.device("Here", [stage.direct(0)], "always")
    await stage.device("There", [stage.direct(1)])
    ack = await here.send(stage.conversation_id, "hold@words")
    assert ack.run_id is not None
    paused = await stage.held()
    for device in stage.devices:
        await poll(partial(_says_something, device, stage.conversation_id, ack.run_id), "the first words")
    await stage.cluster.signal_node(paused, signal.SIGSTOP)
    awake = stage.devices[1 - stage.cluster.ports.index(paused)]
    try:
        assert await awake.ended(stage.conversation_id, ack.run_id, WAIT_S)
    finally:
        await stage.cluster.signal_node(paused, signal.SIGCONT)
    await stage.go(paused)
    for device in stage.devices:
        assert await device.ended(stage.conversation_id, ack.run_id, WAIT_S)


Workload = Callable[[Stage], Awaitable[None]]
# What is switched off, the workload and the fault against which it stands, and what the checker must name.
BROKEN: dict[str, tuple[Workload, set[AnomalyKind]]] = {
    "dedupe": (replies_are_lost, {K.DUPLICATE_IN_LOG}),
    "gap_fill": (a_node_is_deaf, {K.MISSING_AT_END}),
    "ack_after_append": (the_store_is_away, {K.LOST_ACKED}),
    "one_at_a_time": (the_way_to_redis_is_unsteady, {K.SEND_ORDER}),
    "fence": (an_owner_wakes, {K.STALE_END}),
    "checkpoints": (an_owner_wakes, {K.STEP_REPEATED}),
}


@asynccontextmanager
async def cluster_of(folder: Path, *command: str) -> AsyncIterator[LocalCluster]:
    settings = {**NODE_SETTINGS, "GRAPH": "tests.graphs.steps:graph", "LOG_LEVEL": "info"}
    cluster = LocalCluster(free_ports(2), 2, folder, settings=settings, proxied=True)
    if command:
        cluster.node_command = [sys.executable, *command]
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """The build as it is."""
    async with cluster_of(tmp_path_factory.mktemp("whole")) as cluster:
        yield cluster


async def play(cluster: LocalCluster, workload: Workload) -> Report:
    stage = Stage(cluster, cluster.data_dir)
    try:
        await workload(stage)
        return await stage.judge()
    finally:
        await stage.close()


WORKLOADS = list(dict.fromkeys([*(workload for workload, _ in BROKEN.values()), an_answer_begins_anew]))


@pytest.mark.parametrize("workload", WORKLOADS)
async def test_the_unbroken_build_keeps_every_promise_under_each_workload(
    whole: LocalCluster, workload: Workload
) -> None:
    report = await play(whole, workload)
    assert report.anomalies == ()
    assert report.acked == report.sent > 0
    assert (report.lost, report.duplicated, report.reordered) == (0, 0, 0)


def test_every_guarantee_that_can_be_switched_off_has_a_workload() -> None:
    assert set(BROKEN) == set(BREAKS)


@pytest.mark.parametrize("guarantee", BROKEN)
async def test_a_build_without_one_guarantee_is_found_out(tmp_path: Path, guarantee: str) -> None:
    workload, kinds = BROKEN[guarantee]
    async with cluster_of(tmp_path, "-m", "tests.broken.nodes", guarantee) as cluster:
        report = await play(cluster, workload)
    assert {anomaly.kind for anomaly in report.anomalies} == kinds, report.anomalies


async def test_a_device_that_does_not_withdraw_text_is_found_out(
    whole: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    see = Stream._apply_run

    def apply_run(self: Stream, step: Step, run: Run) -> None:
        known = self.runs.get(run.run_id)
        see(self, step, run)
        if known is not None:
            run.parts = known.parts

    monkeypatch.setattr(Stream, "_apply_run", apply_run)
    report = await play(whole, an_answer_begins_anew)
    assert {anomaly.kind for anomaly in report.anomalies} == {K.DEAD_TEXT}, report.anomalies
