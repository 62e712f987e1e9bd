"""A client that follows a stream gets each entry once and in order, and knows what the server knows."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sio_server.protocol.events import STREAM_EVENTS
from sio_server.protocol.position import Position
from sio_server.protocol.stream import KEPT_LIMIT, Step, Stream
from tests.vectors.by_chance import compare, happen
from tests.vectors.model import Event, ModelConversation
from tests.vectors.replay import state


def seqs(step: Step) -> list[int]:
    return [entry.seq for entry in step.entries]


def joined(server: ModelConversation, position: Position | None = None) -> Stream:
    stream = Stream(position)
    stream.on_answer(server.result(position))
    return stream


def busy(entries: int) -> ModelConversation:
    server = ModelConversation()
    for number in range(entries):
        server.append(text=str(number))
    return server


def test_before_the_first_answer_nothing_is_known() -> None:
    stream = Stream()
    assert (stream.position, stream.in_step, stream.runs, stream.interrupts) == (None, False, {}, {})


def test_a_kept_position_that_cannot_be_served_is_a_reset_even_on_a_new_object() -> None:
    stream = Stream(Position("e0", 7))
    step = stream.on_answer(busy(3).result(stream.position))
    assert (step.reset, seqs(step)) == ("new_epoch", [1, 2, 3])


def test_a_step_names_the_runs_that_changed_or_ended() -> None:
    server = busy(1)
    stream = joined(server)
    assert stream.on_event(*server.begin()).runs == ["r1"]
    assert stream.on_event(*server.claim("r1")).runs == ["r1"]
    assert stream.on_event(*server.write("r1", 0, "hi")).runs == ["r1"]
    assert stream.on_event(*server.report("r1")).runs == ["r1"]
    assert stream.on_event(*server.append(text="hello")).runs == []
    assert stream.on_event(*server.append("answer", run_id="r1")).runs == ["r1"]
    stream.on_event(*server.begin())
    server.append("stopped", run_id="r2")
    server.begin()
    stream.disconnected()
    assert sorted(set(stream.on_answer(server.result(stream.position)).runs)) == ["r2", "r3"]


def test_the_text_of_a_run_and_what_was_withdrawn_join_its_parts() -> None:
    server = busy(1)
    stream = joined(server)
    for event in (server.begin(), server.claim("r1"), server.write("r1", 0, "I"), server.write("r1", 1, "can")):
        stream.on_event(*event)
    assert (stream.runs["r1"].text, stream.runs["r1"].withdrawn_text) == ("I\n\ncan", "")
    stream.on_event(*server.claim("r1"))
    stream.on_event(*server.write("r1", 0, "Well"))
    assert (stream.runs["r1"].text, stream.runs["r1"].withdrawn_text) == ("Well", "I\n\ncan")


def test_what_is_kept_while_a_sync_is_on_its_way_is_bounded() -> None:
    server = busy(1)
    stream = Stream()
    for number in range(3 * KEPT_LIMIT):
        stream.on_event(*server.append(text=str(number)))
        assert len(stream._kept) <= KEPT_LIMIT
    position = Position("e1", 1)
    step = stream.on_answer(busy(1).result(None))
    got = seqs(step)
    while step.sync:
        step = stream.on_answer(server.result(stream.position))
        got += seqs(step)
    assert got == list(range(1, server.head + 1))
    assert stream.position == Position(position.epoch, server.head)


@pytest.mark.parametrize("event", sorted(STREAM_EVENTS))
def test_no_payload_of_any_shape_stops_a_client(event: str) -> None:
    server = busy(1)
    stream = joined(server)
    odd: list[Any] = [None, 7, "x", [], {}, {"run_id": None}, [[]], {"__proto__": 1}, 10**400]
    fields = ("run", "run_id", "version", "part", "text", "report", "data", "seq", "epoch", "hides", "type")
    for name in fields:
        for value in odd:
            payload = {**server.append(text="x")[1], "run_id": "r", "version": 1, "part": 0, name: value}
            stream.on_event(event, payload)
            if not stream.in_step:
                stream.on_answer(server.result(stream.position))
    assert stream.in_step


class Life(RuleBasedStateMachine):
    """One device and a busy server: whatever can come between the two, in any interleaving."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ModelConversation()
        self.server.append("conversation_created")
        self.stream = Stream()
        self.wire: list[Event] = []  # on its way: events, in the order of the server
        self.answers: list[dict[str, Any]] = []
        self.asked = 1
        self.view: list[int] = []  # what the application was handed since it was told to start over
        self.epoch = "e1"

    def apply(self, step: Step) -> None:
        if step.reset is not None or not self.view:
            self.view = seqs(step)
        else:
            self.view += seqs(step)
        assert self.view == list(range(self.view[0], self.view[0] + len(self.view))) if self.view else True
        if step.sync:
            self.asked += 1

    @rule(seed=st.integers(0, 2**16))
    def something_happens(self, seed: int) -> None:
        self.wire.append(happen(self.server, random.Random(seed)))

    @rule(seed=st.integers(0, 2**16))
    def much_happens(self, seed: int) -> None:
        chance = random.Random(seed)
        self.wire += [happen(self.server, chance) for _ in range(5)]

    @precondition(lambda self: self.wire)
    @rule()
    def the_next_event_comes(self) -> None:
        self.apply(self.stream.on_event(*self.wire.pop(0)))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), again=st.booleans())
    def any_event_comes(self, data: st.DataObject, again: bool) -> None:
        index = data.draw(st.integers(0, len(self.wire) - 1))
        self.apply(self.stream.on_event(*(self.wire[index] if again else self.wire.pop(index))))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def an_event_is_lost(self, data: st.DataObject) -> None:
        del self.wire[data.draw(st.integers(0, len(self.wire) - 1))]

    @precondition(lambda self: self.asked)
    @rule(size=st.integers(1, 4))
    def the_server_reads_for_a_sync(self, size: int) -> None:
        self.asked -= 1
        self.answers.append(self.server.result(self.stream.position, size))

    @precondition(lambda self: self.answers)
    @rule()
    def an_answer_comes(self) -> None:
        self.apply(self.stream.on_answer(self.answers.pop(0)))

    @precondition(lambda self: self.stream.position is not None)
    @rule(behind=st.integers(-1, 3), size=st.integers(1, 4))
    def the_node_brings_what_it_missed(self, behind: int, size: int) -> None:
        assert self.stream.position is not None
        epoch, seq = self.stream.position
        after = Position(epoch, max(0, min(seq - behind, self.server.head)))
        if epoch == self.server.epoch:
            self.apply(self.stream.on_synced(self.server.result(after, size)))

    @rule()
    def the_connection_is_lost(self) -> None:
        self.stream.disconnected()
        self.wire.clear()
        self.answers.clear()
        self.asked = 1

    @rule()
    def the_log_starts_over(self) -> None:
        self.server.start_over()
        self.wire.clear()  # the node delivers nothing of the new log before the session has synced
        self.apply(self.stream.on_reset())

    @invariant()
    def a_client_that_is_in_step_with_the_number_knows_what_the_server_knows(self) -> None:
        stream, server = self.stream, self.server
        same = stream.position is not None and stream.position.epoch == server.epoch
        if stream.in_step and same and stream.n == server.n:
            compare(state(stream), server)

    @invariant()
    def whatever_is_missing_has_been_asked_for(self) -> None:
        assert self.stream.in_step or self.asked or self.answers

    def teardown(self) -> None:
        self.the_connection_is_lost()
        while self.asked:
            self.the_server_reads_for_a_sync(2)
            self.an_answer_comes()
        compare(state(self.stream), self.server)


def test_in_any_interleaving_a_client_in_step_knows_what_the_server_knows() -> None:
    run_state_machine_as_test(Life, settings=settings(deadline=None, max_examples=200, stateful_step_count=40))
