"""What the log shows of data that is too long for it: never more than fits, and every question keeps its id."""

from __future__ import annotations

from typing import Any

import pytest

from sio_server.conversation.long_entries import shorten
from sio_server.protocol.events import ENTRY_BYTES_SHOWN
from sio_server.store.json_text import to_json

LONG = "长\x01" * 200_000
FORM = {"kind": "review", "dialect": "hitl", "text": "", "actions": [{"name": "book", "decisions": ["approve"]}]}


@pytest.mark.parametrize(
    "value",
    [LONG, {"a": {"b": [LONG, LONG]}}, list(range(100_000)), {str(n): [[n] * 100] * 100 for n in range(100)}],
)
def test_shortened_data_fits_and_its_questions_keep_their_ids_and_forms(value: Any) -> None:
    asked = [{"interrupt_id": f"r:{n}", "value": value, "form": FORM} for n in range(3)]
    data = {"text": LONG, "parts": [{"kind": "text", "speaker": "G", "text": LONG}], "interrupts": asked}
    short = shorten(data)
    assert len(to_json(short).encode()) <= ENTRY_BYTES_SHOWN
    assert [item["interrupt_id"] for item in short["interrupts"]] == ["r:0", "r:1", "r:2"]
    assert [item["form"] for item in short["interrupts"]] == [FORM] * 3
    assert LONG.startswith(short["text"])
    assert len(short["text"]) >= 8192
    assert "parts" not in short


def test_an_answer_is_shortened_to_the_beginning_of_its_text() -> None:
    short = shorten({"text": "x" * 100_000, "tools": [{"id": "1", "result": LONG}], "run_id": "r", "attempt": 1})
    assert short == {"text": "x" * 16384, "tools": [], "run_id": "r", "attempt": 1}
