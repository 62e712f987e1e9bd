"""A server is the primary for certain as long as too few sentinels can take it for dead."""

from __future__ import annotations

import pytest

from sio_server.store.undisputed import Answer, Named, Undisputed, read_answer

OLD, NEW = Named(1, "10.0.0.1", 6379), Named(2, "10.0.0.2", 6379)
SERVER, OTHER = OLD[1:], NEW[1:]
MASTER = {
    "config-epoch": "1",
    "flags": "master",
    "down-after-milliseconds": "5000",
    "last-ping-sent": "0",
    "num-other-sentinels": "2",
    "quorum": "2",
}


def sure(safe_s: float, named: Named = OLD) -> Answer:
    return Answer(named, safe_s, needed=2)


def after(*answers: Answer) -> Undisputed:
    found = Undisputed()
    found.on_answers(answers, 100.0)
    return found


def test_it_holds_until_so_many_sentinels_may_take_the_server_for_dead_as_a_failover_needs() -> None:
    found = after(sure(3.0), sure(1.0), sure(2.0))
    assert found.holds(SERVER, 101.9)
    assert not found.holds(SERVER, 102.0), "two of three may be without an answer by then"
    assert not found.holds(OTHER, 100.5)
    assert not found.holds(None, 100.5)


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [sure(3.0)],
        [sure(3.0), Answer(OLD, 0.0, needed=2)],
        [sure(3.0), sure(3.0), Answer(OLD, 0.0, 2, fails_over=True)],
        [sure(3.0), sure(3.0, NEW), sure(3.0)],
    ],
    ids=["none answers", "a minority", "one has no answer to its ping", "one fails over", "one knows a newer"],
)
def test_it_does_not_hold_when_a_failover_may_have_begun(answers) -> None:
    assert not after(*answers).holds(SERVER, 100.1)


def test_what_was_certain_stays_so_while_sentinels_cannot_be_asked_and_ends_with_a_failover() -> None:
    found = after(sure(3.0), sure(3.0))
    found.on_answers([], 101.0)
    found.on_answers([sure(3.0)], 101.0)
    assert found.holds(SERVER, 102.0)
    found.on_answers([Answer(OLD, 0.0, 2, fails_over=True)], 101.0)
    assert not found.holds(SERVER, 101.1)
    found.on_answers([sure(3.0, NEW), sure(3.0, NEW)], 102.0)
    assert found.holds(OTHER, 104.0)
    assert not found.holds(SERVER, 104.0)


@pytest.mark.parametrize(
    ("change", "safe_s", "needed", "fails_over"),
    [
        ({}, 5.0, 2, False),
        ({"last-ping-sent": "1500"}, 3.5, 2, False),
        ({"last-ping-sent": "7000"}, 0.0, 2, False),
        ({"flags": "s_down,master"}, 0.0, 2, False),
        ({"flags": "master,failover_in_progress"}, 0.0, 2, True),
        ({"quorum": "1"}, 5.0, 3, False),
        ({"quorum": "3", "num-other-sentinels": "4"}, 5.0, 3, False),
    ],
)
def test_what_a_sentinel_says_is_read(change, safe_s, needed, fails_over) -> None:
    assert read_answer(("10.0.0.1", "6379"), MASTER | change, 3) == Answer(OLD, safe_s, needed, fails_over)
