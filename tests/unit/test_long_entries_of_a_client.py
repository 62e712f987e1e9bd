"""A long entry is read whole by requests, which an outage may fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sio_clients import conversation as module
from sio_clients.conversation import Conversation
from sio_clients.errors import NotConnected, RateLimited, RoomgraphError, Unavailable
from sio_server.protocol.events import Entry
from sio_server.protocol.stream import Step

WHOLE: dict[str, Any] = {"text": "all of it", "run_id": "r"}


class _Client:
    def __init__(self, *errors: RoomgraphError) -> None:
        self.errors = list(errors)

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return {"epoch": "e", "pages": 1, "text": json.dumps(WHOLE)}

    def forget(self, conversation: Conversation, error: RoomgraphError | None = None) -> None: ...


def _entry(seq: int, kind: str = "answer", **more: Any) -> Entry:
    fields = {"v": 1, "conversation_id": "c", "epoch": "e", "seq": seq, "ts": "", "type": kind}
    return Entry.model_validate({**fields, "data": {"text": "all"}, **more})


@pytest.mark.parametrize(
    "error", [NotConnected("away"), Unavailable("no answer"), RateLimited("slower", retry_after_ms=1)], ids=repr
)
async def test_entries_come_in_order_after_an_outage(monkeypatch, error):
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    conversation = Conversation(_Client(error, error), "c")
    conversation._receive(Step(entries=[_entry(1, pages=1), _entry(2)]))
    entries = conversation.entries()
    assert [(await anext(entries)).text, (await anext(entries)).seq] == ["all of it", 2]


async def test_entries_end_when_the_client_is_closed():
    conversation = Conversation(_Client(NotConnected("closed")), "c")
    conversation._receive(Step(entries=[_entry(1, pages=1)]))
    conversation._end()
    assert [entry.text async for entry in conversation.entries()] == ["all"]


async def test_a_question_of_a_long_entry_is_listed_with_its_whole_form_or_not_at_all(monkeypatch):
    short, whole = ({"interrupt_id": "i", "value": None, "form": {"text": text}} for text in ("Bo", "Book it?"))
    monkeypatch.setitem(WHOLE, "interrupts", [whole])
    conversation = Conversation(_Client(), "c")
    entry = _entry(1, "interrupt", data={"text": "", "interrupts": [short]}, pages=1)
    conversation.stream._open([short])
    conversation._receive(Step(entries=[entry]))
    assert not conversation.interrupts
    await anext(conversation.entries())
    assert conversation.interrupts["i"].form == {"text": "Book it?"}
    conversation.stream._open([short])  # as a later sync does
    assert conversation.interrupts["i"].form == {"text": "Book it?"}
