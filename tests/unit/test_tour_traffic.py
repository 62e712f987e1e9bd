"""Whether everything that was asked has an end, as the scenes judge it: by the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from roomgraph.check import Recorder
from roomgraph.check.recording import RecordedDevice
from roomgraph.tour import traffic
from roomgraph.tour.traffic import Traffic
from sio_clients.errors import ConversationReset
from sio_server.protocol.events import Entry

QUESTIONS = 40
ASKED = "room"


def entry(seq: int, kind: str, **data: Any) -> Entry:
    return Entry(v=1, conversation_id=ASKED, epoch="e", seq=seq, type=kind, ts="", data=data)


def question(seq: int) -> Entry:
    return entry(seq, "message", request_id=f"m-{seq}", text="well?")


def answer(seq: int, asked: int, run_id: str | None = None) -> Entry:
    return entry(seq, "answer", run_id=run_id or f"r-{asked}", attempt=1, input_seq=asked)


class Room:
    """A conversation, as a device follows it: the server hands it `to_come`, in this order."""

    id = ASKED
    card = position = None
    runs: dict[str, Any] = {}

    def __init__(self) -> None:
        self.to_come: asyncio.Queue[Entry | ConversationReset] = asyncio.Queue()

    async def entries(self) -> AsyncIterator[Entry]:
        while True:
            item = await self.to_come.get()
            if isinstance(item, ConversationReset):
                raise item
            yield item


class Played:
    """The traffic of a scene whose first device follows `room`, of which the log is `log`."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.room = Room()
        self.on_read: Callable[[], None] = lambda: None
        client: Any = SimpleNamespace(on=lambda event, handler: None, request=self._read)
        self.device = RecordedDevice("ann", client, Recorder())
        self.device._follow(self.room)  # type: ignore[arg-type]
        stage: Any = SimpleNamespace(devices=[self.device])
        self.traffic = Traffic(stage)
        self.traffic.asked = [ASKED]

    async def _read(self, event: str, request: dict[str, Any]) -> dict[str, Any]:
        page = [one.model_dump() for one in self.log if one.seq > request["after"]][: request["limit"]]
        self.on_read()
        return {"entries": page, "head": self.log[-1].seq}

    def give(self, *items: Entry | ConversationReset) -> None:
        for item in items:
            self.room.to_come.put_nowait(item)


@pytest.fixture
async def played(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Played]:
    monkeypatch.setattr(traffic, "WAIT_S", 0.05)  # nothing comes that has not been given before
    one = Played()
    yield one
    for reader in one.device._readers:
        reader.cancel()
    await asyncio.gather(*one.device._readers, return_exceptions=True)


async def test_a_device_that_started_over_lacks_old_ends_and_the_log_has_them(played):
    """After a promotion a device has the latest entries only, of a log in which every question is answered."""
    for seq in range(1, 2 * QUESTIONS, 2):
        played.log += [question(seq), answer(seq + 1, seq)]
    played.give(*played.log, ConversationReset("new_epoch"), *played.log[-50:])
    assert await played.device.reaches(ASKED, 2 * QUESTIONS, 10)
    assert 1 not in played.device.answered[ASKED]
    assert await played.traffic.runs_end() == 0


async def test_a_question_that_nobody_answers_is_found_after_a_device_started_over(played):
    played.log = [question(1), answer(2, 1), question(3), question(4), answer(5, 4)]
    played.give(*played.log, ConversationReset("new_epoch"), *played.log[-2:])
    assert await played.traffic.runs_end() == 1


@pytest.mark.parametrize("regenerated", [True, False])
async def test_a_run_that_began_without_a_message_must_end_too(played, monkeypatch, regenerated):
    if regenerated:
        played.log = [question(1), answer(2, 1)]
        played.traffic.regenerated = {ASKED: {"r-x"}}
    else:
        asked_back = entry(2, "interrupt", run_id="r-1", attempt=1, input_seq=1)
        played.log = [question(1), asked_back, entry(3, "interrupt_resolved", run_id="r-x")]
    played.give(*played.log)
    assert await played.traffic.runs_end() == 1
    monkeypatch.setattr(traffic, "WAIT_S", 20.0)
    played.on_read = lambda: played.give(answer(4, 1, "r-x"))
    assert await played.traffic.runs_end() == 0, "it ends after the log was read"
