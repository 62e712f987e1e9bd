"""A client that follows a conversation gets each entry once and in order, across connections, reads and resets."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sio_clients.session import Following, Outcome
from sio_server.protocol.events import Entry
from sio_server.protocol.position import LogBounds, Position, judge


def entry(seq: int, epoch: str = "e1") -> Entry:
    stamp = "2025-03-01T14:05:59.123Z"
    data = {"text": f"text {seq}"}
    return Entry(v=1, conversation_id="c", epoch=epoch, seq=seq, type="message", ts=stamp, data=data)


def entries(seqs: Iterable[int], epoch: str = "e1") -> list[Entry]:
    return [entry(seq, epoch) for seq in seqs]


def answer(
    position: Position | None, head: int, *, page: int = 200, first: int = 1, epoch: str = "e1"
) -> dict[str, Any]:
    """What a server whose log holds `first`..`head` answers to a join or a sync from `position`."""
    judgement = judge(position, LogBounds(epoch, first, head), 50)
    last = min(judgement.after + page, head)
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason.value,
        "position": {"epoch": epoch, "seq": last},
        "after": judgement.after,
        "head": head,
        "entries": [entry(seq, epoch).model_dump() for seq in range(judgement.after + 1, last + 1)],
        "card": {
            "user_id": "ann-1",
            "verdict": judgement.verdict.value,
            "reason": judgement.reason.value,
            "replayed": head - judgement.after,
            "history": head - first + 1,
            "last_activity": "2025-03-01T14:05:59.123Z",
            "unfinished_run": None,
        },
    }


def seqs(outcome: Outcome) -> list[int]:
    return [entry.seq for entry in outcome.entries]


def joined(head: int) -> Following:
    following = Following("c")
    following.synced(answer(None, head))
    return following


def test_before_the_first_answer_a_conversation_has_no_position_and_is_not_level() -> None:
    following = Following("c")
    assert following.position is None
    assert following.card is None
    assert not following.level


def test_a_first_join_gives_the_snapshot_and_is_no_reset() -> None:
    following = Following("c")
    outcome = following.synced(answer(None, 120))
    assert seqs(outcome) == list(range(71, 121))
    assert outcome.reset is None
    assert following.position == Position("e1", 120)
    assert following.level


def test_the_session_card_holds_what_the_server_said() -> None:
    following = Following("c", Position("e1", 90))
    following.synced(answer(following.position, 120))
    assert following.card is not None
    assert (following.card.verdict, following.card.reason) == ("resumed", "position_valid")
    assert (following.card.replayed, following.card.history) == (30, 120)


def test_live_entries_before_the_answer_are_delivered_once_after_it() -> None:
    following = Following("c")
    assert [following.on_entry(entry(seq)) for seq in (4, 5, 6)] == [Outcome()] * 3
    assert seqs(following.synced(answer(None, 5))) == [1, 2, 3, 4, 5, 6]
    assert following.level


def test_an_early_entry_after_a_gap_is_kept_while_the_gap_is_read() -> None:
    following = Following("c")
    following.on_entry(entry(5))
    outcome = following.synced(answer(None, 3))
    assert (seqs(outcome), outcome.read_after) == ([1, 2, 3], 3)
    assert seqs(following.page("e1", 5, entries([4]))) == [4, 5]


def test_a_device_with_a_position_resumes_with_exactly_what_it_missed() -> None:
    following = Following("c", Position("e1", 3))
    outcome = following.synced(answer(following.position, 6))
    assert (seqs(outcome), outcome.reset) == ([4, 5, 6], None)


def test_a_device_that_missed_nothing_gets_nothing() -> None:
    following = Following("c", Position("e1", 3))
    assert following.synced(answer(following.position, 3)) == Outcome()
    assert following.level


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({"epoch": "e2"}, "new_epoch"),
        ({"first": 20}, "older_than_retention"),
        ({"head": 8}, "ahead_of_log"),
    ],
)
def test_a_reset_gives_the_reason_and_starts_over_with_the_snapshot(log: dict[str, Any], reason: str) -> None:
    following = joined(10)
    following.disconnected()
    result = answer(following.position, **{"head": 30, **log})
    outcome = following.synced(result)
    assert outcome.reset == reason
    assert seqs(outcome) == list(range(log.get("first", 1), log.get("head", 30) + 1))
    assert following.level
    head, epoch = result["head"], log.get("epoch", "e1")
    assert seqs(following.on_entry(entry(head + 1, epoch))) == [head + 1]


def test_a_kept_position_that_cannot_be_served_is_a_reset_even_on_a_new_object() -> None:
    following = Following("c", Position("e0", 7))
    assert following.synced(answer(following.position, 3)).reset == "new_epoch"


def test_what_does_not_fit_one_page_is_read_page_by_page() -> None:
    following = Following("c", Position("e1", 0))
    first = following.synced(answer(following.position, 5, page=2))
    assert (seqs(first), first.read_after) == ([1, 2], 2)
    assert not following.level
    second = following.page("e1", 5, entries([3, 4]))
    assert (seqs(second), second.read_after) == ([3, 4], 4)
    assert following.page("e1", 5, entries([5])) == Outcome(entries([5]))
    assert following.level


def test_a_gap_is_noticed_and_read_once() -> None:
    following = joined(3)
    assert following.on_entry(entry(5)) == Outcome(read_after=3)
    assert following.on_entry(entry(6)) == Outcome()
    assert not following.level
    assert seqs(following.page("e1", 6, entries([4, 5, 6]))) == [4, 5, 6]


def test_an_entry_that_arrives_twice_is_delivered_once() -> None:
    following = joined(3)
    assert following.on_entry(entry(3)) == Outcome()


def test_a_failed_read_is_repeated() -> None:
    following = joined(3)
    following.on_entry(entry(5))
    assert following.read_failed() == Outcome(read_after=3)


def test_a_page_that_arrives_after_a_disconnect_is_ignored_and_the_sync_delivers_its_entries() -> None:
    following = joined(3)
    following.on_entry(entry(6))
    following.disconnected()
    assert following.page("e1", 6, entries([4, 5, 6])) == Outcome()
    assert following.read_failed() == Outcome()
    assert following.position == Position("e1", 3)
    assert seqs(following.synced(answer(following.position, 7))) == [4, 5, 6, 7]
    assert following.level


def test_a_read_interrupted_by_a_disconnect_does_not_block_the_next_read() -> None:
    following = joined(3)
    following.on_entry(entry(6))
    following.disconnected()
    outcome = following.synced(answer(following.position, 7, page=1))
    assert (seqs(outcome), outcome.read_after) == ([4], 4)


def test_early_entries_of_a_lost_connection_are_forgotten() -> None:
    following = Following("c")
    following.on_entry(entry(9, "e0"))
    following.disconnected()
    assert seqs(following.synced(answer(None, 2))) == [1, 2]
    assert following.level


def test_an_entry_of_another_epoch_triggers_a_sync_before_anything_else_is_delivered() -> None:
    following = joined(3)
    assert following.on_entry(entry(1, "e2")) == Outcome(sync=True)
    assert not following.level
    assert following.on_entry(entry(2, "e2")) == Outcome()
    outcome = following.synced(answer(following.position, 2, epoch="e2"))
    assert (outcome.reset, seqs(outcome)) == ("new_epoch", [1, 2])


def test_an_early_entry_of_another_epoch_triggers_a_sync_and_keeps_the_delivered_entries() -> None:
    following = Following("c")
    following.on_entry(entry(1, "e2"))
    following.on_entry(entry(4))
    outcome = following.synced(answer(None, 3))
    assert (seqs(outcome), outcome.sync) == ([1, 2, 3], True)


def test_a_page_that_does_not_follow_the_position_triggers_a_sync() -> None:
    following = joined(3)
    following.on_entry(entry(9))
    assert following.page("e1", 9, entries([7, 8, 9])) == Outcome(sync=True)
    assert following.position == Position("e1", 3)


class Life(RuleBasedStateMachine):
    """One device and a log that is never trimmed: whatever can come between the two, in any interleaving."""

    def __init__(self) -> None:
        super().__init__()
        self.head = 0
        self.following = Following("c", Position("e1", 0))
        self.live: list[int] = []
        self.sync: Position | None = Position("e1", 0)
        self.asked: int | None = None
        self.page: tuple[int, list[Entry]] | None = None
        self.got: list[int] = []

    def take(self, outcome: Outcome) -> None:
        assert outcome.reset is None
        self.got += seqs(outcome)
        if outcome.sync:
            self.sync, self.asked, self.page = self.following.position, None, None
        elif outcome.read_after is not None:
            assert self.asked is None, "a second read was asked for"
            self.asked = outcome.read_after

    @rule(count=st.integers(1, 4))
    def entries_are_appended(self, count: int) -> None:
        self.live += range(self.head + 1, self.head + count + 1)
        self.head += count

    @precondition(lambda self: self.live)
    @rule()
    def the_next_entry_comes_live(self) -> None:
        self.take(self.following.on_entry(entry(self.live.pop(0))))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), again=st.booleans())
    def any_entry_comes_live(self, data: st.DataObject, again: bool) -> None:
        seq = data.draw(st.sampled_from(self.live))
        if not again:
            self.live.remove(seq)
        self.take(self.following.on_entry(entry(seq)))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def an_entry_is_lost(self, data: st.DataObject) -> None:
        self.live.remove(data.draw(st.sampled_from(self.live)))

    @precondition(lambda self: self.sync is not None)
    @rule(size=st.integers(1, 5))
    def the_sync_is_answered(self, size: int) -> None:
        position, self.sync = self.sync, None
        self.take(self.following.synced(answer(position, self.head, page=size)))

    @precondition(lambda self: self.asked is not None and self.page is None)
    @rule(size=st.integers(1, 5))
    def the_log_is_read(self, size: int) -> None:
        assert self.asked is not None
        self.page = self.head, entries(range(self.asked + 1, min(self.asked + size, self.head) + 1))

    @precondition(lambda self: self.page is not None)
    @rule()
    def the_read_is_answered(self) -> None:
        assert self.page is not None
        (head, page), self.page, self.asked = self.page, None, None
        self.take(self.following.page("e1", head, page))

    @precondition(lambda self: self.asked is not None)
    @rule()
    def the_read_fails(self) -> None:
        self.asked = self.page = None
        self.take(self.following.read_failed())

    @rule()
    def the_connection_is_lost(self) -> None:
        self.following.disconnected()
        self.live.clear()
        self.sync, self.asked, self.page = self.following.position, None, None

    @invariant()
    def what_was_handed_on_is_the_log_from_its_beginning(self) -> None:
        assert self.got == list(range(1, len(self.got) + 1))
        assert self.following.position == Position("e1", len(self.got))

    @invariant()
    def whatever_is_missing_has_been_asked_for(self) -> None:
        assert self.following.level or self.sync is not None or self.asked is not None

    def teardown(self) -> None:
        self.the_connection_is_lost()
        self.the_sync_is_answered(2)
        while self.asked is not None:
            self.the_log_is_read(2)
            self.the_read_is_answered()
        assert self.got == list(range(1, self.head + 1))
        assert self.following.level


def test_in_any_interleaving_of_events_and_connections_each_entry_is_delivered_once_in_order() -> None:
    run_state_machine_as_test(Life, settings=settings(deadline=None, max_examples=250, stateful_step_count=40))
