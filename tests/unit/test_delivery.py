"""Whatever the network does, a delivery hands on every entry once and in order, or says that it starts over."""

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sio_server.protocol import delivery as module
from sio_server.protocol.delivery import BUFFER_LIMIT, Delivery, Step
from sio_server.protocol.position import Position

E = "e1"


def at(seq: int) -> Delivery[int]:
    return Delivery(Position(E, seq))


def items(seqs: Iterable[int]) -> list[tuple[int, int]]:
    return [(seq, seq) for seq in seqs]


class Network(RuleBasedStateMachine):
    """A log that grows, a bus that loses, repeats and reorders, and a store that answers late or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "BUFFER_LIMIT", 4)
        self.delivery = at(0)
        self.head = 0
        self.on_the_way: list[int] = []
        self.asked: int | None = None
        self.failed = False
        self.got: list[int] = []

    def take(self, step: Step[int]) -> None:
        assert not step.reset
        self.got += step.entries
        if step.read_after is not None:
            assert self.asked is None, "a second read was asked for"
            assert step.read_after == self.delivery.position.seq
            self.asked, self.failed = step.read_after, False

    def answer(self, size: int) -> None:
        """A page that reaches beyond the position by up to `size` entries."""
        assert self.asked is not None
        page = range(self.asked + 1, min(self.delivery.position.seq + size, self.head) + 1)
        self.asked = None
        self.take(self.delivery.on_page(E, self.head, items(page)))

    @rule(count=st.integers(1, 8))
    def entries_are_appended(self, count: int) -> None:
        self.on_the_way += range(self.head + 1, self.head + count + 1)
        self.head += count

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), again=st.booleans())
    def an_entry_arrives(self, data: st.DataObject, again: bool) -> None:
        seq = data.draw(st.sampled_from(self.on_the_way))
        if not again:
            self.on_the_way.remove(seq)
        self.take(self.delivery.on_entry(E, seq, seq))

    @precondition(lambda self: self.on_the_way)
    @rule()
    def the_next_entry_arrives(self) -> None:
        seq = self.on_the_way.pop(0)
        self.take(self.delivery.on_entry(E, seq, seq))

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def an_entry_is_lost(self, data: st.DataObject) -> None:
        self.on_the_way.remove(data.draw(st.sampled_from(self.on_the_way)))

    @rule()
    def the_head_becomes_known(self) -> None:
        self.take(self.delivery.known_head(E, self.head))

    @precondition(lambda self: self.asked is not None)
    @rule(size=st.integers(1, 6))
    def the_read_is_answered(self, size: int) -> None:
        self.answer(size)

    @precondition(lambda self: self.asked is not None)
    @rule()
    def the_read_fails(self) -> None:
        self.asked, self.failed = None, True
        self.delivery.read_failed()

    @rule()
    def what_is_missing_is_asked_for_again(self) -> None:
        self.take(self.delivery.retry())

    @invariant()
    def what_was_handed_on_is_the_log_from_its_beginning(self) -> None:
        assert self.got == list(range(1, len(self.got) + 1))
        assert self.delivery.position == Position(E, len(self.got))

    @invariant()
    def the_buffer_is_bounded_and_keeps_nothing_that_was_handed_on(self) -> None:
        assert len(self.delivery._buffer) <= 4
        assert all(seq > len(self.got) for seq in self.delivery._buffer)

    @invariant()
    def what_is_missing_is_being_read_unless_the_read_has_failed(self) -> None:
        assert not self.delivery.behind or self.asked is not None or self.failed

    def teardown(self) -> None:
        self.patch.undo()
        self.delivery.read_failed()
        self.asked = None
        self.take(self.delivery.known_head(E, self.head))
        while self.asked is not None:
            self.answer(5)
        assert self.got == list(range(1, self.head + 1))
        assert not self.delivery.behind


def test_no_loss_repetition_reordering_or_failing_read_makes_an_entry_missing_doubled_or_out_of_order() -> None:
    run_state_machine_as_test(Network, settings=settings(deadline=None, max_examples=250, stateful_step_count=40))


def test_entries_in_order_are_handed_on_at_once_and_nothing_is_read() -> None:
    delivery = at(7)
    assert [delivery.on_entry(E, seq, seq) for seq in (8, 9)] == [Step([8]), Step([9])]
    assert not delivery.behind


def test_an_entry_that_came_before_is_dropped() -> None:
    assert at(7).on_entry(E, 7, 7) == Step()


def test_a_gap_is_noticed_and_read_once() -> None:
    delivery = at(7)
    assert delivery.on_entry(E, 9, 9) == Step(read_after=7)
    assert delivery.on_entry(E, 11, 11) == Step()
    assert delivery.behind
    assert delivery.on_page(E, 11, items([8, 9, 10, 11])) == Step([8, 9, 10, 11])
    assert not delivery.behind


def test_an_entry_that_was_only_late_closes_the_gap_without_the_answer() -> None:
    delivery = at(0)
    delivery.on_entry(E, 2, 2)
    assert delivery.on_entry(E, 1, 1) == Step([1, 2])
    assert delivery.on_page(E, 2, items([1, 2])) == Step()


def test_a_page_that_is_not_the_last_asks_for_the_next() -> None:
    delivery = at(0)
    assert delivery.known_head(E, 5) == Step(read_after=0)
    assert delivery.on_page(E, 5, items([1, 2])) == Step([1, 2], read_after=2)
    assert delivery.on_page(E, 6, items([3, 4, 5, 6])) == Step([3, 4, 5, 6])


def test_entries_kept_while_reading_save_the_next_read() -> None:
    delivery = at(0)
    delivery.on_entry(E, 3, 3)
    assert delivery.on_page(E, 3, items([1, 2])) == Step([1, 2, 3])


def test_a_head_that_is_reached_already_asks_for_nothing() -> None:
    assert at(5).known_head(E, 5) == Step()


def test_a_failed_read_is_asked_for_again_from_where_the_delivery_is_then() -> None:
    delivery = at(0)
    delivery.on_entry(E, 3, 3)
    delivery.on_entry(E, 1, 1)
    delivery.read_failed()
    assert delivery.retry() == Step(read_after=1)
    assert delivery.retry() == Step()


def test_a_retry_when_nothing_is_missing_asks_for_nothing() -> None:
    assert at(3).retry() == Step()


def test_a_flood_beyond_the_buffer_is_bounded_and_read_from_the_log_instead() -> None:
    delivery = at(0)
    last = BUFFER_LIMIT * 3
    for seq in range(2, last + 1):
        delivery.on_entry(E, seq, seq)
    assert len(delivery._buffer) == BUFFER_LIMIT
    step = delivery.on_page(E, last, items([1]))
    got = step.entries
    while step.read_after is not None:
        after = step.read_after
        step = delivery.on_page(E, last, items(range(after + 1, min(after + 200, last) + 1)))
        got += step.entries
    assert got == list(range(1, last + 1))


def test_the_next_entry_is_handed_on_even_when_the_buffer_is_full() -> None:
    delivery = at(0)
    for seq in range(2, BUFFER_LIMIT + 3):
        delivery.on_entry(E, seq, seq)
    assert delivery.on_entry(E, 1, 1).entries[0] == 1


@pytest.mark.parametrize("epoch", ["e0", "e2", ""])
def test_another_epoch_means_start_over_however_it_becomes_known(epoch: str) -> None:
    assert at(3).on_entry(epoch, 4, 4) == Step(reset=True)
    assert at(3).known_head(epoch, 9) == Step(reset=True)
    assert at(3).on_page(epoch, 9, items([4])) == Step(reset=True)


def test_a_log_that_ends_below_what_was_seen_before_the_read_means_start_over() -> None:
    assert at(3).on_page(E, 2, []) == Step(reset=True)


def test_a_head_that_was_looked_at_before_later_entries_came_changes_nothing() -> None:
    assert at(3).known_head(E, 2) == Step()


def test_a_page_that_does_not_join_on_means_start_over() -> None:
    delivery = at(3)
    delivery.known_head(E, 9)
    assert delivery.on_page(E, 9, items([5, 6, 7, 8, 9])) == Step(reset=True)
    assert delivery.position == Position(E, 3)


def test_a_page_that_brings_only_what_came_live_meanwhile_is_no_reason_to_start_over() -> None:
    delivery: Delivery[int] = Delivery(Position(E, 0))
    delivery.on_entry(E, 2, 2)
    delivery.on_entry(E, 1, 1)
    delivery.on_entry(E, 4, 4)
    assert delivery.on_page(E, 4, [(1, 1), (2, 2)]) == Step(read_after=2)


def test_an_answer_older_than_what_came_live_meanwhile_is_no_reason_to_start_over() -> None:
    delivery: Delivery[int] = Delivery(Position(E, 0))
    delivery.on_entry(E, 2, 2)
    delivery.on_entry(E, 1, 1)
    delivery.on_entry(E, 3, 3)
    assert delivery.on_page(E, 2, [(1, 1), (2, 2)]) == Step()
