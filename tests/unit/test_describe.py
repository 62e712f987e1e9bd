"""An entry becomes one line of the terminal, and nothing people write can colour or hide it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from sio_clients.chat import describe
from sio_server.protocol.events import Entry

tags = st.sampled_from(["[b]", "[/]", "[/b]", "[red]", "[@click=x]", "[link=http://x]", "[", "]"])
letters = st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\")
words = st.lists(tags | st.text(letters, max_size=4), max_size=6).map("".join)


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
    message = describe(entry("message", name="Ann", text=text), "bob-1")
    assert (shown(message), colours(message)) == (f"14:05 Ann: {text}", ["dim", "cyan"])
    failed = describe(entry("failed", name="Ann", reason=text), "bob-1")
    assert (shown(failed), colours(failed)) == (f"14:05 Ann: {text}", ["dim", "red"])


@pytest.mark.parametrize("name", ["[red]Ann[/red]", "[/]", "Ann [b]"])
def test_markup_in_a_name_is_shown_as_it_was_written(name: str) -> None:
    for kind, rest in (("message", ": hi"), ("failed", ": "), ("member_joined", " joined")):
        assert shown(describe(entry(kind, name=name, text="hi"), "bob-1")) == f"14:05 {name}{rest}"


@given(words, words)
def test_no_name_or_text_changes_how_a_line_looks(name: str, text: str) -> None:
    for kind, field in (("message", "text"), ("answer", "text"), ("failed", "reason")):
        line = describe(entry(kind, name=name, **{field: text}), "bob-1")
        assert shown(line) == f"14:05 {name}: {text}"
        assert len(colours(line)) <= 2
    assert shown(describe(entry("member_left", name=name), "bob-1")) == f"14:05 {name} left"
