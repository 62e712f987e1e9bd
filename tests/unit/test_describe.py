"""An entry becomes one line of the terminal, and nothing people write can colour, hide or move it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from roomgraph.chat_lines import describe, describe_run
from roomgraph.questions import chat_texts
from sio_server.protocol.events import Entry
from sio_server.protocol.forms import form_of
from sio_server.protocol.names import printable_name
from sio_server.protocol.stream import Part, Run

STAMP = "2025-03-01T14:05:59.123Z"
HOSTILE = [
    "[red]alarm[/red]",
    "[/]",
    "[link=http://x]y[/link]",
    "a[bold",
    "C:\\",
    "\\[0-9]",
    "x :smile: y",
    "a\\\\\\",
]
tags = st.sampled_from(["[b]", "[/]", "[/b]", "[red]", "[@click=x]", "[link=http://x]", "[", "]", "\\", ":smile:"])
letters = st.characters(categories=["L", "N", "P", "S", "Zs"])
words = st.lists(tags | st.text(letters, max_size=4), max_size=6).map("".join)


def entry(kind: str, **data: Any) -> Entry:
    return Entry(
        v=1, conversation_id="c", epoch="e", seq=1, type=kind, ts=STAMP, data={"user_id": "ann-1", **data}
    )


def line(kind: str, **data: Any) -> Text:
    described = describe(entry(kind, **data), "bob-1")
    assert described is not None
    return described


def printed(text: Text) -> str:
    """What reaches the terminal."""
    console = Console(width=500, color_system=None)
    with console.capture() as shown:
        console.print(text, highlight=False, soft_wrap=True)
    return shown.get()


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        ("message", {"name": "Ann", "text": "hello"}, "14:05 Ann: hello"),
        ("answer", {"name": "Concierge", "text": "booked"}, "14:05 Concierge: booked"),
        ("failed", {"name": "Concierge", "reason": "too slow"}, "14:05 Concierge: too slow"),
        ("member_joined", {"name": "Ann"}, "14:05 Ann joined"),
        ("member_left", {"name": "Ann"}, "14:05 Ann left"),
        ("message", {"text": "hello"}, "14:05 ann-1: hello"),
        (
            "interrupt",
            {
                "name": "Concierge",
                "text": "Shall I?",
                "interrupts": [
                    {"form": form_of({"options": [{"value": "approve", "label": "Book it"}, "no"]})},
                    {"form": form_of(1)},
                ],
            },
            "14:05 Concierge: Shall I?\n      1 Book it\n      2 no",
        ),
        (
            "interrupt_resolved",
            {"by": {"name": "Bob", "device_id": "d1", "device_name": "Phone"}, "value": "approve"},
            "14:05 Bob answered: approve · Phone",
        ),
        (
            "interrupt_resolved",
            {"by": {"name": "Bob", "device_id": "d1", "device_name": ""}, "value": {"ok": True}},
            '14:05 Bob answered: {"ok": true} · d1',
        ),
        ("interrupt_resolved", {"outcome": "superseded"}, "14:05 the question is no longer open"),
        (
            "stopped",
            {"name": "Concierge", "text": "I was ", "by": {"name": "Bob"}},
            "14:05 Concierge: I was [stopped by Bob]",
        ),
        ("stopped", {"name": "Concierge", "text": "", "by": None}, "14:05 Concierge: [stopped by –]"),
    ],
)
def test_an_entry_is_shown_with_time_name_and_text(kind: str, data: dict[str, Any], shown: str) -> None:
    assert line(kind, **data).plain == shown


@pytest.mark.parametrize("kind", ["conversation_created", "something_newer"])
def test_an_entry_that_is_not_for_people_is_not_shown(kind: str) -> None:
    assert describe(entry(kind, name="Ann"), "bob-1") is None


def test_own_messages_those_of_others_and_answers_have_different_colours() -> None:
    message, answer = entry("message", name="Ann", text="hi"), entry("answer", name="Ann", text="hi")
    lines = [describe(message, "ann-1"), describe(message, "bob-1"), describe(answer, "bob-1")]
    styles = [[str(span.style) for span in described.spans] for described in lines if described is not None]
    assert styles == [["dim", "green"], ["dim", "cyan"], ["dim", "magenta"]]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["message", "failed", "member_joined"])
def test_markup_is_shown_as_it_was_written(kind: str, text: str) -> None:
    data = {"name": text, "text": text, "reason": text}
    assert text in printed(line(kind, **data))


@given(name=words.filter(str.strip), text=words)
def test_no_name_or_text_changes_how_a_line_looks(name: str, text: str) -> None:
    assert [str(span.style) for span in line("message", name=name, text=text).spans] == ["dim", "cyan"]
    assert printed(line("message", name=name, text=text)) == f"14:05 {printable_name(name)}: {text}\n"


@pytest.mark.parametrize("control", ["\x1b[2J", "\x9b2J", "\r", "\x08", "\x07", "\u202e", "\u2067"])
def test_no_control_character_reaches_the_terminal(control: str) -> None:
    for kind in ("message", "failed", "member_joined"):
        shown = printed(line(kind, name=f"a{control}", text=f"{control}x", reason=control))
        assert control[0] not in shown


def run(status: str = "running", version: int = 1, withdrawn: tuple[str, ...] = (), node: str = "9202") -> Run:
    parts = [Part(part=number, speaker="Concierge", text=text) for number, text in enumerate(withdrawn)]
    return Run(run_id="r", turn_id=1, status=status, attempt=version, version=version, node=node, withdrawn=parts)


def test_a_run_whose_node_is_silent_is_told_once() -> None:
    assert describe_run(run(), None) is None
    told = describe_run(run("stalled", node="9201"), (1, "running"))
    assert told is not None
    assert told.plain.strip() == "node 9201 is silent; another one will take over"
    assert describe_run(run("stalled"), (1, "stalled")) is None
    assert describe_run(run(), (1, "stalled")) is None


def test_a_run_that_was_taken_over_shows_what_is_withdrawn_struck_out() -> None:
    told = describe_run(run(version=2, withdrawn=("I can book\x1b[2J ", "", "Well")), (1, "stalled"))
    assert told is not None
    lines = [line.strip() for line in told.plain.splitlines()]
    assert lines == ["Concierge: I can book\ufffd[2J", "Concierge: Well", "begun again on node 9202"]
    struck = [told.plain[span.start : span.end].strip() for span in told.spans if "strike" in str(span.style)]
    assert struck == ["I can book\ufffd[2J", "Well"]
    assert describe_run(run(version=2, withdrawn=("I can book",)), (2, "running")) is None


def test_a_run_that_begins_or_is_begun_again_before_it_said_anything_is_told_by_its_answer_alone() -> None:
    assert describe_run(run(version=1), (0, "queued")) is None
    assert describe_run(run(version=2), (1, "running")) is None


PARTS: list[dict[str, Any]] = [
    {"kind": "reasoning", "speaker": "Guide", "text": "two\nrooms"},
    {"kind": "text", "speaker": "Research Agent", "text": "Ada has 12 seats.\nAnd a screen."},
    {"kind": "text", "speaker": "Research Agent", "text": "It is free."},
    {"kind": "text", "speaker": "Guide", "text": "Take [b]Ada[/b]."},
    {
        "kind": "image",
        "speaker": "Guide",
        "text": "",
        "data": {"mime_type": "image/png", "url": "data:image/png;base64,AA"},
    },
    {
        "kind": "file",
        "speaker": "Guide",
        "text": "",
        "data": {"mime_type": "text/csv", "size": 4_200_000, "omitted": "too_large"},
    },
    {
        "kind": "citation",
        "speaker": "Guide",
        "text": "",
        "data": {"title": "Rooms", "url": "https://example.org/ada"},
    },
    {"kind": "data", "speaker": "Guide", "text": "", "data": {"value": {"房间": "Ada"}}},
    {"kind": "hologram", "speaker": "Guide", "text": ""},
]


def test_each_part_of_an_answer_is_a_line_with_its_speaker() -> None:
    assert line("answer", name="Guide", text="Take [b]Ada[/b].", parts=PARTS).plain.split("\n") == [
        "14:05 Guide: ",
        "      thought: two rooms",
        "      Research Agent: Ada has 12 seats.",
        "      And a screen.",
        "      It is free.",
        "      Guide: Take [b]Ada[/b].",
        "      image: image/png",
        "      file: text/csv · too large to be shown (4.2 MB)",
        "      [1] Rooms · https://example.org/ada",
        '      {"房间": "Ada"}',
    ]


def test_parts_are_told_in_chinese_too() -> None:
    shown = describe(entry("answer", name="Guide", text="", parts=PARTS), "bob-1", chat_texts("zh"))
    assert shown is not None
    assert "思考：two rooms" in shown.plain
    assert "文件：text/csv · 过大，无法显示（4.2 MB）" in shown.plain


def test_what_was_said_before_a_question_or_a_stop_is_told_part_by_part() -> None:
    form = form_of("Book it?")
    asked = line("interrupt", name="Guide", text="Book it?", parts=PARTS[1:3], interrupts=[{"form": form}])
    assert "Research Agent: Ada has 12 seats." in asked.plain
    stopped = line("stopped", name="Guide", text="It is", parts=PARTS[1:3], rolled_back=False, by=None)
    assert stopped.plain.endswith("It is free. [stopped by –]")


def test_files_are_shown_by_name_and_size_and_reactions_by_entry() -> None:
    files = [{"name": "a\u202eb.png", "size": 1_234_000}, {"name": "c.txt", "size": 999}]
    shown = line("message", name="Ann", text="see", files=files).plain
    assert shown.endswith("Ann: see\n      file: a\ufffdb.png · 1 MB\n      file: c.txt · 999 B")
    assert "👍" in line("reaction_changed", name="Ann", to=3, reaction="👍", set=True).plain
    assert describe(entry("reaction_changed", name="Ann", to=3, reaction="👍", set=False), "bob-1") is None
