"""A node delivers each event of a stream once and in order, and asks for a reading when one is missing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.fanout.numbered import KEPT_LIMIT, EntryHead, NumberedStream, Step, StreamEvent
from sio_server.protocol.position import Position

EPOCH = "e"


def written(n: int) -> StreamEvent:
    return StreamEvent(n, b"", None)


def entry(n: int, seq: int, epoch: str = EPOCH) -> StreamEvent:
    return StreamEvent(n, b"", EntryHead(epoch, seq, "t", "message", "-"))


@pytest.fixture
def stream() -> NumberedStream:
    """In step after event 10, which left the log at seq 5."""
    return NumberedStream(Position(EPOCH, 5), 10)


def test_the_next_event_is_delivered_and_an_older_one_dropped(stream):
    assert stream.on_event(written(11)) == Step([written(11)])
    assert stream.on_event(entry(12, 6)) == Step([entry(12, 6)])
    assert stream.on_event(written(11)) == stream.on_event(entry(12, 6)) == Step()
    assert (stream.n, stream.position) == (12, Position(EPOCH, 6))


@pytest.mark.parametrize(
    "event",
    [
        written(12),
        entry(12, 6),
        entry(11, 7),  # its number is the next, its seq is not
        entry(11, 5),
        entry(11, 6, "f"),
        entry(9, 6),  # numbers were lost, or one of them was false: the entry must not be
        entry(9, 4, "f"),
    ],
)
def test_whatever_is_not_the_next_event_asks_for_a_reading_and_is_not_delivered(stream, event):
    assert stream.on_event(event) == Step(read=True)
    assert (stream.n, stream.position) == (10, Position(EPOCH, 5))
    # What comes before the reading begins is in it.
    assert stream.on_event(written(11)) == Step()
    stream.begin_reading()
    assert stream.on_read(Position(EPOCH, 6), 12) == Step()
    assert stream.on_event(written(13)) == Step([written(13)])


def test_what_comes_during_a_reading_is_delivered_after_it_unless_it_was_in_it(stream):
    stream.on_event(written(15))
    stream.begin_reading()
    for n in (16, 17, 18):
        assert stream.on_event(written(n)) == Step()
    assert stream.on_read(Position(EPOCH, 7), 16) == Step([written(17), written(18)])


def test_a_false_event_far_ahead_is_read_for_once(stream):
    assert stream.on_event(written(10**12)).read
    stream.begin_reading()
    assert stream.on_read(Position(EPOCH, 5), 10) == Step()
    assert stream.on_event(written(11)) == Step([written(11)])


def test_more_events_than_are_kept_lead_to_another_reading(stream):
    stream.missed()
    stream.begin_reading()
    for n in range(11, 11 + KEPT_LIMIT + 1):
        stream.on_event(written(n))
    assert stream.on_read(Position(EPOCH, 5), 10).read


class Conversation:
    """What Redis holds, and what is on the bus between it and a node."""

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self.seq = 0
        self.published: list[StreamEvent] = []

    def publish(self, is_entry: bool) -> None:
        self.seq += is_entry
        n = len(self.events) + 1
        self.events.append(entry(n, self.seq) if is_entry else written(n))
        self.published.append(self.events[-1])


@given(st.lists(st.sampled_from(["entry", "text", "pass", "pass", "lose", "view", "tell"]), max_size=60))
def test_a_node_delivers_the_stream_whatever_the_bus_loses(actions: list[str]) -> None:
    conversation, stream = Conversation(), NumberedStream(Position(EPOCH, 0), 0)
    told: list[Any] = []  # what the room was told: events, and how the conversation was as often as it was read
    asked, view = False, None

    def carry_out(step: Step) -> None:
        nonlocal asked
        told.extend(event.n for event in step.events)
        asked = asked or step.read

    for action in [*actions, "text", *["pass"] * 99, "view", "tell", *["pass"] * 99]:
        if action in ("entry", "text"):
            conversation.publish(action == "entry")
        elif action in ("pass", "lose") and conversation.published:
            event = conversation.published.pop(0)
            if action == "pass":
                carry_out(stream.on_event(event))
        elif action == "view" and asked and view is None:
            stream.begin_reading()
            view = (Position(EPOCH, conversation.seq), len(conversation.events))
        elif action == "tell" and view is not None:
            asked, (head, n), view = False, view, None
            told = list(range(1, n + 1))  # a reading brings all up to there
            carry_out(stream.on_read(head, n))
    if asked:
        stream.begin_reading()
        told = list(range(1, len(conversation.events) + 1))
        carry_out(stream.on_read(Position(EPOCH, conversation.seq), len(conversation.events)))
    assert told == list(range(1, len(conversation.events) + 1))
    assert (stream.n, stream.position.seq) == (len(conversation.events), conversation.seq)
