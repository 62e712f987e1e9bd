"""An entry becomes one line of the terminal, and nothing people write can colour or hide it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from sio_clients.chat import describe
from sio_server.protocol.events import Entry

# Not with a backslash at the end.
words = st.text(st.characters(categories=["L", "N"]) | st.sampled_from("[]/\\=#@: "), max_size=30).filter(
    lambda text: not text.endswith("\\")
)


def entry(kind: str, **data: Any) -> Entry:
    stamp = "2025-03-01T14:05:59.123Z"
    return Entry(
        v=1, conversation_id="c", epoch="e", seq=1, type=kind, ts=stamp, data={"user_id": "ann-1", **data}
    )


def shown(line: str) -> str:
    return Text.from_markup(line, emoji=False).plain


def colours(line: str) -> list[str]:
    return [str(span.style) for span in Text.from_markup(line).spans]


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("message", {"name": "Ann", "text": "hello"}, "14:05 Ann: hello"),
        ("answer", {"name": "Concierge", "text": "booked"}, "14:05 Concierge: booked"),
        ("failed", {"name": "Concierge", "reason": "too slow"}, "14:05 Concierge: too slow"),
        ("member_joined", {"name": "Ann"}, "14:05 Ann joined"),
        ("member_left", {"name": "Ann"}, "14:05 Ann left"),
        ("message", {"text": "hello"}, "14:05 ann-1: hello"),
    ],
)
def test_an_entry_is_shown_with_time_name_and_text(kind: str, data: dict[str, Any], line: str) -> None:
    assert shown(describe(entry(kind, **data), "bob-1")) == line


@pytest.mark.parametrize("kind", ["conversation_created", "something_newer"])
def test_an_entry_that_is_not_for_people_is_not_shown(kind: str) -> None:
    assert describe(entry(kind, name="Ann"), "bob-1") == ""


def test_own_messages_those_of_others_and_answers_have_different_colours() -> None:
    message = entry("message", name="Ann", text="hi")
    styles = [
        colours(describe(message, "ann-1")),
        colours(describe(message, "bob-1")),
        colours(describe(entry("answer", name="Ann", text="hi"), "bob-1")),
    ]
    assert styles == [["dim", "green"], ["dim", "cyan"], ["dim", "magenta"]]


@pytest.mark.parametrize("text", ["[red]alarm[/red]", "[/]", "[link=http://x]y[/link]", "a[bold", "[/dim] [b]"])
def test_markup_in_a_text_is_shown_as_it_was_written(text: str) -> None:
    line = describe(entry("message", name="Ann", text=text), "bob-1")
    assert shown(line) == f"14:05 Ann: {text}"
    assert colours(line) == ["dim", "cyan"]


@given(words, words)
def test_no_name_or_text_changes_how_a_line_looks(name: str, text: str) -> None:
    for kind, field in (("message", "text"), ("answer", "text"), ("failed", "reason")):
        line = describe(entry(kind, name=name, **{field: text}), "bob-1")
        assert shown(line) == f"14:05 {name}: {text}"
        assert len(colours(line)) <= 2
    assert shown(describe(entry("member_left", name=name), "bob-1")) == f"14:05 {name} left"
