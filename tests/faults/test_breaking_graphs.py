"""A graph can only hurt its own run: real nodes serve one that exits, cancels everything, or kills its process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sio_clients import ChatClient, Conversation, guest_token
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import Entry
from tests.faults.nodes import log_file, metrics
from tests.waiting import poll, within

pytestmark = pytest.mark.faults

FINAL = ("answer", "failed", "interrupt", "stopped")
GRAPH = "tests.graphs.breaking:breaking"
BREAKS = ["exit", "interrupt", "odd", "cancelled", "generator", "tool", "sync-exit"]


class People:
    """Clients of a cluster, each in a conversation of its own."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._open = contextlib.AsyncExitStack()

    async def conversation(self, node: int = 0) -> Conversation:
        urls = self._cluster.urls[node:] + self._cluster.urls[:node]
        _, token = await guest_token(urls[0], "Ann")
        client = await self._open.enter_async_context(ChatClient(urls, token))
        return await client.create(access="open", agent="always")

    async def close(self) -> None:
        await self._open.aclose()


async def final(conversation: Conversation, seq: int, timeout: float = 40.0) -> Entry:
    """The final entry of the run that answers a message."""
    async with within(timeout, f"the end of the run that answers {seq}"):
        async for entry in conversation.entries():
            if entry.type in FINAL and entry.data["input_seq"] == seq:
                return entry
    raise AssertionError


async def ready(port: int) -> dict[str, object]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/ready") as response:
        return dict(await response.json())


@pytest.fixture
async def people(start_cluster, request) -> AsyncIterator[tuple[LocalCluster, People]]:
    cluster = await start_cluster(nodes=request.param, GRAPH=GRAPH, RUN_ATTEMPTS="3")
    made = People(cluster)
    yield cluster, made
    await made.close()


async def assert_all_answer(cluster: LocalCluster, people: People) -> None:
    """Each node is ready, and whoever takes them, runs are answered."""
    for port in cluster.ports:
        assert (await ready(port))["ready"], port
    rooms = [await people.conversation(number % len(cluster.ports)) for number in range(6)]
    sent = [await room.send("hello") for room in rooms]
    ends = await asyncio.gather(*(final(room, ack.seq) for room, ack in zip(rooms, sent, strict=True)))
    assert [(end.type, end.text) for end in ends] == [("answer", "well")] * 6


@pytest.mark.parametrize("people", [2], indirect=True)
async def test_whatever_a_graph_raises_fails_its_run_and_nothing_else_also_after_a_restart(people, tmp_path):
    cluster, people = people
    gate = tmp_path / "gate"
    other = await people.conversation(1)
    waiting = await other.send(f"wait {gate} {tmp_path / 'began'}")
    rooms = [await people.conversation(number % 2) for number in range(len(BREAKS))]
    sent = [await room.send(how) for room, how in zip(rooms, BREAKS, strict=True)]
    ends = await asyncio.gather(*(final(room, ack.seq) for room, ack in zip(rooms, sent, strict=True)))
    told = [(end.type, end.data.get("code"), end.data["attempt"]) for end in ends]
    assert told == [("failed", "graph_failed", 3)] * len(BREAKS)
    loose = await people.conversation()
    assert (await final(loose, (await loose.send("loose")).seq)).type == "answer"
    gate.touch()
    end = await final(other, waiting.seq)
    assert (end.type, end.data["attempt"]) == ("answer", 1)
    await assert_all_answer(cluster, people)
    # The data are kept: a node that starts must not stumble over what the runs have left.
    for port in cluster.ports:
        await cluster.signal_node(port, signal.SIGKILL)
        await cluster.start_node(port)
    await assert_all_answer(cluster, people)


@pytest.mark.parametrize("people", [2], indirect=True)
async def test_a_dialog_that_a_graph_ends_is_told_of_and_started_again_on_each_node(people, tmp_path):
    cluster, people = people
    began = tmp_path / "began"
    room = await people.conversation()
    unready: list[int] = []

    async def watch() -> None:
        while True:
            for port in cluster.ports:
                report = await ready(port)
                if not report["ready"]:
                    assert report["failing_tasks"] == ["dialog"]
                    unready.append(port)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    end = await final(room, (await room.send(f"cancel-all {began}")).seq)
    assert (end.type, end.data.get("code")) == ("failed", "node_lost")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    ports = [int(line) for line in began.read_text().split()]
    assert len(ports) == 2
    assert set(unready) == set(ports)
    for port in set(ports):
        failures = (await metrics(port))['roomgraph_background_task_failures_total{task="dialog"}']
        assert failures == ports.count(port)
        assert "the dialog has ended" in log_file(cluster, port).read_text()
    await assert_all_answer(cluster, people)


