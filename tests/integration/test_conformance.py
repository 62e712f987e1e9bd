"""The conformance kit: our server and our SDK keep every rule, and a broken client is found out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE
from typing import Any

import pytest

from roomgraph.conform.client_rules import (
    CLIENT_RULES,
    SHOW,
    ClientRule,
    a_client_asks_when_a_number_is_missing,
    a_client_drops_what_it_knows,
    a_client_ignores_what_it_does_not_know,
    judge_client,
)
from roomgraph.conform.report import Outcome, Verdict, conforms
from roomgraph.conform.scripted_room import ROOM
from roomgraph.conform.scripted_server import ScriptedServer
from roomgraph.conform.server_rules import SERVER_RULES
from sio_clients import ChatClient, ConversationReset, RoomgraphError
from sio_clients.conversation import Conversation
from sio_server.protocol.events import Entry
from sio_server.protocol.stream import Stream
from sio_server.tasks import end_tasks
from tests.waiting import within


async def test_our_server_keeps_every_rule_and_the_command_says_so(cluster):
    command = [sys.executable, "-m", "roomgraph", "conform", cluster.urls[0], "--lang", "en"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env={**os.environ, "COLUMNS": "200"})
    async with within(60, "the end of the command"):
        output, _ = await process.communicate()
    printed = output.decode()
    assert process.returncode == 0, printed
    assert printed.count("passed") == len(SERVER_RULES), printed


class ShowingClient:
    """An application of the SDK that says what it shows, as the kit wants it."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.seen: list[int] = []
        self.sending: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        try:
            await self._read()
        finally:
            await end_tasks(list(self.sending))

    async def _read(self) -> None:
        with contextlib.suppress(RoomgraphError):  # at last its session is ended
            while True:
                try:
                    async for entry in self.conversation.entries():
                        self.on_entry(entry)
                    return
                except ConversationReset:
                    self.seen.clear()

    def on_entry(self, entry: Entry) -> None:
        self.seen.append(entry.seq)
        if entry.text == SHOW:
            hidden = self.conversation.stream.hidden
            runs = {run_id: run.text for run_id, run in self.conversation.runs.items()}
            shown = {"entries": [seq for seq in self.seen if seq not in hidden], "runs": runs}
            self.sending.add(asyncio.create_task(self.conversation.send(json.dumps(shown))))


async def verdicts_on_the_sdk(*rules: ClientRule, patience_s: float = 15.0) -> list[Verdict]:
    """Play these rules, or all, with a client of the SDK."""
    server = ScriptedServer(patience_s)
    client = ChatClient(await server.start(), "any-token")
    judging = asyncio.create_task(judge_client(server, rules or CLIENT_RULES))
    tasks: list[asyncio.Task[Any]] = [judging]
    try:
        await client.connect()
        showing = ShowingClient(await client.join(ROOM))
        tasks.append(asyncio.create_task(showing.run()))
        async with within(90, "the verdicts"):
            return await judging
    finally:
        await client.close()
        await end_tasks(tasks)
        await server.stop()


@pytest.mark.faults
async def test_the_sdk_keeps_every_rule_of_a_client():
    verdicts = await verdicts_on_the_sdk()
    assert [verdict for verdict in verdicts if verdict.outcome != Outcome.PASSED] == []
    assert len(verdicts) == len(CLIENT_RULES)


async def test_a_client_that_applies_every_event_as_it_comes_is_found_out(monkeypatch):
    def apply_as_it_comes(self: Stream, step: Any, n: int, event: str, payload: Any) -> None:
        if self.position is not None:
            self._apply_event(step, event, payload)
            self.n = n

    monkeypatch.setattr(Stream, "_on_number", apply_as_it_comes)
    rules = (
        a_client_ignores_what_it_does_not_know,
        a_client_asks_when_a_number_is_missing,
        a_client_drops_what_it_knows,
    )
    verdicts = await verdicts_on_the_sdk(*rules, patience_s=2.0)
    assert not conforms(verdicts)
    assert Outcome.FAILED in {v.outcome for v in verdicts if v.rule == "a_client_asks_when_a_number_is_missing"}
