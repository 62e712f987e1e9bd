"""Nothing interrupts a run: real processes are killed, paused and stopped at every boundary, on both savers.

The graph is tests/graphs/steps.py, which does at each point what the message says.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from statistics import median
from typing import Any, TypeVar

import pytest

from sio_clients import ChatClient, Conversation
from sio_server.dialog.reopening import REASONS
from sio_server.gateway.sessions.auth import Tokens
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import Entry
from sio_server.store.connection import connect, connect_blocking
from sio_server.store.keys import ConversationKeys, conversation_channel
from tests.barrier import settled
from tests.bus import hearing
from tests.conftest import NODE_SETTINGS, SECRET, free_ports
from tests.graphs.steps import BLOCK_S, DETAIL, died_key, go_key, held_key, ran_key
from tests.waiting import Changes, poll, within

pytestmark = pytest.mark.faults

TAKEOVER_S = 5.0
PAUSE_S = 7.0  # of SIGSTOP: the lease lasts 3 s, and after 5 s a silent node is taken for dead
AWAKE_S = 1.5  # for a node that wakes, to find that its runs are another's
NODES = 4
SOON, LATE = 0, 1  # the node that gives its runs 0.2 s after SIGTERM, and one that gives them the usual 5 s
FINAL = ("answer", "failed", "stopped", "interrupt")

T = TypeVar("T")


class Device:
    """An SDK client that follows one conversation, and keeps what it sees and when."""

    def __init__(self, client: ChatClient, conversation: Conversation) -> None:
        self.client = client
        self.conversation = conversation
        self.entries: list[Entry] = []
        self.came_at: dict[int, float] = {}  # seq -> monotonic
        self.nodes_at: dict[int, str] = {}  # seq -> the node that it came from
        self.events: list[tuple[str, dict[str, Any], float]] = []
        self.withdrawn: list[tuple[str, str]] = []  # after each takeover: the text, and the one before
        self._changes = Changes(self._seen)
        for name in ("run:changed", "run:written", "session:ended"):
            client.on(name, partial(self._heard, name))
        client.on("session:opened", partial(self._heard, "session:opened"))
        self._reading = asyncio.create_task(self._read())

    def _heard(self, name: str, payload: dict[str, Any]) -> None:
        if payload.get("conversation_id", self.conversation.id) != self.conversation.id:
            return
        if name == "run:changed":
            payload = payload["run"]
            name = f"run:{payload['status']}"
        self.events.append((name, payload, time.monotonic()))
        if name == "run:running" and payload["attempt"] > 1:
            run = self.conversation.runs[payload["run_id"]]
            self.withdrawn.append((run.text, run.withdrawn_text))
        self._changes.changed()

    async def _read(self) -> None:
        async for entry in self.conversation.entries():
            self.entries.append(entry)
            self.came_at[entry.seq] = time.monotonic()
            self.nodes_at[entry.seq] = self.client.node
            self._changes.changed()

    def named(self, name: str, run_id: str | None = None) -> list[dict[str, Any]]:
        return [p for n, p, _ in self.events if n == name and run_id in (None, p.get("run_id"))]

    def when(self, name: str, run_id: str | None = None, attempt: int | None = None) -> float:
        """When the first such event came."""
        return next(
            at
            for n, p, at in self.events
            if n == name and run_id in (None, p.get("run_id")) and attempt in (None, p.get("attempt"))
        )

    async def until(self, holds: Callable[[], T | None], what: str, timeout: float = 20.0) -> T:
        """Wait until `holds()`, looking again whenever something comes; return what it says."""

        def found() -> T | None:
            if self._reading.done():
                self._reading.result()
            return holds()

        return await self._changes.until(found, what, timeout)

    def _seen(self) -> str:
        seen = [(entry.seq, entry.type, entry.text) for entry in self.entries]
        told = [(name, payload.get("attempt"), payload.get("node")) for name, payload, _ in self.events]
        return f"{seen=} {told[-12:]=}"

    def has(self, entries: int) -> bool:
        return len(self.entries) >= entries

    def final(self, input_seq: int) -> Entry | None:
        return next((e for e in self.entries if e.type in FINAL and e.data["input_seq"] == input_seq), None)

    async def final_of(self, input_seq: int, timeout: float = 20.0) -> Entry:
        """The final entry of the message's first run."""
        return await self.until(lambda: self.final(input_seq), f"the end of run {input_seq}", timeout)

    async def started(self, run_id: str, attempt: int = 1) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((p for p in self.named("run:running", run_id) if p["attempt"] == attempt), None)

        return await self.until(found, f"the start of attempt {attempt}")

    async def close(self) -> None:
        await self.client.close()
        await asyncio.gather(self._reading, return_exceptions=True)