@pytest.mark.parametrize("people", [3], indirect=True)
async def test_a_run_that_kills_two_nodes_is_not_given_to_the_third_and_the_others_continue(people, tmp_path):
    cluster, people = people
    gate, began = tmp_path / "gate", tmp_path / "began"
    # On every node there are some, and those of a killed node are taken over together with the run that killed it.
    rooms = [await people.conversation(number % 3) for number in range(6)]
    waiting = [await room.send(f"wait {gate} {tmp_path / f'began-{number}'}") for number, room in enumerate(rooms)]
    for number in range(6):
        await poll((tmp_path / f"began-{number}").exists, "the start of the others")
    room = await people.conversation()
    end = await final(room, (await room.send(f"kill {began}")).seq)
    assert (end.type, end.data.get("code")) == ("failed", "node_lost")
    assert len(began.read_text().split()) == 2
    assert sum(cluster.is_running(port) for port in cluster.ports) == 1
    gate.touch()
    ends = await asyncio.gather(*(final(room, ack.seq) for room, ack in zip(rooms, waiting, strict=True)))
    assert [(one.type, one.data.get("code")) for one in ends] == [("answer", None)] * 6
    for port in cluster.ports:
        await cluster.start_node(port)
    await assert_all_answer(cluster, people)


@pytest.mark.parametrize("people", [3], indirect=True)
async def test_a_run_that_kills_its_node_a_while_after_it_began_gets_two_as_well(people, tmp_path):
    cluster, people = people
    began = tmp_path / "began"
    room = await people.conversation()
    end = await final(room, (await room.send(f"kill-slowly {began}")).seq)
    assert (end.type, end.data.get("code")) == ("failed", "node_lost")
    assert len(set(began.read_text().split())) == 2
    for port in cluster.ports:
        await cluster.start_node(port)
    await assert_all_answer(cluster, people)


VERSION = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
import asyncio
from pathlib import Path

async def first(state):
    return {{"messages": [AIMessage("first of {version}")]}}

async def last(state):
    words = str(state["messages"][-2].text).split(" ")
    if words[0] == "wait":
        Path(words[2]).touch()
        while not Path(words[1]).exists():
            await asyncio.sleep(0.02)
    return {{"messages": [AIMessage("last of {version}")]}}

graph = (
    StateGraph(MessagesState).add_sequence([("first", first), ("last", last)]).add_edge(START, "first")
)
"""


async def test_a_changed_graph_is_served_after_a_rolling_restart_that_loses_no_run(start_cluster, tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "talk.py").write_text(VERSION.format(version="one"))
    (project / "langgraph.json").write_text(json.dumps({"graphs": {"talk": "./talk.py:graph"}}))
    settings = {"LANGGRAPH_JSON": str(project / "langgraph.json"), "DRAIN_GRACE": "0.2"}
    cluster = await start_cluster(nodes=2, **settings)
    people = People(cluster)
    gate = tmp_path / "gate"
    try:
        rooms = [await people.conversation(number % 2) for number in range(4)]
        sent = []
        for number, room in enumerate(rooms):
            sent.append(await room.send(f"wait {gate} {tmp_path / f'began-{number}'}"))
            await poll((tmp_path / f"began-{number}").exists, "the start of the runs")
        (project / "talk.py").write_text(VERSION.format(version="two"))
        for port in cluster.ports:
            await cluster.signal_node(port, signal.SIGTERM)
            await cluster.start_node(port)
        gate.touch()
        ends = await asyncio.gather(*(final(room, ack.seq) for room, ack in zip(rooms, sent, strict=True)))
        assert [(end.type, end.text) for end in ends] == [("answer", "last of two")] * 4
        again = [await room.send("hello") for room in rooms]
        ends = await asyncio.gather(*(final(room, ack.seq) for room, ack in zip(rooms, again, strict=True)))
        assert {end.text for end in ends} == {"last of two"}
    finally:
        await people.close()
