"""A returning device is told the truth about what it missed, and is resumed only when nothing is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.protocol.position import LogBounds, Position, Reason, Verdict, judge

LOG = LogBounds("e1", first=11, head=100)
EMPTY = LogBounds("e1", first=1, head=0)


@st.composite
def logs(draw: st.DrawFn) -> LogBounds:
    first = draw(st.integers(1, 60))
    return LogBounds("e1", first, draw(st.integers(first - 1, 80)))


@pytest.mark.parametrize(
    ("position", "verdict", "reason", "after"),
    [
        (None, Verdict.SNAPSHOT, Reason.NO_POSITION, 50),
        (Position("e1", 100), Verdict.RESUMED, Reason.POSITION_VALID, 100),
        (Position("e1", 99), Verdict.RESUMED, Reason.POSITION_VALID, 99),
        (Position("e1", 10), Verdict.RESUMED, Reason.POSITION_VALID, 10),
        (Position("e1", 9), Verdict.RESET, Reason.OLDER_THAN_RETENTION, 50),
        (Position("e1", 0), Verdict.RESET, Reason.OLDER_THAN_RETENTION, 50),
        (Position("e1", 101), Verdict.RESET, Reason.AHEAD_OF_LOG, 50),
        (Position("e0", 60), Verdict.RESET, Reason.NEW_EPOCH, 50),
        (Position("e0", 5000), Verdict.RESET, Reason.NEW_EPOCH, 50),
    ],
)
def test_each_verdict_comes_with_its_reason_and_with_where_to_go_on(
    position: Position | None, verdict: Verdict, reason: Reason, after: int
) -> None:
    judgement = judge(position, LOG, 50)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)
    assert judgement.after == after


def test_a_device_that_has_seen_nothing_of_an_untrimmed_log_is_resumed_from_its_beginning() -> None:
    judgement = judge(Position("e1", 0), LogBounds("e1", 1, 500), 50)
    assert (judgement.verdict, judgement.after) == (Verdict.RESUMED, 0)


def test_an_empty_log_gives_an_empty_snapshot() -> None:
    judgement = judge(None, EMPTY, 50)
    assert (judgement.verdict, judgement.after) == (Verdict.SNAPSHOT, 0)


def test_a_position_in_an_empty_log_is_ahead_of_it_unless_nothing_was_seen() -> None:
    assert judge(Position("e1", 1), EMPTY, 50).reason == Reason.AHEAD_OF_LOG
    assert judge(Position("e1", 0), EMPTY, 50).reason == Reason.POSITION_VALID


def test_a_snapshot_holds_no_more_than_the_log_still_has() -> None:
    judgement = judge(None, LogBounds("e1", 91, 100), 50)
    assert judgement.after == 90


@given(logs(), st.integers(0, 100), st.sampled_from(["e1", "e0"]))
def test_resumed_exactly_when_every_entry_above_the_position_is_still_there(
    log: LogBounds, seq: int, epoch: str
) -> None:
    kept = set(range(log.first, log.head + 1))
    needed = set(range(seq + 1, log.head + 1))
    complete = epoch == log.epoch and seq <= log.head and needed <= kept
    # An empty, trimmed log still knows what it dropped.
    complete = complete and seq >= log.first - 1
    judgement = judge(Position(epoch, seq), log, 10)
    assert (judgement.verdict == Verdict.RESUMED) == complete
    if complete:
        assert judgement.after == seq


@given(logs(), st.none() | st.builds(Position, st.sampled_from(["e1", "e0"]), st.integers(0, 100)))
def test_only_kept_entries_are_promised_and_no_more_than_a_snapshot_holds(
    log: LogBounds, position: Position | None
) -> None:
    judgement = judge(position, log, 10)
    assert log.first - 1 <= judgement.after <= log.head
    if judgement.verdict != Verdict.RESUMED:
        assert log.head - judgement.after <= 10