class Site:
    """A cluster that outlives the tests: nodes that a test has ended are started again."""

    def __init__(self, cluster: LocalCluster, saver: str) -> None:
        self.cluster = cluster
        self.saver = saver
        self.redis = connect(cluster.redis_url)
        # For what waits: the other one repeats a command after a second, and what came meanwhile would be lost.
        self.waiting = connect_blocking(cluster.redis_url, 30)
        self.takeovers: dict[str, float] = {}
        self._devices: list[Device] = []
        self._number = 0
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._environment = asyncio.Lock()  # held while it is another for the node that is being started

    # Nodes

    async def start(self) -> None:
        await self.cluster.start_redis()
        await asyncio.gather(*(self._start_node(port) for port in self.cluster.ports))

    async def _start_node(self, port: int) -> None:
        async with self._environment:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DRAIN_GRACE", "0.2" if port == self.cluster.ports[SOON] else "5")
                starting = asyncio.create_task(self.cluster.start_node(port))
                await asyncio.sleep(0)  # one step of the loop: the environment is copied in it
        await starting

    def start_again(self, port: int) -> None:
        """Start a node that was ended, while the test continues."""
        self._starting[port] = asyncio.create_task(self._start_node(port))

    async def whole(self, but: int = 0) -> None:
        """Wait until all nodes serve, but for so many that were ended last."""
        while len(self._starting) > but:
            await self._starting.pop(next(iter(self._starting)))

    @property
    def serving(self) -> list[int]:
        """The indexes of the nodes that are not being started."""
        return [n for n, port in enumerate(self.cluster.ports) if port not in self._starting]

    # Devices

    async def devices(self, count: int = 2) -> list[Device]:
        """A new conversation, and devices of different users on different nodes that follow it."""
        self._number += 1
        name = f"f{self._number}-{self.saver}"
        found: list[Device] = []
        for index in range(count):
            serving = self.serving
            client = await self.client(serving[(self._number + index) % len(serving)])
            if index == 0:
                conversation = await client.create(conversation_id=name, access="open", agent="always")
            else:
                conversation = await client.join(name)
            found.append(self.follow(client, conversation))
        return found

    async def client(self, node: int) -> ChatClient:
        urls = self.cluster.urls
        token = Tokens(SECRET, "roomgraph").issue(f"guest-{uuid.uuid4().hex[:8]}", f"Guest {node}", 600)
        client = ChatClient(urls[node:] + urls[:node], token)
        await client.connect()
        return client

    def follow(self, client: ChatClient, conversation: Conversation) -> Device:
        device = Device(client, conversation)
        self._devices.append(device)
        return device

    async def close_devices(self) -> None:
        await asyncio.gather(*(device.close() for device in self._devices))
        self._devices.clear()

    # What the graph does

    async def held_on(self, conversation_id: str) -> int:
        """The index of the node on which the conversation's graph waits."""
        found: Any = await self.waiting.blpop([held_key(conversation_id)], timeout=10)
        assert found is not None, "the graph does not wait"
        return self.cluster.ports.index(int(found[1]))

    async def go(self, conversation_id: str, how: str = "go") -> None:
        await self.redis.rpush(go_key(conversation_id), how)

    async def place(self, commands: str, allowed: set[int]) -> tuple[list[Device], Any, int]:
        """A run that waits where the message says, on one of these nodes, and which; chance decides."""
        for _ in range(40):
            devices = await self.devices()
            ack = await devices[0].conversation.send(commands)
            node = await self.held_on(ack.conversation_id)
            if node in allowed:
                return devices, ack, node
            await self.go(ack.conversation_id)
            await devices[0].final_of(ack.seq)
        raise AssertionError("no run came to that node")

    async def ran(self, conversation_id: str, seq: int) -> list[str]:
        """The nodes of the graph that were executed for a message, in order, with repetitions."""
        every: Any = await self.redis.lrange(ran_key(conversation_id), 0, -1)
        return [item.partition(":")[2] for item in every if item.startswith(f"{seq}:")]

    # What Redis holds

    async def threads(self, conversation_id: str) -> set[str]:
        """All threads of checkpoints that have any key."""
        keys = [key async for key in self.redis.scan_iter(match=f"*{conversation_id}@*", count=1000)]
        found = (re.search(rf"{conversation_id}@\w+#[\w.]+", key) for key in keys)
        return {match[0] for match in found if match}

    async def kept(self, conversation_id: str) -> set[str]:
        """The threads of finished runs that are to be kept, and the one that counts."""
        keys = ConversationKeys(conversation_id)
        current: Any = await self.redis.hget(keys.meta, "thread")
        kept: Any = await self.redis.lrange(keys.threads, 0, -1)
        return {current, *kept}

    async def bells(self, conversation_id: str) -> list[Any]:
        """What the run queue still holds for a conversation."""
        rung: Any = await self.redis.xrange(ConversationKeys(conversation_id).runs)
        return [fields for _, fields in rung if fields["conversation_id"] == conversation_id]

    async def settled(self, conversation_id: str, timeout: float = 8.0) -> None:
        """Wait until nothing is left over: no bell, no lease, no thread but those kept."""
        keys = ConversationKeys(conversation_id)
        left: dict[str, Any] = {}

        async def nothing_is_left() -> bool:
            threads, kept = await self.threads(conversation_id), await self.kept(conversation_id)
            assert threads, "the dialog's state is gone"
            left["threads"] = sorted(threads - kept)
            left["bells"] = await self.bells(conversation_id)
            left["unfinished"] = await self.redis.zcard(keys.unfinished)
            left["retired"] = await self.redis.scard(keys.retired)
            left["lease"] = await self.redis.exists(keys.lease)
            return not any(left.values())

        await poll(nothing_is_left, "the end of all that a run needs", timeout, came=lambda: left)

    def took(self, what: str, seconds: float) -> None:
        self.takeovers[what] = seconds
        print(f"[{self.saver}] {what}: {seconds:.2f} s")


