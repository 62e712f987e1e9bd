"""What a final entry keeps of the parts that were said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langgraph.types import Interrupt

from sio_server.dialog.answers import Answer, Questions
from sio_server.dialog.final_entry import final_entry
from sio_server.dialog.outcome import Finish
from sio_server.dialog.streaming import Part
from sio_server.protocol.run import RunStatus

RUN: Any = SimpleNamespace(graph="guide", agent_name="Guide", run_id="r-1")
ANSWERED, ASKED = Finish(RunStatus.ANSWERED), Finish(RunStatus.INTERRUPTED)


def test_an_answer_that_is_one_text_of_the_agents_own_has_no_parts() -> None:
    data, _ = final_entry(RUN, ANSWERED, Answer("Hello", [Part("text", "Guide", "Hello")]))
    assert data["text"] == "Hello"
    assert "parts" not in data


@pytest.mark.parametrize(
    "parts",
    [
        [Part("text", "Finder", "Hello")],
        [Part("reasoning", "Guide", "hm"), Part("text", "Guide", "Hello")],
        [Part("text", "Guide", "Hello"), Part("citation", "Guide", data={"url": "https://example.org"})],
    ],
)
def test_an_answer_keeps_all_parts_that_its_text_does_not_tell(parts: list[Part]) -> None:
    data, _ = final_entry(RUN, ANSWERED, Answer("Hello", parts))
    assert [item["kind"] for item in data["parts"]] == [part.kind for part in parts]
    assert [item["speaker"] for item in data["parts"]] == [part.speaker for part in parts]
    assert [item.get("data") for item in data["parts"]] == [part.data for part in parts]


def test_a_question_keeps_what_was_said_before_it_in_text_and_parts() -> None:
    parts = [Part("text", "Finder", "I looked"), Part("text", "Guide", "Found one")]
    data, ids = final_entry(RUN, ASKED, Questions([Interrupt("Book it?", id="i")], parts))
    assert data["text"] == "I looked\n\nFound one\n\nBook it?"
    assert [item["text"] for item in data["parts"]] == ["I looked", "Found one"]
    assert ids == [("r-1:0", "i")]
