"""The statuses of runs: every status word of the scripts is one of them, and an ended run stays ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sio_server.protocol.run import FINAL, TRANSITIONS, RunStatus, final_entry_type

LUA = Path(__file__).parents[2] / "sio_server" / "conversation" / "lua"
# Where scripts name a status: written to a record, given to what ends a run, compared.
WORDS = (
    r"'status',\s*'(\w+)'",
    r"end_run\(\s*[\w.]+,\s*'(\w+)'",
    r"\bstatus\b['\])]*\s*[=~]=\s*'(\w+)'",
)


def status_words(source: str) -> Iterator[str]:
    """Every word that a script uses as a status."""
    code = re.sub(r"--.*", "", source)
    for pattern in WORDS:
        yield from re.findall(pattern, code)


def test_every_status_word_of_the_scripts_is_a_status():
    words = {word for path in LUA.glob("*.lua") for word in status_words(path.read_text())}
    assert {"queued", "running", "stalled", "stopped", "interrupted", "failed"} <= words <= set(RunStatus)


@pytest.mark.parametrize(
    "line",
    [
        "redis.call('HSET', record, 'status', 'runing', 'node', node)",
        "local seq = end_run(run_id, 'stoped', 'stopped', data, true)",
        "if status ~= 'fialed' then return end",
        "if args.status == 'dnoe' then return end",
        "if redis.call('HGET', record, 'status') ~= 'rnning' then return end",
    ],
)
def test_a_word_that_is_no_status_would_be_found(line):
    assert set(status_words(line)) - set(RunStatus)


def test_every_status_has_its_transitions_and_none_leads_on_from_a_final_one():
    assert set(TRANSITIONS) == {None, *RunStatus}
    assert {status for status, onward in TRANSITIONS.items() if not onward} == FINAL


def test_every_status_can_be_reached():
    reached: set[RunStatus | None] = {None}
    while more := {new for old in reached for new in TRANSITIONS[old]} - reached:
        reached |= more
    assert reached == {None, *RunStatus}


def test_each_end_of_a_run_has_its_own_entry_type():
    assert {status: final_entry_type(status) for status in FINAL} == {
        RunStatus.ANSWERED: "answer",
        RunStatus.INTERRUPTED: "interrupt",
        RunStatus.STOPPED: "stopped",
        RunStatus.FAILED: "failed",
    }


@pytest.mark.parametrize("status", sorted(set(RunStatus) - FINAL))
def test_a_run_that_has_not_ended_has_no_final_entry(status):
    with pytest.raises(KeyError):
        final_entry_type(status)
