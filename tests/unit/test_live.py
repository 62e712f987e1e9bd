"""What goes on in a conversation: the true text so far, whatever the network loses, repeats or brings late."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sio_server.protocol.events import Entry
from sio_server.protocol.live import Live


def entry(type: str, seq: int = 9, **data: Any) -> Entry:
    return Entry(v=1, conversation_id="c", epoch="e", seq=seq, type=type, ts="", data=data)


def delta(offset: int, text: str, attempt: int = 1, run_id: str = "r") -> tuple[str, dict[str, Any]]:
    return "run:delta", {"run_id": run_id, "attempt": attempt, "offset": offset, "text": text}


def started(attempt: int = 1, run_id: str = "r") -> tuple[str, dict[str, Any]]:
    return "run:started", {"run_id": run_id, "attempt": attempt}


def superseded(attempt: int = 1, run_id: str = "r") -> tuple[str, dict[str, Any]]:
    return "run:superseded", {"run_id": run_id, "attempt": attempt}


def finished(attempt: int = 1, run_id: str = "r") -> tuple[str, dict[str, Any]]:
    return "run:finished", {"run_id": run_id, "attempt": attempt}


def update(number: int, attempt: int = 1, run_id: str = "r") -> tuple[str, dict[str, Any]]:
    return "run:update", {"run_id": run_id, "attempt": attempt, "number": number, "kind": "custom"}


def unfinished(
    text: str, attempt: int = 1, run_id: str = "r", updates: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {"run_id": run_id, "attempt": attempt, "text": text, "updates": updates or []}


def hear(live: Live, *events: tuple[str, dict[str, Any]]) -> list[bool]:
    return [live.on_event(*event) for event in events]


def asked(*ids: str) -> list[dict[str, Any]]:
    return [{"interrupt_id": interrupt_id, "value": f"value of {interrupt_id}"} for interrupt_id in ids]


class Network(RuleBasedStateMachine):
    """A run that says something, in several attempts, and a bus that loses, repeats and reorders its events."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live()
        self.attempt, self.text, self.numbers = 1, "", 0
        self.updates: list[dict[str, Any]] = []
        self.on_the_way = [started()]
        self.looked = [unfinished("")]  # answers to looks that are on their way

    @rule(text=st.text("abc", min_size=1, max_size=4))
    def the_run_says_something(self, text: str) -> None:
        self.on_the_way.append(delta(len(self.text), text, self.attempt))
        self.text += text

    @rule()
    def the_run_reports(self) -> None:
        self.numbers += 1
        self.on_the_way.append(update(self.numbers, self.attempt))
        self.updates.append(self.on_the_way[-1][1])

    @rule()
    def another_node_takes_the_run(self) -> None:
        self.on_the_way += [superseded(self.attempt), started(self.attempt + 1)]
        self.attempt, self.text, self.numbers = self.attempt + 1, "", 0

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), again=st.booleans())
    def an_event_comes(self, data: st.DataObject, again: bool) -> None:
        index = data.draw(st.integers(0, min(4, len(self.on_the_way) - 1)))
        self.live.on_event(*(self.on_the_way[index] if again else self.on_the_way.pop(index)))

    @precondition(lambda self: self.on_the_way)
    @rule()
    def an_event_is_lost(self) -> None:
        self.on_the_way.pop(0)

    @rule()
    def somebody_looks(self) -> None:
        self.looked.append(unfinished(self.text, self.attempt, updates=list(self.updates)))

    @precondition(lambda self: self.looked)
    @rule()
    def the_answer_to_a_look_comes(self) -> None:
        self.live.on_view(self.looked.pop(0), [])

    @invariant()
    def what_is_shown_is_the_beginning_of_what_was_said(self) -> None:
        run = self.live.runs.get("r")
        if run and run.attempt == self.attempt:
            assert self.text.startswith(run.text)

    @invariant()
    def no_update_is_shown_twice(self) -> None:
        run = self.live.runs.get("r")
        shown = [(item["attempt"], item["number"]) for item in run.updates] if run else []
        assert len(shown) == len(set(shown))

    def teardown(self) -> None:
        # After a delta that comes, the text is true or a look is asked for, which makes it true.
        last = delta(len(self.text), "end", self.attempt)
        self.text += "end"
        if self.live.on_event(*last):
            self.live.on_view(unfinished(self.text, self.attempt, updates=list(self.updates)), [])
            assert self.live.runs["r"].updates == self.updates
        self.all_is_true()
        for event in self.on_the_way:
            assert self.live.on_event(*event) is False
            self.all_is_true()
        self.live.on_event(*finished(self.attempt))
        for event in [last, *self.on_the_way]:
            assert self.live.on_event(*event) is False
        assert self.live.runs == {}

    def all_is_true(self) -> None:
        run = self.live.runs["r"]
        assert (run.attempt, run.text) == (self.attempt, self.text)


def test_any_order_loss_and_repetition_ends_with_the_true_text() -> None:
    run_state_machine_as_test(Network, settings=settings(max_examples=200, stateful_step_count=30, deadline=None))


def test_streamed_deltas_join_on_to_each_other() -> None:
    live = Live()
    assert hear(live, started(), delta(0, "one "), delta(4, "two")) == [False] * 3
    assert live.runs["r"].text == "one two"


def test_a_delta_that_came_already_changes_nothing() -> None:
    live = Live()
    assert hear(live, delta(0, "one "), delta(0, "one "), delta(4, "two"), delta(0, "one ")) == [False] * 4
    assert live.runs["r"].text == "one two"


