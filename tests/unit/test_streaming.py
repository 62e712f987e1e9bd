"""Streamed text and reports: everything once and in order, also when a reply of the store is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.conversation.runs import ClaimedRun, LeaseLost, Runs
from sio_server.dialog import streaming as module
from sio_server.dialog.streaming import RunStream
from sio_server.protocol.errors import Unavailable
from tests.waiting import within

RUN = ClaimedRun(
    conversation_id="c",
    epoch="e",
    run_id="r-1",
    kind="message",
    attempt=1,
    failures=0,
    token="1",
    input_seq=2,
    input=None,
    source="",
    began_from="",
    answers={},
    replaces=None,
    graph="g",
    agent_name="G",
)


class Store:
    """What the scripts do: a delta or an update that came already changes nothing."""

    def __init__(self) -> None:
        self.text = ""
        self.shown: list[str | dict[str, Any]] = []
        self.sent_chars = 0
        self.faults: list[str] = []  # for the next writes: "lost" the write, "unanswered", or "fine"
        self.stale = False
        self._written = asyncio.Event()

    async def has_shown(self, count: int) -> None:
        while len(self.shown) < count:
            self._written.clear()
            await self._written.wait()

    async def add_text(self, run: ClaimedRun, offset: int, text: str) -> None:
        fault = self._fault()
        self.sent_chars += len(text)
        if offset == len(self.text):
            self.text += text
            self.shown.append(text)
        if fault == "unanswered":
            raise Unavailable("the reply was lost")

    async def add_report(self, run: ClaimedRun, number: int, update: dict[str, Any]) -> None:
        fault = self._fault()
        known = sum(isinstance(item, dict) for item in self.shown)
        assert number in (known, known + 1), "numbers are dense"
        if number == known + 1:
            self.shown.append(update)
        if fault == "unanswered":
            raise Unavailable("the reply was lost")

    def joined(self) -> list[str | dict[str, Any]]:
        """What was shown, with text that follows text in one piece."""
        joined: list[str | dict[str, Any]] = []
        for item in self.shown:
            if isinstance(item, str) and joined and isinstance(joined[-1], str):
                joined[-1] += item
            else:
                joined.append(item)
        return joined

    def _fault(self) -> str:
        self._written.set()
        if self.stale:
            raise LeaseLost("gone")
        fault = self.faults.pop(0) if self.faults else "fine"
        if fault == "lost":
            raise Unavailable("away")
        return fault


def stream(store: Store) -> RunStream:
    return RunStream(cast(Runs, store), RUN)


async def test_text_added_after_a_lost_reply_follows_what_was_shown() -> None:
    store = Store()
    streamed = stream(store)
    streamed.add_text("m", "How many ")
    store.faults = ["unanswered"]
    await streamed.flush()
    streamed.add_text("m", "people?")
    await streamed.flush()
    assert store.text == streamed.said == "How many people?"


async def test_text_added_while_the_store_is_away_is_shown_when_it_is_back() -> None:
    store = Store()
    streamed = stream(store)
    store.faults = ["lost"] * 3
    for word in ("one ", "two ", "three"):
        streamed.add_text("m", word)
        await streamed.flush()
    assert store.text == ""
    await streamed.flush()
    assert store.text == "one two three"


async def test_text_that_came_together_is_shown_together() -> None:
    store = Store()
    streamed = stream(store)
    for word in ("one ", "two ", "three"):
        streamed.add_text("m", word)
    await streamed.flush()
    assert store.shown == ["one two three"]


async def test_texts_of_two_messages_are_separated_and_those_of_one_are_not() -> None:
    store = Store()
    streamed = stream(store)
    for message_id, text in (("a", "One "), ("a", "two."), ("b", ""), ("b", "Three."), ("b", " Four.")):
        streamed.add_text(message_id, text)
    await streamed.flush()
    assert store.text == "One two.\n\nThree. Four."


async def test_a_report_is_shown_between_the_texts_before_and_after_it() -> None:
    store = Store()
    streamed = stream(store)
    streamed.add_report({"kind": "a"})
    streamed.add_text("m", "one ")
    streamed.add_text("m", "two ")
    streamed.add_report({"kind": "b"})
    streamed.add_report({"kind": "c"})
    streamed.add_text("m", "three")
    await streamed.flush()
    assert store.shown == [{"kind": "a"}, "one two ", {"kind": "b"}, {"kind": "c"}, "three"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from("ab"), st.text(max_size=4)),
        st.tuples(st.just("report")),
        st.tuples(st.just("flush"), st.lists(st.sampled_from(["fine", "lost", "unanswered"]), max_size=3)),
    ),
    max_size=30,
)


@given(STEPS)
async def test_whatever_the_store_loses_everything_is_shown_once_and_in_order(steps: list[Any]) -> None:
    store = Store()
    streamed = stream(store)
    expected: list[str | dict[str, Any]] = []
    reports = 0
    for what, *details in steps:
        if what == "say":
            before = len(streamed.said)
            streamed.add_text(*details)
            said = streamed.said[before:]
            assert said.endswith(details[1])
            if said and expected and isinstance(expected[-1], str):
                expected[-1] += said
            elif said:
                expected.append(said)
        elif what == "report":
            reports += 1
            update = {"kind": "custom", "data": reports}
            streamed.add_report(update)
            expected.append(update)
        else:
            store.faults = list(details[0])
            await streamed.flush()
    store.faults = []
    await streamed.flush()
    assert store.joined() == expected
    assert store.text == streamed.said


async def test_the_pump_shows_what_is_added_and_tries_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COALESCE_S", 0.001)
    store = Store()
    streamed = stream(store)
    pump = asyncio.create_task(streamed.pump())
    store.faults = ["lost", "unanswered", "lost"]
    streamed.add_text("m", "hello")
    async with within(5, "what is shown"):
        await store.has_shown(1)
        streamed.add_report({"kind": "custom"})
        await store.has_shown(2)
    assert store.shown == ["hello", {"kind": "custom"}]
    assert store.faults == []
    pump.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pump


async def test_a_stream_whose_lease_is_lost_raises_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COALESCE_S", 0.001)
    store = Store()
    streamed = stream(store)
    store.stale = True
    streamed.add_text("m", "too late")
    with pytest.raises(LeaseLost):
        async with within(5, "the end of the pump"):
            await streamed.pump()


async def test_the_cost_of_streaming_is_linear_in_the_text() -> None:
    store = Store()
    streamed = stream(store)
    for number in range(2000):
        streamed.add_text("m", "word ")
        if number % 10 == 0:
            await streamed.flush()
    await streamed.flush()
    assert store.sent_chars == len(store.text) == 10_000
