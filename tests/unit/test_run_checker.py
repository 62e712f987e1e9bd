"""Proves that the checker judges runs, live text, and logs that started over, and forgives only what it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from roomgraph.check import (
    PROMISES,
    AnomalyKind,
    Execution,
    History,
    Recorder,
    Report,
    Run,
    RunView,
    Seen,
    Shown,
    check,
)
from tests.histories import ABOUT_RUNS, ROOM, E, K, entry, final, kinds


def good(**more: Any) -> History:
    """A run of two attempts and one of one, followed by two devices; the second got another view in the middle."""
    recorder = Recorder()
    for number, (request_id, seq, run_id) in enumerate((("a0", 2, "r1"), ("a1", 4, "r2"))):
        recorder.begin_send(ROOM, request_id, "ann", "hi", float(number))
        recorder.end_send(request_id, "ok", number + 0.5, (E, seq), run_id)
    log = (entry(1, None), entry(2, "a0", "hi"), final(3, "r1", 2), entry(4, "a1", "hi"), final(5, "r2"))
    for device in ("ann", "bob"):
        recorder.open_view(device, ROOM, whole=True)
        recorder.saw(device, ROOM, *log)
        recorder.settle(device, ROOM)
    recorder.log(ROOM, *log)

    heard: list[tuple[str, str, str, int, tuple[int, str] | None]] = [
        ("ann", "r1", "run:changed", 1, (1, "")),
        ("ann", "r1", "run:written", 1, (1, "one")),
        ("bob", "r1", "run:written", 1, (1, "one")),
        ("ann", "r1", "run:changed", 2, (2, "")),
        ("bob", "r1", "", 2, (2, "two")),
        ("ann", "r1", "run:written", 2, (2, "two")),
        ("ann", "r1", "entry", 2, None),
        ("bob", "r1", "entry", 2, None),
    ]
    for device, run_id, event, of, shows in heard:
        recorder.run_event(device, ROOM, run_id, event, of, shows)
    recorder.execution(
        Execution("r1", "a", 1, 1.0, 2.0),
        Execution("r1", "b", 1, 3.0, 4.0),  # finished, but its attempt died before it was kept
        Execution("r1", "b", 2, 5.0, 6.0),
        Execution("r1", "c", 2, 7.0, 8.0),
    )
    return replace(recorder.history(), **more)


def with_log(history: History, *log: Seen) -> History:
    views = (replace(view, entries=log) for view in history.views)
    return replace(history, views=tuple(views), logs={ROOM: log})


def with_states(history: History, device: str, change: Callable[[list[Shown]], list[Shown]]) -> History:
    views = (
        replace(view, states=tuple(change(list(view.states)))) if view.device == device else view
        for view in history.run_views
    )
    return replace(history, run_views=tuple(views))


def with_steps(history: History, *more: Execution) -> History:
    return replace(history, executions=(*history.executions, *more))


def resolved(seq: int, question: str) -> Seen:
    return Seen(E, seq, "interrupt_resolved", None, "", str(seq), about=question)


L = good().logs[ROOM]
Edit = Callable[[History], History]
# kind, what went wrong, (device, seq, run) it is named with
OF_RUNS: list[tuple[AnomalyKind, Edit, tuple[str | None, int | None, str | None]]] = [
    (K.RUN_NOT_ENDED, lambda h: with_log(h, *L[:4]), (None, 4, "r2")),
    (K.RUN_NOT_ENDED, lambda h: with_log(h, *L[:2], entry(3, None), *L[3:]), (None, 2, "r1")),
    (K.RUN_ENDED_TWICE, lambda h: with_log(h, *L, final(6, "r1", 2)), (None, 6, "r1")),
    (K.RUN_ENDED_TWICE, lambda h: with_log(h, *L, final(6, "r2", 1, "failed")), (None, 6, "r2")),
    (K.STALE_END, lambda h: with_log(h, *L[:2], final(3, "r1", 1), *L[3:]), (None, 3, "r1")),
    (K.STEP_REPEATED, lambda h: with_steps(h, Execution("r1", "a", 2, 4.5)), (None, None, "r1")),
    (K.STEP_REPEATED, lambda h: with_steps(h, Execution("r1", "b", 2, 7.5)), (None, None, "r1")),
    (
        K.STEP_REPEATED,
        lambda h: with_steps(h, Execution("r2", "a", 7, 1.0, 2.0, True), Execution("r2", "a", 9, 1.5)),
        (None, None, "r2"),
    ),
    (
        K.REPLACES_OTHER,
        lambda h: replace(h, runs=(Run(ROOM, "r2", replaces=3),)),
        (None, 5, "r2"),
    ),
    (
        K.ANSWERED_TWICE,
        lambda h: with_log(h, *L, resolved(6, "q"), resolved(7, "q")),
        (None, 7, None),
    ),
    (K.DEAD_TEXT, lambda h: with_states(h, "ann", lambda s: [*s[:3], s[1], *s[3:]]), ("ann", None, "r1")),
    (
        K.DEAD_TEXT,
        lambda h: with_states(h, "ann", lambda s: [*s[:2], s[1]._replace(event="run:changed", of=2), *s[3:]]),
        ("ann", None, "r1"),
    ),
    (  # the version is counted up, but the text stays
        K.DEAD_TEXT,
        lambda h: with_states(h, "ann", lambda s: [*s[:2], s[2]._replace(chars=2), *s[3:]]),
        ("ann", None, "r1"),
    ),
    (K.TEXT_LEFT, lambda h: with_states(h, "bob", lambda s: s[:-1]), ("bob", None, "r1")),
    (
        K.TEXT_DIFFERS,
        lambda h: with_states(h, "bob", lambda s: [s[0]._replace(digest="x"), *s[1:]]),
        ("bob", None, "r1"),
    ),
]


def test_a_good_history_of_runs_is_not_accused_of_anything() -> None:
    assert check(good()) == Report((), sent=2, acked=2, received=2, lost=0, duplicated=0, reordered=0, runs=2)


@pytest.mark.parametrize(("kind", "edit", "named"), OF_RUNS)
def test_a_broken_promise_about_a_run_is_named_exactly(
    kind: AnomalyKind, edit: Edit, named: tuple[str | None, int | None, str | None]
) -> None:
    report = check(edit(good()))
    assert kinds(report) == {kind}
    assert [(a.conversation_id, a.device, a.seq, a.run_id) for a in report.anomalies] == [(ROOM, *named)]
    assert report.anomalies[0].detail.endswith(".")


def test_every_kind_has_a_promise_and_a_bad_example() -> None:
    assert {promise.__name__ for promise in PROMISES} == set(AnomalyKind)
    assert {bad[0] for bad in OF_RUNS} == ABOUT_RUNS
    assert all((promise.__doc__ or "").strip().endswith(".") for promise in PROMISES)


def test_a_run_that_was_only_seen_or_promised_by_a_regenerate_must_end_too() -> None:
    recorder = Recorder()
    recorder.log(ROOM, entry(1, None))
    recorder.accept_run(ROOM, "r1")
    recorder.accept_run(ROOM, "r1")
    recorder.run_event("ann", ROOM, "r2", "run:changed", 1, (1, ""))
    recorder.run_event("ann", ROOM, "r3", "", 1, None)  # it is not shown any more
    report = check(recorder.history())
    assert [(a.kind, a.run_id) for a in report.anomalies] == [(K.RUN_NOT_ENDED, "r1"), (K.RUN_NOT_ENDED, "r2")]
    assert report.runs == 2


def test_what_was_said_before_a_question_may_wait_with_it() -> None:
    asked = final(5, "r1", 2, "interrupt")
    waits = with_log(good(), L[0], L[1], entry(3, None), L[3], asked)
    assert check(waits).ok
    settled = Seen(E, 6, "interrupt_resolved", None, "", "x", "r3")
    assert [(a.kind, a.run_id) for a in check(with_log(good(), *waits.logs[ROOM], settled)).anomalies] == [
        (K.RUN_NOT_ENDED, "r3")
    ]
    goes_on = (*waits.logs[ROOM], settled, final(7, "r3"))
    assert [(a.kind, a.run_id) for a in check(with_log(good(), *goes_on)).anomalies] == [(K.RUN_NOT_ENDED, "r2")]
    assert check(with_log(good(), *goes_on, final(8, "r2"))).ok


def test_a_repeated_send_gets_the_same_run() -> None:
    history = good()
    again = replace(
        history.sends[0], acks=(*history.sends[0].acks, history.sends[0].acks[0]._replace(run_id="r9"))
    )
    report = check(replace(history, sends=(again, history.sends[1])))
    assert {K.ACK_CHANGED} < kinds(report)


def test_a_regenerated_run_that_replaces_the_right_entry_is_not_accused() -> None:
    ended = replace(L[4], replaces=3)
    history = replace(with_log(good(), *L[:4], ended), runs=(Run(ROOM, "r2", replaces=3),))
    assert check(history).ok


def test_what_a_node_commits_after_it_has_lost_the_run_does_not_count() -> None:
    late = (Execution("r2", "a", 1, 1.0, 9.0), Execution("r2", "b", 1, 9.1))  # it was paused within a
    assert check(with_steps(good(), *late, Execution("r2", "a", 2, 5.0, 6.0))).ok
    in_time = (Execution("r2", "a", 1, 1.0, 2.0), Execution("r2", "b", 1, 2.1))
    assert kinds(check(with_steps(good(), *in_time, Execution("r2", "a", 2, 5.0)))) == {K.STEP_REPEATED}


def test_steps_may_be_executed_again_until_they_are_kept() -> None:
    for more in (
        [Execution("r2", "a", 1, 1.0), Execution("r2", "a", 2, 2.0, 3.0)],
        [Execution("r2", "a", 1, 1.0, 2.0), Execution("r2", "a", 2, 3.0, 4.0)],
        [Execution("r2", "a", 1, 1.0, 2.0, False), Execution("r2", "b", 1, 3.0), Execution("r2", "a", 2, 4.0)],
        # Two at the same time, of which one ended before the node died: the other began before that.
        [Execution("r2", "a", 1, 1.0, 5.0), Execution("r2", "b", 1, 1.1), Execution("r2", "a", 2, 6.0)],
        [Execution("r2", "a", 1, 1.0, 2.0, True), Execution("r1", "a", 0, 0.5, 0.6)],
    ):
        assert check(with_steps(good(), *more)).ok, more


def test_a_device_that_left_before_the_end_may_show_what_it_last_heard() -> None:
    history = with_states(good(), "bob", lambda s: s[:-1])
    left = tuple(replace(v, complete=False) if v.device == "bob" else v for v in history.views)
    assert check(replace(history, views=left)).ok


# Logs that start over

OLD_LOG = [replace(entry(n, f"o{n}", "old"), epoch="e1") for n in range(1, 5)]


def began_anew(
    kept: int, *, acked: int, told: bool = True, damage: int | None = None, renamed: bool = False
) -> History:
    """A log of four entries, of which `acked` were acked, came back with `kept` of them and a new one."""
    recorder = Recorder()
    for number, old in enumerate(OLD_LOG, 1):
        recorder.begin_send(ROOM, str(old.request_id), "ann", "old", float(number))
        if number <= acked:
            recorder.end_send(str(old.request_id), "ok", number + 0.5, ("e1", number))
    recorder.begin_send(ROOM, "n", "ann", "new", 10.0)
    recorder.end_send("n", "ok", 10.5, ("e2", kept + 1))
    log = [replace(old, epoch="e2") if renamed else old for old in OLD_LOG[:kept]]
    log.append(replace(entry(kept + 1, "n", "new"), epoch="e2"))
    recorder.log(ROOM, *log)
    for device in ("ann", "bob"):
        recorder.open_view(device, ROOM, whole=True)
        recorder.saw(device, ROOM, *OLD_LOG)
        if told:
            recorder.reset(device, ROOM, "new_epoch", "e2")
            recorder.saw(device, ROOM, *log)
        else:
            recorder.saw(device, ROOM, log[-1])
        recorder.settle(device, ROOM)
    if damage is not None:
        recorder.damage(ROOM, "e1", damage)
    return recorder.history()


@pytest.mark.parametrize("renamed", [False, True])
def test_a_log_that_began_anew_without_losing_anything_acked_is_fine(renamed: bool) -> None:
    report = check(began_anew(2, acked=2, renamed=renamed))
    assert report.anomalies == ()
    assert (report.resets, report.lost, report.forgiven) == (2, 0, 0)


@pytest.mark.parametrize("renamed", [False, True])
def test_what_was_acked_in_an_old_epoch_and_is_gone_is_lost_though_devices_were_told(renamed: bool) -> None:
    report = check(began_anew(2, acked=4, renamed=renamed))
    assert [(a.kind, a.request_id) for a in report.anomalies] == [(K.LOST_ACKED, "o3"), (K.LOST_ACKED, "o4")]
    assert report.lost == 2


@pytest.mark.parametrize("renamed", [False, True])
def test_a_loss_is_forgiven_when_the_store_was_destroyed_above_that_place(renamed: bool) -> None:
    report = check(began_anew(2, acked=4, damage=2, renamed=renamed))
    assert (report.anomalies, report.lost, report.forgiven) == ((), 0, 2)
    report = check(began_anew(2, acked=4, damage=3, renamed=renamed))
    assert [(a.kind, a.request_id) for a in report.anomalies] == [(K.LOST_ACKED, "o3")]


def test_a_loss_is_not_forgiven_when_nobody_was_told() -> None:
    report = check(began_anew(2, acked=4, damage=2, told=False))
    assert {K.LOST_ACKED, K.NOT_DENSE, K.DIFFERS} <= kinds(report)
    assert report.forgiven == 0


def test_a_device_that_is_told_of_a_new_epoch_finds_one() -> None:
    history = began_anew(4, acked=4)
    same = tuple(replace(view, epoch="e1") if view.part else view for view in history.views)
    vain = [a for a in check(replace(history, views=same)).anomalies if a.kind == K.RESET_IN_VAIN]
    assert [anomaly.device for anomaly in vain] == ["ann", "bob"]


def test_devices_that_saw_a_log_that_is_gone_saw_the_same() -> None:
    history = began_anew(2, acked=2)
    other = replace(OLD_LOG[3], digest="other")
    views = tuple(
        replace(v, entries=(*OLD_LOG[:3], other)) if (v.device, v.part) == ("bob", 0) else v for v in history.views
    )
    report = check(replace(history, views=views))
    assert [(a.kind, a.device, a.seq) for a in report.anomalies] == [(K.DIFFERS, "bob", 4)]


def test_before_and_after_a_reset_order_holds_and_nothing_is_skipped() -> None:
    history = began_anew(2, acked=2)
    for part, entries, kind in (
        (0, [OLD_LOG[0], OLD_LOG[2], OLD_LOG[3]], K.SKIPPED),
        (0, [OLD_LOG[0], OLD_LOG[2], OLD_LOG[1], OLD_LOG[3]], K.OUT_OF_ORDER),
        (1, list(history.logs[ROOM])[:2], K.MISSING_AT_END),
    ):
        views = tuple(
            replace(v, entries=tuple(entries)) if (v.device, v.part) == ("bob", part) else v for v in history.views
        )
        assert kind in kinds(check(replace(history, views=views)))


def test_a_run_of_a_message_that_is_lost_is_not_named_as_well() -> None:
    history = began_anew(2, acked=4)
    sends = tuple(
        replace(s, acks=(s.acks[0]._replace(run_id="r1"),)) if s.request_id == "o4" else s for s in history.sends
    )
    views = (RunView("ann", ROOM, "r1", (Shown("run:changed", 1, 1, 0, ""), Shown("", 1, None, 0, ""))),)
    lost = replace(history, sends=sends)
    assert kinds(check(lost)) == {K.LOST_ACKED}
    assert kinds(check(replace(lost, run_views=views))) == {K.LOST_ACKED, K.RUN_NOT_ENDED}


def started_over(*, told: bool) -> History:
    """A device saw a third attempt and the beginning of r2; a failover took both, and attempt 2 ended r1.

    `told`: the log has another epoch then.
    """
    recorder = Recorder()
    recorder.begin_send(ROOM, "a0", "ann", "hi", 0.0)
    recorder.end_send("a0", "ok", 0.5, (E, 2), "r1")
    log = (entry(1, None), entry(2, "a0", "hi"), final(3, "r1", 2))
    recorder.open_view("ann", ROOM, whole=True)
    recorder.saw("ann", ROOM, *log[:2])
    new = "e2" if told else E
    for run_id, event, of, shows, epoch in (
        ("r1", "run:changed", 2, (2, ""), E),
        ("r1", "run:written", 2, (2, "two"), E),
        ("r1", "run:changed", 3, (3, ""), E),
        ("r1", "run:written", 3, (3, "four"), E),
        ("r2", "run:changed", 1, (1, ""), E),
        ("r1", "", 2, (2, "one"), new),
    ):
        recorder.run_event("ann", ROOM, run_id, event, of, shows, epoch)
    if told:
        recorder.reset("ann", ROOM, "new_epoch", new)
        recorder.saw("ann", ROOM, *log)
    else:
        recorder.saw("ann", ROOM, log[2])
    recorder.run_event("ann", ROOM, "r1", "entry", 2, None, new)
    recorder.settle("ann", ROOM)
    recorder.log(ROOM, *log)
    return recorder.history()


def test_attempts_and_runs_that_went_with_an_old_epoch_are_forgiven_when_devices_were_told() -> None:
    assert check(started_over(told=True)).ok
    broken = kinds(check(started_over(told=False)))
    assert broken == {K.DEAD_TEXT, K.STALE_END, K.TEXT_DIFFERS, K.RUN_NOT_ENDED}


def test_text_that_is_left_in_the_last_epoch_is_found() -> None:
    history = started_over(told=True)
    *others, last = history.run_views
    left = replace(last, states=last.states[:-1])
    assert kinds(check(replace(history, run_views=(*others, left)))) == {K.TEXT_LEFT}


def test_what_a_device_has_shown_last_is_judged_though_the_log_has_started_over_since() -> None:
    history = started_over(told=True)
    of_old = next(view for view in history.run_views if view.run_id == "r1" and view.epoch == E)
    only_old = tuple(view for view in history.run_views if view.run_id != "r1")
    assert kinds(check(replace(history, run_views=(*only_old, of_old)))) == {K.TEXT_LEFT, K.STALE_END}
    none = Shown("", 3, None, 0, "")
    shows_none = replace(of_old, states=(*of_old.states, none))
    assert kinds(check(replace(history, run_views=(*only_old, shows_none)))) == {K.STALE_END}


def of_epoch(epoch: str, *entries: Seen) -> tuple[Seen, ...]:
    return tuple(replace(one, epoch=epoch, digest=f"{epoch} {one.digest}") for one in entries)


def test_a_device_that_left_before_the_log_started_over_keeps_what_it_was_handed() -> None:
    recorder = Recorder()
    log = (entry(1, None), entry(2, None))
    for device in ("ann", "bob"):
        recorder.open_view(device, ROOM, whole=True)
        recorder.saw(device, ROOM, *log)
    recorder.reset("ann", ROOM, "new_epoch", "e2")
    recorder.saw("ann", ROOM, *of_epoch("e2", *log))
    recorder.settle("ann", ROOM)
    recorder.log(ROOM, *of_epoch("e2", *log))
    assert check(recorder.history()).ok
    recorder.settle("bob", ROOM)
    assert K.DIFFERS in kinds(check(recorder.history())), "one that is there in the end is told"


def test_entries_that_are_not_kept_are_judged_in_the_epoch_of_the_end() -> None:
    recorder = Recorder()
    recorder.retain(ROOM, 1)
    log = (entry(1, None), entry(2, None), entry(3, None))
    recorder.open_view("ann", ROOM, whole=True)
    recorder.saw("ann", ROOM, *log[:1])
    recorder.reset("ann", ROOM, "new_epoch", "e2")
    recorder.saw("ann", ROOM, *of_epoch("e2", *log))
    recorder.settle("ann", ROOM)
    recorder.log(ROOM, *of_epoch("e2", log[2]))
    assert check(recorder.history()).ok