def test_a_lost_delta_is_noticed_and_a_look_closes_the_gap_with_what_was_kept() -> None:
    live = Live()
    assert hear(live, delta(0, "one "), delta(8, "three ")) == [False, True]
    assert live.runs["r"].text == "one "
    live.on_view(unfinished("one two "), [])
    assert live.runs["r"].text == "one two three "
    assert hear(live, delta(14, "four")) == [False]


def test_a_look_that_is_older_than_what_was_heard_takes_nothing_back() -> None:
    live = Live()
    hear(live, delta(0, "one "), delta(4, "two "))
    live.on_view(unfinished("one "), [])
    assert live.runs["r"].text == "one two "


def test_a_later_attempt_begins_with_no_text() -> None:
    live = Live()
    hear(live, delta(0, "one "), superseded(), started(2))
    assert (live.runs["r"].attempt, live.runs["r"].text) == (2, "")
    hear(live, delta(4, "late"), delta(0, "again", attempt=2))
    assert live.runs["r"].text == "again"


def test_a_later_attempt_is_noticed_by_its_first_delta_when_all_else_was_lost() -> None:
    live = Live()
    assert hear(live, delta(0, "one "), delta(0, "again", attempt=2)) == [False, False]
    assert live.runs["r"].text == "again"


def test_a_look_at_an_attempt_that_is_over_changes_nothing() -> None:
    live = Live()
    hear(live, delta(0, "again", attempt=2))
    live.on_view(unfinished("one two three", attempt=1), [])
    assert (live.runs["r"].attempt, live.runs["r"].text) == (2, "again")


def test_what_comes_late_does_not_bring_an_ended_run_back() -> None:
    for end in (lambda live: live.on_event(*finished()), lambda live: live.on_entry(entry("answer", run_id="r"))):
        live = Live()
        hear(live, started(), delta(0, "one"))
        end(live)
        assert hear(live, delta(3, "two"), delta(99, "late"), update(1), started(2)) == [False] * 4
        live.on_view(unfinished("one"), [])
        assert live.runs == {}


def test_every_kind_of_final_entry_ends_the_run() -> None:
    for type in ("answer", "interrupt", "stopped", "failed"):
        live = Live()
        hear(live, delta(0, "one", run_id="other"), delta(0, "one"))
        live.on_entry(entry(type, run_id="r", interrupts=[]))
        assert list(live.runs) == ["other"]


def test_updates_that_were_seen_and_heard_are_shown_once_in_their_order() -> None:
    live = Live()
    hear(live, update(2), update(3))
    live.on_view(unfinished("", updates=[update(1)[1], update(2)[1]]), [])
    assert [item["number"] for item in live.runs["r"].updates] == [1, 2, 3]


def test_an_update_that_comes_after_the_look_that_held_it_is_shown_once() -> None:
    live = Live()
    live.on_view(unfinished("", updates=[update(1)[1], update(2)[1]]), [])
    hear(live, update(2), update(3))
    assert [item["number"] for item in live.runs["r"].updates] == [1, 2, 3]


def test_a_run_that_began_after_the_look_is_not_forgotten() -> None:
    live = Live()
    hear(live, started(run_id="new"), delta(0, "one", run_id="new"))
    live.on_view(None, [])
    assert live.runs["new"].text == "one"


def test_questions_are_open_until_they_are_resolved() -> None:
    live = Live()
    live.on_entry(entry("interrupt", 5, run_id="r", interrupts=asked("a", "b")))
    assert live.interrupts == {"a": "value of a", "b": "value of b"}
    live.on_entry(entry("interrupt_resolved", 6, interrupt_id="a", outcome="answered"))
    assert list(live.interrupts) == ["b"]
    live.on_entry(entry("interrupt_resolved", 7, interrupt_id="b", outcome="superseded"))
    live.on_entry(entry("interrupt_resolved", 8, interrupt_id="unknown", outcome="superseded"))
    assert live.interrupts == {}


def test_a_device_that_joins_learns_of_open_questions_from_the_catch_up() -> None:
    live = Live()
    live.on_view(None, asked("a"))
    assert live.interrupts == {"a": "value of a"}


def test_a_question_that_was_resolved_after_the_look_stays_resolved() -> None:
    live = Live()
    live.on_entry(entry("interrupt", 5, run_id="r", interrupts=asked("a")))
    # The look was taken here; its answer comes after the entry.
    live.on_entry(entry("interrupt_resolved", 6, interrupt_id="a", outcome="answered"))
    live.on_view(None, asked("a"))
    assert live.interrupts == {}


def test_a_question_that_was_asked_after_the_look_stays_open() -> None:
    live = Live()
    live.on_entry(entry("interrupt", 5, run_id="r", interrupts=asked("a")))
    live.on_view(None, [])
    assert live.interrupts == {"a": "value of a"}


def test_a_view_that_begins_anew_forgets_what_may_have_ended_since() -> None:
    live = Live()
    hear(live, started(), delta(0, "one"))
    live.on_entry(entry("interrupt", 5, run_id="other", interrupts=asked("a")))
    live.on_view(unfinished("two", run_id="next"), asked("b"), starts_over=True)
    assert {run.run_id: run.text for run in live.runs.values()} == {"next": "two"}
    assert list(live.interrupts) == ["b"]