@pytest.fixture(scope="module", params=["redis", "plain"])
async def running(request, tmp_path_factory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp(f"failover-{request.param}")
    settings = {
        **NODE_SETTINGS,
        "GRAPH": "tests.graphs.steps:graph",
        "CHECKPOINTER": request.param,
    }
    site = Site(LocalCluster(free_ports(NODES), NODES, folder, settings=settings), request.param)
    try:
        await site.start()
        yield site
        await site.whole()
        times = sorted(site.takeovers.values())
        if times:
            print(
                f"\n[{site.saver}] takeovers: {len(times)}, min {times[0]:.2f} s, "
                f"median {median(times):.2f} s, max {times[-1]:.2f} s"
            )
    finally:
        await site.redis.aclose()
        await site.waiting.aclose()
        await site.cluster.stop()


@pytest.fixture
async def site(running: Site) -> AsyncIterator[Site]:
    await running.whole(but=1)
    yield running
    await running.close_devices()


def state_in(answer: Entry) -> dict[str, Any]:
    """What the graph's state held when it answered."""
    assert answer.type == "answer", answer.data
    found: dict[str, Any] = json.loads(answer.text)
    return found


def trail(*turns: int, last: int) -> list[str]:
    """What the nodes have written in these turns, and in the last one up to its answer."""
    return [f"{seq}/{node}" for seq in turns for node in "abc"] + [f"{last}/a", f"{last}/b"]


async def assert_all_agree(site: Site, devices: list[Device]) -> list[Entry]:
    """Every device ends with the very log that the server has; nobody sees anything unfinished."""
    log = await devices[0].conversation.log()
    for device in devices:
        await device.until(partial(device.has, len(log)), "the end of the log")
        assert device.entries == log
        assert device.conversation.runs == {}
    newcomer = await site.client(2)
    try:
        assert (await newcomer.join(devices[0].conversation.id)).runs == {}
    finally:
        await newcomer.close()
    finals = [entry.data["run_id"] for entry in log if entry.type in FINAL]
    assert len(finals) == len(set(finals)), "a run has one end"
    return log


async def assert_the_dialog_goes_on(site: Site, devices: list[Device], before: list[Any], **more: Any) -> Any:
    """The next turn is answered at once, and its state holds every turn's writes exactly once. Returns its ack."""
    ack = await devices[0].conversation.send("and now?")
    answer = await devices[0].final_of(ack.seq)
    assert answer.data["attempt"] == 1
    holds = state_in(answer)
    texts = {entry.seq: entry.text for entry in devices[0].entries if entry.type == "message"}
    assert holds["heard"] == [*(texts[turn.seq] for turn in before), "and now?"]
    assert holds["said"] == len(before)
    assert holds["trail"] == trail(*(turn.seq for turn in before), last=ack.seq)
    assert holds["replies"] == more.get("replies", [])
    return ack


# --- kill -9


def has_words(device: Device, run_id: str) -> bool:
    """Whether the device shows words of a run: `run:written` may tell no more than what its nodes report."""
    run = device.conversation.runs.get(run_id)
    return run is not None and run.text != ""


BOUNDARIES = {
    # the message, and which nodes of the graph are executed again
    "before the first checkpoint": ("kill@input", "abc"),
    "in the first node": ("kill@a", "aabc"),
    "in the second node": ("kill@b", "abbc"),
    "while a node's writes are merged": ("kill@merge", None),
    "in the last node": ("kill@c", "abcc"),
    "while streaming": ("hold@words", "abcc"),
    "between the last checkpoint and the answer": ("kill@end", "abc"),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
async def test_a_killed_nodes_run_is_finished_by_another_within_five_seconds(site, boundary):
    commands, executions = BOUNDARIES[boundary]
    devices = await site.devices()
    here = devices[0]
    conversation_id = here.conversation.id
    first = await here.conversation.send("hello")
    assert state_in(await here.final_of(first.seq))["trail"] == trail(last=first.seq)

    ack = await here.conversation.send(commands)
    victim = int((await here.started(ack.run_id))["node"])
    if commands == "hold@words":
        for device in devices:
            await device.until(lambda d=device: has_words(d, ack.run_id), "the first words")
        assert here.conversation.runs[ack.run_id].text
        await site.go(conversation_id, "kill")
    died: Any = await site.waiting.blpop([died_key(conversation_id)], timeout=10)
    assert died is not None, "nobody was killed"
    await site.cluster.signal_node(victim, signal.SIGKILL)  # it is dead: this waits for its end
    answers = [await device.final_of(ack.seq) for device in devices]
    site.start_again(victim)

    survivors = [device for device in devices if device.nodes_at[answers[0].seq] != str(victim)]
    took = min(device.came_at[answers[0].seq] for device in survivors) - float(died[1])
    site.took(boundary, took)
    assert took < TAKEOVER_S
    assert (answers[0].type, answers[0].data["run_id"], answers[0].data["attempt"]) == ("answer", ack.run_id, 2)
    assert state_in(answers[0])["trail"] == trail(first.seq, last=ack.seq)

    told = [device for device in devices if device.named("run:stalled", ack.run_id)]
    assert told, (
        "the devices that stayed online are told that the run's node is silent, then that it is taken over"
    )
    for device in told:
        assert [event["attempt"] for event in device.named("run:stalled", ack.run_id)] == [1]
        ((text, withdrawn),) = device.withdrawn
        assert text == ""
        if commands != "kill@end":  # then it depends on how long the last checkpoint took
            assert bool(withdrawn) is (commands == "hold@words")
        assert int((await device.started(ack.run_id, 2))["node"]) != victim

    ran = await site.ran(conversation_id, ack.seq)
    if executions is None:  # whether b's writes were stored before the state they belong to is chance
        assert "".join(ran) in ("abc", "abbc")
    else:
        assert "".join(ran) == executions
    await assert_all_agree(site, devices)
    await assert_the_dialog_goes_on(site, devices, [first, ack])
    await site.settled(conversation_id)


async def test_a_node_killed_right_after_the_answer_was_written_leaves_nothing_to_repeat(site):
    devices = await site.devices()
    conversation_id = devices[0].conversation.id
    first = await devices[0].conversation.send("hello")
    await devices[0].final_of(first.seq)
    async with hearing(site.waiting, conversation_channel(conversation_id)) as ear:
        ack = await devices[0].conversation.send("hold@c")
        node = site.cluster.ports[await site.held_on(conversation_id)]
        await site.go(conversation_id)
        while '"type":"answer"' not in await ear.text(10):  # looked for as text: each millisecond counts
            pass
        await site.cluster.signal_node(node, signal.SIGKILL)
    answer = await devices[0].final_of(ack.seq)
    assert answer.data["attempt"] == 1
    # Whoever takes the bell that the dead node has left finds nothing to do.

    async def is_quiet() -> bool:
        return not await site.bells(conversation_id)

    await poll(is_quiet, "the end of the dead node's bell", 10)
    site.start_again(node)
    assert "".join(await site.ran(conversation_id, ack.seq)) == "abc"
    await assert_all_agree(site, devices)
    await assert_the_dialog_goes_on(site, devices, [first, ack])
    await site.settled(conversation_id)


# --- SIGSTOP


async def test_a_node_that_was_paused_changes_nothing_when_it_wakes(site):
    await site.whole()
    # On one node, four conversations are in the midst of a turn. When it wakes, the graph continues in one of its
    # nodes, as the owner that the node takes itself for; or it fails, as one does whose own connections are lost.
    sleeper = -1
    paused: list[tuple[str, str, list[Device], Any]] = []
    for point, how in (("a", "go"), ("b", "go"), ("c", "go"), ("b", "fail")):
        allowed = set(range(NODES)) if sleeper < 0 else {sleeper}
        devices, ack, sleeper = await site.place(f"hold@{point}", allowed)
        paused.append((point, how, devices, ack))
    port = site.cluster.ports[sleeper]
    awake = [next(device for device in devices if device.client.node != str(port)) for _, _, devices, _ in paused]
    stopped_at = time.monotonic()
    await site.cluster.signal_node(port, signal.SIGSTOP)
    try:
        for _, how, _, ack in paused:
            await site.go(ack.conversation_id, how)  # it gets this the moment it wakes
        for device, (point, how, _, ack) in zip(awake, paused, strict=True):
            answer = await device.final_of(ack.seq)
            took = device.came_at[answer.seq] - stopped_at
            site.took(f"paused in {point}, then to {how}", took)
            assert took < TAKEOVER_S
            assert answer.data["attempt"] == 2
        await asyncio.sleep(max(0.0, stopped_at + PAUSE_S - time.monotonic()))
    finally:
        await site.cluster.signal_node(port, signal.SIGCONT)
    # A turn beside its awakening, in each of them, and more when it knows that the runs are not its own.
    turns = [
        [ack, await assert_the_dialog_goes_on(site, [device], [ack])]
        for device, (_, _, _, ack) in zip(awake, paused, strict=True)
    ]
    await asyncio.sleep(AWAKE_S)
    for device, (point, _, devices, ack), before in zip(awake, paused, turns, strict=True):
        before.append(await assert_the_dialog_goes_on(site, [device], before))
        await site.settled(ack.conversation_id)
        # What it did before it knew cannot be undone outside the state: it may have entered the next node.
        assert (await site.ran(ack.conversation_id, ack.seq)).count(point) == 2
        log = await assert_all_agree(site, devices)
        finals = [(entry.type, entry.data["input_seq"]) for entry in log if entry.type in FINAL]
        assert finals == [("answer", turn.seq) for turn in before]


# --- SIGTERM


async def test_a_stopped_node_hands_its_run_over_at_once_and_its_clients_move_within_a_second(site):
    await site.whole()
    devices, ack, _ = await site.place("hold@b", {SOON})
    port = site.cluster.ports[SOON]
    # Somebody is connected to that very node.
    client = await site.client(SOON)
    assert client.node == str(port)
    local = site.follow(client, await client.join(ack.conversation_id))
    stopped_at = time.monotonic()
    stopping = asyncio.create_task(site.cluster.signal_node(port, signal.SIGTERM))
    try:
        await local.until(lambda: local.named("session:ended"), "session:ended", 2)
        told_at = local.when("session:ended")
        await local.conversation.mark_read(1)  # asked and answered: it is online again
        moved = time.monotonic() - told_at
        print(f"[{site.saver}] a client moved in {moved:.2f} s")
        assert client.node != str(port)
        assert moved < 1.0
        elsewhere = next(device for device in devices if device.client.node != str(port))
        second = await elsewhere.started(ack.run_id, 2)
        assert second["node"] != str(port)
        handed_over = elsewhere.when("run:running", ack.run_id, 2) - stopped_at
        print(f"[{site.saver}] a run was handed over in {handed_over:.2f} s")
        assert handed_over < 1.5
        answer = await elsewhere.final_of(ack.seq)
        assert answer.data["attempt"] == 2
        assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abbc"
    finally:
        async with within(10, "the end of the node"):
            await stopping
        site.start_again(port)
    every = [*devices, local]
    await assert_all_agree(site, every)
    await assert_the_dialog_goes_on(site, every, [ack])
    await site.settled(ack.conversation_id)


async def test_a_stopped_node_ends_a_short_run_by_itself(site):
    await site.whole()
    devices, ack, _ = await site.place("hold@b", {LATE})
    port = site.cluster.ports[LATE]
    client = await site.client(LATE)
    local = site.follow(client, await client.join(ack.conversation_id))
    stopping = asyncio.create_task(site.cluster.signal_node(port, signal.SIGTERM))
    try:
        await local.until(lambda: local.named("session:ended"), "session:ended", 2)
        await site.go(ack.conversation_id)
        answer = await local.final_of(ack.seq)
        assert answer.data["attempt"] == 1
        assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abc"
        async with within(4, "the end of the node, which waits for the run and for no more"):
            await stopping  # it waits for the run, and for no more
    finally:
        async with within(10, "the end of the node"):
            await asyncio.gather(stopping, return_exceptions=True)
        site.start_again(port)
    every = [*devices, local]
    started = [run for device in devices for run in device.named("run:running", ack.run_id)]
    assert {run["attempt"] for run in started} == {1}
    await assert_all_agree(site, every)
    await assert_the_dialog_goes_on(site, every, [ack])
    await site.settled(ack.conversation_id)


# --- graphs that misbehave


async def test_a_graph_that_blocks_its_loop_keeps_its_lease_and_delays_no_socket(site):
    devices = await site.devices()
    ack = await devices[0].conversation.send("block@b")
    node = site.cluster.ports.index(int((await devices[0].started(ack.run_id))["node"]))
    began = time.monotonic()
    here = [await site.client(node) for _ in range(2)]
    assert {client.node for client in here} == {str(site.cluster.ports[node])}
    theirs = await here[0].create(access="open", agent="off")
    writer = site.follow(here[0], theirs)
    reader = site.follow(here[1], await here[1].join(theirs.id))
    slowest = 0.0
    for number in range(20):
        sent_at = time.monotonic()
        sent = await writer.conversation.send(f"message {number}")
        await reader.until(lambda seq=sent.seq: seq in reader.came_at, "the message")
        slowest = max(slowest, time.monotonic() - sent_at)
    assert time.monotonic() - began < BLOCK_S - 1, "all that came while the graph blocked"
    assert not devices[0].final(ack.seq)
    print(f"[{site.saver}] beside a graph that blocks, the slowest message took {slowest:.3f} s")
    assert slowest < 1.0
    answer = await devices[0].final_of(ack.seq)
    assert answer.data["attempt"] == 1
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abc"
    await settled(devices[0].client)
    assert devices[0].named("run:stalled", ack.run_id) == []
    assert devices[0].withdrawn == []
    await assert_all_agree(site, devices)
    await assert_the_dialog_goes_on(site, devices, [ack])
    await site.settled(ack.conversation_id)


async def test_a_graph_that_fails_twice_answers_in_its_third_attempt(site):
    devices = await site.devices()
    ack = await devices[0].conversation.send("fail2@b")
    answer = await devices[0].final_of(ack.seq)
    assert (answer.type, answer.data["attempt"]) == ("answer", 3)
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abbbc"
    await assert_all_agree(site, devices)
    await assert_the_dialog_goes_on(site, devices, [ack])
    await site.settled(ack.conversation_id)


async def test_a_run_continues_from_writes_that_are_stored_but_not_merged_yet(site):
    devices = await site.devices()
    ack = await devices[0].conversation.send("fail@merge")
    answer = await devices[0].final_of(ack.seq)
    assert (answer.type, answer.data["attempt"]) == ("answer", 2)
    assert state_in(answer)["trail"] == trail(last=ack.seq)
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abc"
    await assert_all_agree(site, devices)
    await site.settled(ack.conversation_id)


def assert_told_in_words(failed: Entry) -> None:
    assert (failed.type, failed.data["code"]) == ("failed", "graph_failed")
    reason = failed.data["reason"]
    assert reason == "the agent tried 3 times and could not answer"
    assert DETAIL not in json.dumps(failed.data)
    assert "Traceback" not in json.dumps(failed.data)


async def test_a_graph_that_always_fails_is_executed_three_times_and_ended_with_a_reason(site):
    devices = await site.devices()
    first = await devices[0].conversation.send("hello")
    await devices[0].final_of(first.seq)
    ack = await devices[0].conversation.send("fail@b")
    failed = await devices[0].final_of(ack.seq)
    assert_told_in_words(failed)
    assert failed.data["attempt"] == 3
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abbb"
    await assert_all_agree(site, devices)
    # The dialog stands where it stood before the turn that failed.
    await assert_the_dialog_goes_on(site, devices, [first])
    await site.settled(ack.conversation_id)


async def interrupted(device: Device, after: int) -> dict[str, Any]:
    """The one open question of the first interrupt above a seq."""

    def found() -> Entry | None:
        return next((e for e in device.entries if e.seq > after and e.type in FINAL), None)

    entry = await device.until(found, "a question")
    assert entry.type == "interrupt", entry.data
    assert len(entry.data["interrupts"]) == 1
    return {**entry.data["interrupts"][0], "seq": entry.seq}


async def end_after(device: Device, seq: int) -> Entry:
    """The first final entry above a seq."""
    return await device.until(
        lambda: next((e for e in device.entries if e.seq > seq and e.type in FINAL), None), "the end of a run"
    )


async def test_a_graph_that_fails_on_a_resume_is_tried_again_with_the_same_answer(site):
    devices = await site.devices()
    here = devices[0].conversation
    ack = await here.send("ask@b fail2@b-1")
    asked = await interrupted(devices[0], ack.seq)
    assert asked["value"] == {"text": "question 1"}
    resolved = await here.respond(asked["interrupt_id"], "blue")
    answer = await end_after(devices[0], resolved["seq"])
    assert answer.data["attempt"] == 3
    assert state_in(answer)["replies"] == ["blue"]
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abbbbc"
    await assert_all_agree(site, devices)
    await assert_the_dialog_goes_on(site, devices, [ack], replies=["blue"])
    await site.settled(ack.conversation_id)


async def test_a_graph_that_always_fails_on_a_resume_asks_again_with_a_reason(site):
    devices = await site.devices()
    here = devices[0].conversation
    ack = await here.send("ask@b fail@b-1")
    asked = await interrupted(devices[0], ack.seq)
    resolved = await here.respond(asked["interrupt_id"], "blue")
    again = await end_after(devices[0], resolved["seq"])
    assert (again.type, again.data["reason"]) == ("interrupt", REASONS["graph_failed"])
    assert [item["value"] for item in again.data["interrupts"]] == [asked["value"]]
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == "abbbb"
    await assert_all_agree(site, devices)
    # The next message is answered all the same.
    next_turn = await here.send("and now?")
    answer = await devices[0].final_of(next_turn.seq)
    assert (answer.type, answer.data["attempt"]) == ("answer", 1)
    assert state_in(answer)["heard"][-1] == "and now?"
    assert devices[0].conversation.interrupts == {}
    await site.settled(ack.conversation_id)


@pytest.mark.parametrize(("point", "executions"), [("b-1", "abbbbc"), ("b-2", "abbbbc")])
async def test_after_a_crash_between_two_questions_no_answer_is_taken_for_the_other(site, point, executions):
    devices = await site.devices()
    here = devices[0].conversation
    ack = await here.send(f"ask2@b kill@{point}")
    died_at = 0.0
    position = ack.seq
    for number, colour in enumerate(("red", "green"), 1):
        asked = await interrupted(devices[0], position)
        assert asked["value"] == {"text": f"question {number}"}
        resolved = await here.respond(asked["interrupt_id"], colour)
        position = resolved["seq"]
        if point == f"b-{number}":
            died: Any = await site.waiting.blpop([died_key(here.id)], timeout=10)
            assert died is not None, "nobody was killed"
            died_at = float(died[1])
            run_id = resolved["run_id"]
            victim = int((await devices[0].started(run_id))["node"])
            await site.cluster.signal_node(victim, signal.SIGKILL)
            ends = [await end_after(device, position) for device in devices]
            survivors = [device for device in devices if device.nodes_at[ends[0].seq] != str(victim)]
            took = min(device.came_at[ends[0].seq] for device in survivors) - died_at
            site.took(f"after the answer to question {number}", took)
            assert took < TAKEOVER_S
            assert (ends[0].data["run_id"], ends[0].data["attempt"]) == (run_id, 2)
            site.start_again(victim)
    answer = await end_after(devices[0], position)
    assert state_in(answer)["replies"] == ["red", "green"]
    assert "".join(await site.ran(ack.conversation_id, ack.seq)) == executions
    await assert_all_agree(site, devices)
    await assert_the_dialog_goes_on(site, devices, [ack], replies=["red", "green"])
    await site.settled(ack.conversation_id)
