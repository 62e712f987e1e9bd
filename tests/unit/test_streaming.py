"""Streamed parts and reports: everything once and in order, also when a reply of the store is lost."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.conversation.runs import Batch, ClaimedRun, LeaseLost, Runs
from sio_server.dialog import streaming as module
from sio_server.dialog.streaming import Part, RunStream
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import MAX_REPORTS, PREVIEW_BYTES
from sio_server.store.json_text import to_json
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
    """What the script does: a batch that came already, or whose predecessor is gone, changes nothing."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.calls = 0
        self.faults: list[str] = []  # for the next writes: "lost" the write, "unanswered", "fine", or "failover"
        self.stale = False
        self.failed_over = False
        self._written = asyncio.Event()

    async def has_shown(self, count: int) -> None:
        while len(self.batches) < count:
            self._written.clear()
            await self._written.wait()

    async def add_written(self, run: ClaimedRun, batch: Batch) -> int:
        self.calls += 1
        self._written.set()
        if self.stale:
            raise LeaseLost("gone")
        fault = self.faults.pop(0) if self.faults else "fine"
        if fault == "lost":
            raise Unavailable("away")
        if fault == "failover":
            self.failed_over = True
            del self.batches[-2:]
        known = len(self.batches)
        if self.failed_over and batch.number > known + 1:
            return known
        assert batch.number in (known, known + 1), "numbers are dense"
        if batch.number == known:
            assert batch == self.batches[-1], "what is sent again is unchanged"
        else:
            self.batches.append(batch)
        if fault == "unanswered":
            raise Unavailable("the reply was lost")
        return batch.number

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The parts as a device has them."""
        parts: list[dict[str, Any]] = []
        for item in (item for batch in self.batches for item in batch.parts):
            if "kind" in item:
                assert item["part"] == len(parts), "numbers of parts are dense"
                parts.append(dict(item))
            else:
                known = parts[item["part"]]
                parts[item["part"]] = {**known, **item, "text": known["text"] + item["text"]}
        return parts

    @property
    def texts(self) -> list[str]:
        return [part["text"] for part in self.parts]

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [report for batch in self.batches for report in batch.reports]


def stream(store: Store, run: ClaimedRun = RUN) -> RunStream:
    return RunStream(cast(Runs, store), run)


async def test_text_added_after_a_lost_reply_follows_what_was_shown() -> None:
    store = Store()
    streamed = stream(store)
    part = streamed.begin_part("text", "G")
    streamed.add_text(part, "How many ")
    store.faults = ["unanswered"]
    await streamed.flush()
    streamed.add_text(part, "people?")
    await streamed.flush()
    assert store.texts == [streamed.said] == ["How many people?"]


async def test_text_added_while_the_store_is_away_is_shown_when_it_is_back() -> None:
    store = Store()
    streamed = stream(store)
    part = streamed.begin_part("text", "G")
    store.faults = ["lost"] * 3
    for word in ("one ", "two ", "three"):
        streamed.add_text(part, word)
        await streamed.flush()
    assert store.batches == []
    await streamed.flush()
    assert store.texts == ["one two three"]


async def test_what_came_together_is_shown_in_one_batch() -> None:
    store = Store()
    streamed = stream(store)
    first, second = streamed.begin_part("text", "G"), streamed.begin_part("reasoning", "Planner")
    streamed.add_text(first, "one ")
    streamed.add_report({"kind": "a"})
    streamed.add_text(second, "hm")
    streamed.add_text(first, "two")
    streamed.add_report({"kind": "b"})
    await streamed.flush()
    assert store.batches == [
        Batch(
            1,
            [
                {"part": 0, "kind": "text", "speaker": "G", "text": "one two"},
                {"part": 1, "kind": "reasoning", "speaker": "Planner", "text": "hm"},
            ],
            [{"number": 1, "kind": "a"}, {"number": 2, "kind": "b"}],
        )
    ]


async def test_parts_that_are_written_at_the_same_time_do_not_mix() -> None:
    store = Store()
    streamed = stream(store)
    first, second = streamed.begin_part("text", "A"), streamed.begin_part("text", "B")
    for one, other in ("al", "be"), ("pha", "ta"):
        streamed.add_text(first, one)
        streamed.add_text(second, other)
        await streamed.flush()
    assert store.texts == ["alpha", "beta"]
    assert streamed.said == "alpha\n\nbeta"
    assert streamed.parts == [Part("text", "A", "alpha"), Part("text", "B", "beta")]


async def test_a_part_is_numbered_when_it_begins_to_say_something() -> None:
    store = Store()
    streamed = stream(store)
    silent, speaks = streamed.begin_part("text", "A"), streamed.begin_part("text", "B")
    streamed.add_text(silent, "")
    streamed.add_text(speaks, "hello")
    await streamed.flush()
    assert store.parts == [{"part": 0, "kind": "text", "speaker": "B", "text": "hello"}]
    assert streamed.said == "hello"


async def test_a_part_with_data_is_shown_whole_with_its_beginning() -> None:
    store = Store()
    streamed = stream(store)
    picture = {"mime_type": "image/png", "url": "data:image/png;base64," + "A" * 100_000}
    streamed.begin_part("image", "Painter", picture)
    await streamed.flush()
    assert store.parts == [{"part": 0, "kind": "image", "speaker": "Painter", "text": "", "data": picture}]
    assert streamed.parts == [Part("image", "Painter", data=picture)]
    assert streamed.said == ""


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from(["text", "reasoning"])),
        st.tuples(st.just("say"), st.integers(0, 3), st.text(max_size=4)),
        st.tuples(st.just("report")),
        st.tuples(
            st.just("flush"), st.lists(st.sampled_from(["fine", "lost", "unanswered", "failover"]), max_size=3)
        ),
    ),
    max_size=30,
)


@given(STEPS)
async def test_whatever_the_store_loses_everything_is_shown_once_and_in_order(steps: list[Any]) -> None:
    store = Store()
    streamed = stream(store)
    said: list[str] = []
    spoke: dict[int, None] = {}
    reports = 0
    for what, *details in steps:
        if what == "begin":
            assert streamed.begin_part(details[0], "G") == len(said)
            said.append("")
        elif what == "say" and details[0] < len(said):
            streamed.add_text(*details)
            said[details[0]] += details[1]
            if details[1]:
                spoke[details[0]] = None
        elif what == "report":
            reports += 1
            streamed.add_report({"kind": "custom", "data": reports})
        elif what == "flush":
            store.faults = list(details[0])
            await streamed.flush()
    store.faults = []
    reports += 1  # what a failover has lost is noticed with the next batch
    streamed.add_report({"kind": "custom", "data": reports})
    await streamed.flush()
    assert store.texts == [said[part] for part in spoke]
    assert [part.text for part in streamed.parts] == said
    assert store.reports == [{"number": n, "kind": "custom", "data": n} for n in range(1, reports + 1)]


async def test_what_is_kept_no_longer_is_not_sent_again_for_ever() -> None:
    store = Store()
    streamed = RunStream(cast(Runs, store), RUN, kept_s=-1)
    part = streamed.begin_part("text", "G")
    for word in ("one ", "two ", "three"):
        streamed.add_text(part, word)
        store.faults = ["failover"] if word == "three" else []
        async with within(10, "the end of the flush"):
            await streamed.flush()
    assert store.batches == []
    assert streamed.said == "one two three"


async def test_what_is_more_than_an_event_holds_goes_out_in_several() -> None:
    store = Store()
    streamed = stream(store)
    text = 'a"好\n\x01' * 15_000
    streamed.add_text(streamed.begin_part("text", "G"), text)
    for _ in range(200):
        streamed.add_report({"kind": "custom", "data": "é" * 2000})
    await streamed.flush()
    assert store.texts == [text]
    assert len(store.batches) > 5
    for batch in store.batches:
        assert len(to_json([*batch.parts, *batch.reports]).encode()) < 63_000
    assert [report["number"] for report in store.reports] == list(range(195, 201))


async def test_no_more_is_streamed_than_the_preview_and_the_answer_stays_whole() -> None:
    store = Store()
    streamed = stream(store)
    first, second = streamed.begin_part("text", "G"), streamed.begin_part("text", "H")
    for _ in range(600):
        streamed.add_text(first, "x" * 1000)
        streamed.add_text(second, "y" * 1000)
        await streamed.flush()
    assert PREVIEW_BYTES - 1000 < sum(len(text) for text in store.texts) <= PREVIEW_BYTES
    assert [part["cut"] for part in store.parts] == [True, True]
    assert store.calls < 300, "a part is told to be cut once"
    streamed.begin_part("image", "G", {"mime_type": "image/png", "url": "https://example.org/a.png"})
    await streamed.flush()
    assert len(store.parts) == 2
    assert streamed.said == "x" * 600_000 + "\n\n" + "y" * 600_000


async def test_an_image_that_does_not_fit_in_the_preview_is_announced_without_it() -> None:
    store = Store()
    streamed = stream(store)
    for _ in range(3):
        streamed.begin_part("image", "G", {"mime_type": "image/png", "url": "data:" + "A" * 100_000})
    await streamed.flush()
    assert [("data" in part, part.get("cut", False)) for part in store.parts] == [
        (True, False),
        (True, False),
        (False, True),
    ]


async def test_five_thousand_reports_cost_one_batch_for_each_flush_and_the_newest_are_shown() -> None:
    store = Store()
    streamed = stream(store)
    pump = asyncio.create_task(streamed.pump())
    for number in range(5000):
        streamed.add_report({"kind": "custom", "data": number})
        if number % 10 == 0:
            await asyncio.sleep(0)
    streamed.close()
    await pump
    await streamed.flush()
    assert store.calls <= 3
    assert [report["number"] for report in store.reports][-MAX_REPORTS:] == list(range(4901, 5001))


async def test_what_is_added_during_a_flush_waits_for_the_next_one() -> None:
    store = Store()
    streamed = stream(store)
    write = store.add_written

    async def write_while_more_is_reported(run: ClaimedRun, batch: Batch) -> int:
        streamed.add_report({"kind": "custom"})
        return await write(run, batch)

    store.add_written = write_while_more_is_reported  # type: ignore[method-assign]
    streamed.add_report({"kind": "custom"})
    await streamed.flush()
    assert len(store.batches) == 1
    await streamed.flush()
    assert len(store.batches) == 2


async def test_the_pump_shows_what_is_added_and_tries_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COALESCE_S", 0.001)
    store = Store()
    streamed = stream(store)
    pump = asyncio.create_task(streamed.pump())
    store.faults = ["lost", "unanswered", "lost"]
    streamed.add_text(streamed.begin_part("text", "G"), "hello")
    async with within(5, "what is shown"):
        await store.has_shown(1)
        streamed.add_report({"kind": "custom"})
        await store.has_shown(2)
    assert (store.texts, store.reports) == (["hello"], [{"number": 1, "kind": "custom"}])
    assert store.faults == []
    pump.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pump


async def test_a_stream_that_is_closed_stops_collecting_and_leaves_the_rest_to_the_end_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COALESCE_S", 3600)
    store = Store()
    streamed = stream(store)
    part = streamed.begin_part("text", "G")
    streamed.add_text(part, "hello")
    store.faults = ["unanswered"]
    await streamed.flush()
    pump = asyncio.create_task(streamed.pump())
    await asyncio.sleep(0)
    streamed.add_text(part, " there")
    streamed.close()
    async with within(5, "the end of the pump"):
        await pump
    rest = streamed.take_rest()
    assert [batch.number for batch in rest] == [1, 2]
    assert [item["text"] for batch in rest for item in batch.parts] == ["hello", " there"]
    assert store.calls == 1


async def test_a_stream_whose_lease_is_lost_raises_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COALESCE_S", 0.001)
    store = Store()
    streamed = stream(store)
    store.stale = True
    streamed.add_text(streamed.begin_part("text", "G"), "too late")
    with pytest.raises(LeaseLost):
        async with within(5, "the end of the pump"):
            await streamed.pump()


async def test_the_cost_of_streaming_is_linear_in_the_text() -> None:
    store = Store()
    streamed = stream(store)
    part = streamed.begin_part("text", "G")
    for number in range(2000):
        streamed.add_text(part, "word ")
        if number % 10 == 0:
            await streamed.flush()
    await streamed.flush()
    assert sum(len(item["text"]) for batch in store.batches for item in batch.parts) == 10_000
    assert store.texts == ["word " * 2000]


async def test_the_first_text_after_a_takeover_is_shown_at_once_and_what_follows_is_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COALESCE_S", 60)
    store = Store()
    streamed = stream(store, replace(RUN, attempt=2))
    pumping = asyncio.create_task(streamed.pump())
    async with within(5, "the report and the first text"):
        streamed.add_report({"kind": "node"})
        await store.has_shown(1)
        part = streamed.begin_part("text", "G")
        streamed.add_text(part, "again ")
        await store.has_shown(2)
    streamed.add_text(part, "and again")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await store.has_shown(3)
    assert store.texts == ["again "]
    pumping.cancel()
    await asyncio.gather(pumping, return_exceptions=True)
