"""A history that was written is read as it was; a file that is none is refused, with the line that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from roomgraph.check import AnomalyKind, DeviceView, History, RunView, Shown, check
from roomgraph.check.checker import PROMISES
from roomgraph.check.file import BadHistory, read_history, write_history
from roomgraph.cli.app import app
from sio_server.language import load_texts
from tests.histories import (
    ABOUT_MEMBERS,
    ABOUT_RUNS,
    ROOM,
    correct_histories,
    entry,
    good,
    plant,
    with_send,
    with_view,
)

SAME_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAME_FOLDER
@given(history=correct_histories(), kind=st.sampled_from([None, *AnomalyKind]), data=st.data())
def test_a_history_that_was_written_is_read_as_it_was(
    tmp_path: Path, history: History, kind: AnomalyKind | None, data: st.DataObject
) -> None:
    if kind is not None:
        history = plant(kind, history, data.draw)
    write_history(tmp_path / "h.jsonl", history)
    assert read_history(tmp_path / "h.jsonl") == history


@SAME_FOLDER
@given(text=st.text(), request_id=st.text(min_size=1))
def test_whatever_people_write_fits_into_one_line(tmp_path: Path, text: str, request_id: str) -> None:
    one = replace(entry(1, request_id, text), digest=text)
    send = replace(good().sends[0], text=text, request_id=request_id)
    view = DeviceView("ann", ROOM, (replace(one, text=text + "!"),), complete=False, whole=False)
    history = History((send,), (view,), {ROOM: (one,), text: ()})
    write_history(tmp_path / "h.jsonl", history)
    assert read_history(tmp_path / "h.jsonl") == history
    assert len((tmp_path / "h.jsonl").read_bytes().split(b"\n")) == 9


def test_a_large_history_is_written_in_few_bytes_for_each_delivery_and_its_entries_are_kept_once(
    tmp_path: Path,
) -> None:
    log = tuple(entry(seq, f"c{seq}", "hi") for seq in range(1, 2_501))
    views = tuple(DeviceView(f"d{n}", ROOM, log, complete=True, whole=True) for n in range(40))
    write_history(tmp_path / "h.jsonl", History((), views, {ROOM: log}))
    assert (tmp_path / "h.jsonl").stat().st_size < 40 * 2_500 * 10
    read = read_history(tmp_path / "h.jsonl")
    assert len({id(one) for view in read.views for one in view.entries}) == 2_500


def lines_of(tmp_path: Path) -> list[dict[str, Any]]:
    strange = replace(good().logs[ROOM][0], digest="x")
    history = with_view(good(), "cat", strange)
    run_view = RunView("ann", ROOM, "r", (Shown("run:changed", 1, 1, 0, ""),))
    write_history(tmp_path / "h.jsonl", replace(history, run_views=(run_view,)))
    return [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]


def at(lines: list[dict[str, Any]], kind: str) -> int:
    return next(n for n, line in enumerate(lines) if line["kind"] == kind)


WRONG: list[tuple[str, str, Callable[[dict[str, Any]], Any], str]] = [
    ("no history", "history", lambda line: {**line, "v": 2}, "a history begins with"),
    ("a list", "entry", lambda line: [line], "there should be an object with a kind"),
    ("no kind", "entry", lambda line: {"seq": 1}, "there should be an object with a kind"),
    ("unknown kind", "entry", lambda line: {**line, "kind": "seen"}, 'kind: there is no "seen" here'),
    ("a field too many", "send", lambda line: {**line, "colour": 1}, "colour: there is no such field"),
    ("a field too few", "send", lambda line: {k: v for k, v in line.items() if k != "text"}, "text is missing"),
    ("text for a number", "entry", lambda line: {**line, "seq": "1"}, 'seq: "1" is not what belongs there'),
    ("true for a number", "entry", lambda line: {**line, "seq": True}, "seq: true is not what belongs there"),
    ("a list for text", "entry", lambda line: {**line, "conversation_id": []}, "conversation_id: \\[\\] is not"),
    ("another conversation", "entry", lambda line: {**line, "conversation_id": "x"}, 'no conversation "x"'),
    ("another outcome", "send", lambda line: {**line, "outcome": "lost"}, 'outcome: "lost" is not'),
    ("ok without an ack", "send", lambda line: {**line, "outcome": "ok", "acks": []}, "there is no ack"),
    (
        "an end before its beginning",
        "send",
        lambda line: {**line, "invoked": 9.0, "completed": 1.0},
        "it ended before",
    ),
    ("an order below 0", "send", lambda line: {**line, "order": -1}, "order: -1 is less than 0"),
    ("acks that are none", "send", lambda line: {**line, "acks": 1}, "acks: there should be a list, not 1"),
    ("an ack that is none", "send", lambda line: {**line, "acks": [1]}, "there should be an object, not 1"),
    ("an entry not in the log", "saw", lambda line: {**line, "entries": [99]}, "the log above has no entry 99"),
    ("an entry that is none", "saw", lambda line: {**line, "entries": [None]}, "should be an object, not null"),
    ("another device", "saw", lambda line: {**line, "device": "zoe"}, 'no such view of "zoe"'),
    ("no part", "saw", lambda line: {**line, "part": None}, 'no such view of "ann"'),
    ("how many is missing", "view", lambda line: {**line, "entries": None}, "entries: null is not how many"),
    ("a state of two", "run_view", lambda line: {**line, "states": [[1, 2]]}, "does not have 5 fields"),
    ("another number of lines", "end", lambda line: {**line, "lines": 3}, "lines came before the end, not 3"),
]


@pytest.mark.parametrize(("kind", "change", "reason"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_a_wrong_line_of_a_history_file_is_named(
    tmp_path: Path, kind: str, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    lines = lines_of(tmp_path)
    wrong = at(lines, kind)
    changed = [change(line) if n == wrong else line for n, line in enumerate(lines)]
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    with pytest.raises(BadHistory, match=reason) as error:
        read_history(tmp_path / "h.jsonl")
    assert error.value.line == wrong + 1
    assert str(error.value).startswith(f"line {wrong + 1}: ")


@pytest.mark.parametrize("kind", ["conversation", "send", "view"])
def test_a_history_file_that_holds_something_twice_is_refused(tmp_path: Path, kind: str) -> None:
    lines = lines_of(tmp_path)
    again = at(lines, kind)
    lines.insert(again + 1, lines[again])
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(BadHistory, match="is there twice") as error:
        read_history(tmp_path / "h.jsonl")
    assert error.value.line == again + 2


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "cut off"),
        (b"hello\n", 1, "this is not JSON"),
        (b"\xff\xfe\n", 1, "not text in UTF-8"),
        (b'{"kind":"history","v":1}\n', 2, "cut off"),
        (b'{"kind":"history","v":1}\n{"kind":"run","run_id":NaN}\n', 2, "NaN is not a number"),
        (b'{"kind":"history","v":1}\n' + b"[" * 100_000 + b"\n", 2, "this is not JSON"),
        (b'{"kind":"history","v":1}\n{"kind":"damage","after":' + b"9" * 5_000 + b"}\n", 2, "this is not JSON"),
        (b'{"kind":"history","v":1}\n{"kind":"end","lines":1}\n\n', 3, "after the end"),
        (b'{"kind":"history","v":1}\n{"kind":"history","v":1}\n', 2, 'there is no "history" here'),
    ],
)
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    (tmp_path / "h.jsonl").write_bytes(content)
    with pytest.raises(BadHistory, match=reason) as error:
        read_history(tmp_path / "h.jsonl")
    assert error.value.line == line


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    lines_of(tmp_path)
    whole = (tmp_path / "h.jsonl").read_bytes()
    for size in range(0, len(whole) - 1, 7):
        (tmp_path / "h.jsonl").write_bytes(whole[:size])
        with pytest.raises(BadHistory):
            read_history(tmp_path / "h.jsonl")


# The command


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["check", *map(str, args)], env={"COLUMNS": "120"})
    return result.exit_code, result.stdout, result.stderr


def test_a_history_in_which_all_was_kept_is_judged_so(tmp_path: Path) -> None:
    write_history(tmp_path / "h.jsonl", good())
    status, output, _ = run(tmp_path / "h.jsonl", "--lang", "en")
    assert status == 0
    assert "5 messages were sent: 3 acked, 1 refused, 1 without an answer" in output
    assert "Every promise was kept." in output
    texts = load_texts("en", "roomgraph", "check")
    assert all(promise.__name__ in output and texts(promise.__name__) in output for promise in PROMISES)
    assert "✘" not in output
    # What the history tells nothing of is not said to have held.
    untold = {line.split()[-1] for line in output.splitlines() if line.startswith("  ·")}
    assert untold == {*map(str, ABOUT_RUNS | ABOUT_MEMBERS), "reset_in_vain"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_anomaly_is_told_in_both_languages(tmp_path: Path, language: str) -> None:
    history = with_view(with_send(good(), "b1", outcome="failed"), "bob", *good().logs[ROOM][:3])
    write_history(tmp_path / "h.jsonl", history)
    status, output, _ = run(tmp_path / "h.jsonl", "--lang", language)
    assert status == 1
    report, texts = check(history), load_texts(language, "roomgraph", "check")
    assert len(report.anomalies) == 2
    for anomaly in report.anomalies:
        assert anomaly.detail in output
        assert texts(anomaly.kind) in output
    assert texts("not_held", count=2) in output


def test_a_program_gets_the_report_as_json(tmp_path: Path) -> None:
    write_history(tmp_path / "h.jsonl", with_send(good(), "b1", outcome="failed"))
    status, output, _ = run(tmp_path / "h.jsonl", "--json")
    assert status == 1
    facts = json.loads(output)
    assert (facts["ok"], facts["sent"], facts["lost"], facts["runs"]) == (False, 5, 0, 0)
    assert [(a["kind"], a["seq"], a["request_id"]) for a in facts["anomalies"]] == [("phantom", 6, "b1")]
    write_history(tmp_path / "h.jsonl", good())
    status, output, _ = run(tmp_path / "h.jsonl", "--json")
    assert (status, json.loads(output)["anomalies"]) == (0, [])


@pytest.mark.parametrize(
    ("language", "words"), [("en", "is not a valid history, line 1"), ("zh", "不是有效的历史记录，第 1 行")]
)
def test_a_file_that_cannot_be_judged_is_another_exit_status(tmp_path: Path, language: str, words: str) -> None:
    (tmp_path / "h.jsonl").write_text("[tour](notes)\n")
    status, _, errors = run(tmp_path / "h.jsonl", "--lang", language)
    assert status == 2
    assert words in errors
    for path in (tmp_path / "none.jsonl", tmp_path):
        status, _, errors = run(path, "--lang", language)
        assert status == 2
        assert str(path) in errors
