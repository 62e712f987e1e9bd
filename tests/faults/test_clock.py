"""A node whose clock is an hour wrong: nobody is put out, no lease is lost, tokens serve, times are Redis' own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from roomgraph.tour.moved_clock import FILE as CLOCK_FILE
from sio_clients import ChatClient, Conversation, guest_token
from sio_server.gateway.sessions.auth import Tokens
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import Entry
from tests.conftest import SECRET
from tests.integration.test_bus import ready
from tests.waiting import first_of

pytestmark = pytest.mark.faults

SOAK = bool(os.environ.get("SOAK"))
WATCHED_S = 60 if SOAK else 9  # longer than a node may be silent, and than three leases


@contextmanager
def other_clock(cluster: LocalCluster, folder: Path, ahead_s: int) -> Iterator[None]:
    """Nodes that are started meanwhile have a clock that is so many seconds ahead.

    Within Python: libfaketime breaks waits of threads by the monotonic clock, and with them Python's global lock.
    """
    clock = folder / f"clock{ahead_s}"
    clock.write_text(str(ahead_s))
    before, command = dict(cluster.settings), cluster.node_command
    cluster.settings = {**before, CLOCK_FILE: str(clock)}
    cluster.node_command = [sys.executable, "-m", "roomgraph.clock_node", "node"]
    try:
        yield
    finally:
        cluster.settings, cluster.node_command = before, command


def age_s(ts: str) -> float:
    return abs((datetime.now(UTC) - datetime.fromisoformat(ts)).total_seconds())


async def end_of_run(conversation: Conversation, input_seq: int) -> Entry:
    """The final entry of the run for a message."""
    return await first_of(
        conversation.entries(),
        lambda entry: entry.data.get("input_seq") == input_seq,
        f"the end of run {input_seq}",
        30,
    )


@pytest.mark.parametrize("ahead_s", [3600, -3600])
async def test_a_node_whose_clock_is_an_hour_wrong_is_as_good_as_any(start_cluster, tmp_path, ahead_s):
    cluster = await start_cluster(nodes=3, WORD_DELAY="0.15")
    wrong = cluster.ports[0]
    await cluster.signal_node(wrong, signal.SIGTERM)
    with other_clock(cluster, tmp_path, ahead_s):
        await cluster.start_node(wrong)

    # Tokens of either kind of node serve on the other; those of a service with the right time, short ones too.
    tokens = [(await guest_token(url, f"Guest {n}"))[1] for n, url in enumerate(cluster.urls)]
    tokens.append(Tokens(SECRET, "roomgraph").issue("short", "Short", 300))
    clients = [ChatClient(url, token) for token in tokens for url in cluster.urls]
    try:
        await asyncio.gather(*(client.connect() for client in clients))
        there = {client.node for client in clients}
        assert there == {str(port) for port in cluster.ports}
        lost: list[object] = []
        offline: list[dict[str, Any]] = []
        for client in clients:
            client.on("session:ended", lost.append)
            client.on("session:opened", lost.append)
            client.on("run:changed", lambda told: lost.append(told) if told["run"]["version"] > 1 else None)
            client.on("presence:changed", lambda p: offline.append(p) if not p["online"] else None)
        talk = await clients[0].create(access="open", graph="echo")
        views = [talk, *[await client.join(talk.id) for client in clients[1:]]]

        began, turns = time.monotonic(), 0
        while time.monotonic() - began < WATCHED_S:
            # Asked on every node in turn, and answered by whichever takes the run, also by the one that is wrong.
            view = views[turns % len(views)]
            ack = await view.send(f"turn {turns}: so many words that it takes longer than a lease would last")
            assert age_s(ack.ts) < 30
            turns += 1
            await end_of_run(talk, ack.seq)
        entries = await talk.log()
        answers = [entry for entry in entries if entry.type in ("answer", "failed", "stopped")]
        assert [answer.type for answer in answers] == ["answer"] * turns
        assert {answer.data["attempt"] for answer in answers} == {1}, "no lease was lost"
        assert all(age_s(entry.ts) < 120 for entry in entries)
        assert [entry.ts for entry in entries] == sorted(entry.ts for entry in entries)
        assert (lost, offline) == ([], []), "no device was put out"
        for device in await clients[0].devices():
            assert age_s(device.last_seen) < 30
        for url in cluster.urls:
            assert (await ready(url))[0] == 200
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_the_agent_continues_from_where_a_node_with_another_clock_has_brought_it(start_cluster, tmp_path):
    # The concierge asks over several turns; each is executed by the one node that may execute runs.
    cluster = await start_cluster(nodes=2, RUN_CONCURRENCY="0")
    one, two = cluster.ports
    _, token = await guest_token(cluster.urls[1], "Ann")

    async def executes(port: int, **settings: str) -> None:
        await cluster.signal_node(port, signal.SIGTERM)
        before = dict(cluster.settings)
        cluster.settings = {**before, **settings}
        await cluster.start_node(port)
        cluster.settings = before

    async with ChatClient(cluster.urls, token) as ann:
        talk = await ann.create(graph="concierge")

        async def answer_to(text: str) -> Entry:
            return await end_of_run(talk, (await talk.send(text)).seq)

        with other_clock(cluster, tmp_path, 3600):
            await executes(one, RUN_CONCURRENCY="4")
        asked = await answer_to("a workshop room tomorrow at 10, please")
        assert asked.type == "answer"
        await executes(one, RUN_CONCURRENCY="0")
        await executes(two, RUN_CONCURRENCY="4")
        asked = await answer_to("for 6 people")
        # It knows what it was told under the other clock: nothing is missing, so it asks for the approval.
        assert asked.type == "interrupt", asked.text
