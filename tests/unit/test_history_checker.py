"""Proves that the history checker names every broken promise and accuses no correct run."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sio_clients.check import (
    PROMISES,
    Acked,
    AnomalyKind,
    DeviceView,
    History,
    Recorder,
    Report,
    Seen,
    Send,
    check,
)

E, ROOM = "e1", "room"
Edit = Callable[[History], History]
Plan = Callable[[History, Any], History]


def entry(seq: int, client_id: str | None, text: str = "") -> Seen:
    kind = "message" if client_id else "member_joined"
    return Seen(E, seq, kind, client_id, text, f"{seq}/{client_id}/{text}")


def good() -> History:
    """Two devices, overlapping sends, one retry, one refusal, one late joiner that then left."""
    log = (
        entry(1, None),
        entry(2, "a0", "hi"),
        entry(3, "a1", "there"),
        entry(4, "b0", "yo"),
        entry(5, None),
        entry(6, "b1", "ok"),
    )
    at = Acked
    return History(
        sends=(
            Send(ROOM, "a0", "ann", "hi", 0, 1.0, 4.0, "ok", (at(E, 2), at(E, 2))),
            Send(ROOM, "a1", "ann", "there", 1, 2.0, 5.0, "ok", (at(E, 3),)),
            Send(ROOM, "b0", "bob", "yo", 0, 3.0, 6.0, "ok", (at(E, 4),)),
            Send(ROOM, "b1", "bob", "ok", 1, 7.0, None, "unknown", ()),
            Send(ROOM, "a2", "ann", "no", 2, 6.0, 7.0, "failed", ()),
        ),
        views=(
            DeviceView("ann", ROOM, log, complete=True, whole=True),
            DeviceView("bob", ROOM, log, complete=True, whole=True),
            DeviceView("cat", ROOM, log[2:5], complete=False, whole=False),
        ),
        logs={ROOM: log},
    )


def with_send(history: History, client_id: str, **changes: Any) -> History:
    sends = (replace(s, **changes) if s.client_id == client_id else s for s in history.sends)
    return replace(history, sends=tuple(sends))


def with_view(history: History, device: str, *entries: Seen) -> History:
    views = (replace(v, entries=entries) if v.device == device else v for v in history.views)
    return replace(history, views=tuple(views))


def with_log(history: History, *log: Seen) -> History:
    """Change the log and show every device what it says, so that only the log is to blame."""
    views = (replace(v, entries=log if v.whole else log[2:5]) for v in history.views)
    return replace(history, views=tuple(views), logs={ROOM: log})


def kinds(report: Report) -> set[AnomalyKind]:
    return {anomaly.kind for anomaly in report.anomalies}


L = good().logs[ROOM]
K = AnomalyKind
# kind, what went wrong, (device, seq, client_id) it is named with, (lost, duplicated, reordered)
BAD: list[tuple[AnomalyKind, Edit, tuple[str | None, int, str | None], tuple[int, int, int]]] = [
    (K.LOST_ACKED, lambda h: with_log(h, *L[:3], entry(4, None), *L[4:]), ("bob", 4, "b0"), (1, 0, 0)),
    (K.LOST_ACKED, lambda h: with_send(h, "b0", acks=(Acked("e0", 4),)), ("bob", 4, "b0"), (1, 0, 0)),
    (
        K.ACK_CHANGED,
        lambda h: with_send(h, "a0", acks=(Acked(E, 2), Acked(E, 9))),
        ("ann", 9, "a0"),
        (0, 0, 0),
    ),
    (
        K.ACK_CHANGED,
        lambda h: with_send(h, "a0", acks=(Acked(E, 9), Acked(E, 2))),
        ("ann", 2, "a0"),
        (0, 0, 0),
    ),
    (K.PHANTOM, lambda h: with_send(h, "b1", outcome="failed"), ("bob", 6, "b1"), (0, 0, 0)),
    (
        K.NOT_DENSE,
        lambda h: with_log(h, *L[:4], replace(L[5], seq=6)),
        (None, 6, "b1"),
        (0, 0, 0),
    ),
    (K.NOT_DENSE, lambda h: with_log(h, *L[1:]), (None, 2, "a0"), (0, 0, 0)),
    (K.NOT_DENSE, lambda h: with_log(h, *L[:5], replace(L[5], epoch="e2")), (None, 6, "b1"), (0, 0, 0)),
    (K.DUPLICATE_IN_LOG, lambda h: with_log(h, *L, replace(L[1], seq=7)), (None, 7, "a0"), (0, 1, 0)),
    (K.INVENTED, lambda h: with_log(h, *L, entry(7, "zz", "who?")), (None, 7, "zz"), (0, 0, 0)),
    (K.INVENTED, lambda h: with_log(h, *L[:5], replace(L[5], text="OK")), (None, 6, "b1"), (0, 0, 0)),
    (K.INVENTED, lambda h: with_log(h, *L, Seen(E, 7, "message", None, "", "x")), (None, 7, None), (0, 0, 0)),
    (K.DELIVERED_TWICE, lambda h: with_view(h, "bob", *L[:3], *L[1:]), ("bob", 2, "a0"), (0, 2, 0)),
    (
        K.OUT_OF_ORDER,
        lambda h: with_view(h, "bob", *L[:2], L[3], L[2], *L[4:]),
        ("bob", 3, "a1"),
        (0, 0, 1),
    ),
    (K.OUT_OF_ORDER, lambda h: with_view(h, "cat", *L[2:5], L[1]), ("cat", 2, "a0"), (0, 0, 1)),
    (K.SKIPPED, lambda h: with_view(h, "ann", *L[:1], *L[3:]), ("ann", 2, None), (2, 0, 0)),
    (K.SKIPPED, lambda h: with_view(h, "bob", *L[1:]), ("bob", 1, None), (0, 0, 0)),
    (K.SKIPPED, lambda h: with_view(h, "cat", L[2], L[4]), ("cat", 4, None), (1, 0, 0)),
    (K.MISSING_AT_END, lambda h: with_view(h, "bob", *L[:3]), ("bob", 4, None), (1, 0, 0)),
    (K.MISSING_AT_END, lambda h: with_view(h, "bob"), ("bob", 1, None), (3, 0, 0)),
    (
        K.DIFFERS,
        lambda h: with_view(h, "bob", *L[:2], replace(L[2], digest="x"), *L[3:]),
        ("bob", 3, "a1"),
        (1, 0, 0),
    ),
    (K.DIFFERS, lambda h: with_view(h, "bob", *L, entry(7, None)), ("bob", 7, None), (0, 0, 0)),
    (
        K.SEND_ORDER,
        lambda h: with_send(with_send(h, "a0", order=1), "a1", order=0),
        ("ann", 2, "a0"),
        (0, 0, 1),
    ),
    (K.REAL_TIME, lambda h: with_send(h, "a1", invoked=6.5, completed=7.0), ("ann", 3, "a1"), (0, 0, 1)),
]


def test_a_good_history_is_not_accused_of_anything() -> None:
    report = check(good())
    assert report.ok
    # ann was handed bob's two, bob ann's two, and cat one of each.
    assert report == Report((), sent=5, acked=3, received=6, lost=0, duplicated=0, reordered=0)
    assert check(History((), (), {})).ok


@pytest.mark.parametrize(("kind", "edit", "named", "counts"), BAD)
def test_a_broken_promise_is_named_exactly_and_counted(
    kind: AnomalyKind, edit: Edit, named: tuple[str | None, int, str | None], counts: tuple[int, int, int]
) -> None:
    report = check(edit(good()))
    assert not report.ok
    assert kinds(report) == {kind}
    first = report.anomalies[0]
    assert (first.conversation_id, first.device, first.seq, first.client_id) == (ROOM, *named)
    assert first.detail.endswith(".")
    assert (report.lost, report.duplicated, report.reordered) == counts
    # Named once for each time it happened, however many devices were handed what the log has wrong.
    assert len(report.anomalies) == max(1, *counts[1:])


def test_every_kind_has_a_promise_and_a_bad_example() -> None:
    assert {promise.__name__ for promise in PROMISES} == set(AnomalyKind) == {bad[0] for bad in BAD}
    assert all((promise.__doc__ or "").endswith(".") for promise in PROMISES)


def test_a_message_that_only_a_device_was_handed_is_invented_there() -> None:
    report = check(with_view(good(), "bob", *L, entry(7, "zz", "who?")))
    assert kinds(report) == {K.INVENTED, K.DIFFERS}
    assert {anomaly.device for anomaly in report.anomalies} == {"bob"}


def test_a_message_of_another_conversation_is_invented_here() -> None:
    history = replace(good(), logs={ROOM: L, "other": (entry(1, "b1", "ok"),)})
    assert [(a.kind, a.conversation_id) for a in check(history).anomalies] == [(K.INVENTED, "other")]


def test_every_send_that_is_logged_before_an_earlier_one_is_named() -> None:
    history, orders = good(), {"a0": 1, "a1": 2, "b0": 0}
    for client_id, order in orders.items():
        history = with_send(history, client_id, device="ann", order=order)
    assert [(a.kind, a.client_id) for a in check(history).anomalies] == [
        (K.SEND_ORDER, "a0"),
        (K.SEND_ORDER, "a1"),
    ]


def test_a_message_whose_ack_changed_is_still_lost_to_a_device_that_was_never_handed_it() -> None:
    history = with_send(good(), "a0", acks=(Acked(E, 9), Acked(E, 2)))
    assert check(with_view(history, "ann", L[0], *L[2:])).lost == 1


def test_sends_that_touch_in_time_may_be_logged_either_way() -> None:
    assert check(with_send(good(), "a1", invoked=6.0, completed=7.0)).ok


def test_one_client_id_has_one_send_and_one_device_has_one_view() -> None:
    with pytest.raises(ValueError, match="a retry is the same send"):
        replace(good(), sends=good().sends * 2)
    with pytest.raises(ValueError, match="needs a name"):
        replace(good(), views=good().views * 2)


@pytest.mark.parametrize(
    ("attempts", "outcome"),
    [
        ([], "unknown"),
        (["ok"], "ok"),
        (["unknown", "ok"], "ok"),
        (["failed", "ok", "ok"], "ok"),
        (["ok", "failed"], "ok"),
        (["failed", "failed"], "failed"),
        (["unknown", "failed"], "unknown"),
        (["failed", None], "unknown"),
        ([None, "failed"], "unknown"),
        (["unknown", "next send", "ok"], "unknown"),
        (["next send", "ok"], "ok"),
    ],
)
def test_a_send_is_failed_only_when_every_attempt_failed_and_ok_only_while_its_order_stands(
    attempts: list[Any], outcome: str
) -> None:
    recorder = Recorder()
    recorder.begin_send(ROOM, "x", "ann", "hi", 0.0)
    for number, attempt in enumerate(attempts):
        if attempt == "next send":
            recorder.begin_send(ROOM, "y", "ann", "more", 1.0)
            continue
        if number:
            recorder.begin_send(ROOM, "x", "ann", "hi", float(number))
        if attempt:
            recorder.end_send("x", attempt, number + 0.5, (E, 1) if attempt == "ok" else None)
    send = recorder.history().sends[0]
    assert (send.outcome, send.order, send.invoked) == (outcome, 0, 0.0)
    assert send.acks == (Acked(E, 1),) * attempts.count("ok")
    if outcome == "unknown":
        assert send.completed is None
    else:
        # The first ok is when the device knew (a repeated ack is no news); a failure stands with its last.
        ended = attempts.index("ok") if outcome == "ok" else len(attempts) - 1
        assert send.completed == ended + 0.5


def test_the_recorder_refuses_what_cannot_be_one_send() -> None:
    recorder = Recorder()
    recorder.begin_send(ROOM, "x", "ann", "hi", 0.0)
    with pytest.raises(ValueError, match="already another send"):
        recorder.begin_send(ROOM, "x", "ann", "changed", 1.0)
    with pytest.raises(ValueError, match="an ok send has an ack"):
        recorder.end_send("x", "ok", 1.0)


def test_a_hundred_thousand_deliveries_are_checked() -> None:
    recorder = Recorder()
    for seq in range(1, 5_001):
        recorder.begin_send(ROOM, f"c{seq}", f"d{seq % 20}", "hi", float(seq))
        recorder.end_send(f"c{seq}", "ok", seq + 0.5, (E, seq))
    log = [entry(seq, f"c{seq}", "hi") for seq in range(1, 5_001)]
    recorder.log(ROOM, *log)
    for number in range(20):
        recorder.open_view(f"d{number}", ROOM, whole=True)
        recorder.saw(f"d{number}", ROOM, *log)
        recorder.settle(f"d{number}", ROOM)
    assert check(recorder.history()) == Report((), 5_000, 5_000, 95_000, 0, 0, 0)


FATES = ("ok", "retried", "moved on", "logged unanswered", "not logged", "failed", "notice")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("c1", "c2")),
        st.sampled_from(("d0", "d1", "d2")),
        st.sampled_from(FATES),
        st.floats(0, 30),
        st.floats(0, 30),
    ),
    max_size=30,
)
# Enough of everything that any kind of anomaly can be planted.
FLOOR = [("c1", device, "ok", 0.0, 0.0) for device in ("d0", "d1")] * 2


@st.composite
def correct_histories(draw: st.DrawFn) -> History:
    """Play a run against one true log: each send takes effect at one instant between call and answer."""
    recorder, logs, begun = Recorder(), dict[str, list[Seen]](c1=[], c2=[]), dict[str, float]()
    for number, (room, device, fate, before, after) in enumerate(FLOOR + draw(STEPS)):
        log, now, client_id = logs[room], number * 10.0, f"m{number}"
        here = (E + room, len(log) + 1)
        if fate not in ("not logged", "failed"):
            log.append(replace(entry(here[1], None if fate == "notice" else client_id, "hi"), epoch=here[0]))
        if fate == "notice":
            continue
        # A device may have several sends under way, but it begins them in their order.
        begun[device] = max(begun.get(device, 0.0), now - before)
        recorder.begin_send(room, client_id, device, "hi", begun[device])
        if fate in ("retried", "moved on"):
            recorder.end_send(client_id, "unknown", now)
        if fate == "moved on":
            # What it sent next overtakes what it gave up: both are kept, in this order, and that is fair.
            recorder.begin_send(room, f"{client_id}+", device, "next", now)
            recorder.end_send(f"{client_id}+", "ok", now + after, here)
            log.insert(len(log) - 1, replace(entry(here[1], f"{client_id}+", "next"), epoch=here[0]))
            here = (here[0], len(log))
            log[-1] = replace(log[-1], seq=here[1])
        if fate in ("ok", "retried", "moved on"):
            for times in range(draw(st.integers(1, 3))):
                recorder.begin_send(room, client_id, device, "hi", now)
                recorder.end_send(client_id, "ok", now + after + times, here)
        if fate == "failed":
            recorder.end_send(client_id, "failed", now + after)
    for room, log in logs.items():
        recorder.log(room, *log[:3])
        recorder.log(room, *log[3:])
        views = [("watcher", True, True), *((d, draw(st.booleans()), draw(st.booleans())) for d in ("d0", "d1"))]
        for device, whole, complete in views:
            start = 0 if whole else draw(st.integers(0, len(log)))
            end = len(log) if complete else draw(st.integers(start, len(log)))
            reconnect = draw(st.integers(start, end))
            for part in (log[start:reconnect], log[reconnect:end]):
                recorder.open_view(device, room, whole=whole)
                recorder.saw(device, room, *part)
            if complete:
                recorder.settle(device, room)
    return recorder.history()


def edit_log(history: History, log: tuple[Seen, ...]) -> History:
    return replace(history, logs={**history.logs, "c1": log})


def edit_view(history: History, entries: list[Seen]) -> History:
    views = (replace(v, entries=tuple(entries)) if is_watcher(v) else v for v in history.views)
    return replace(history, views=tuple(views))


def is_watcher(view: DeviceView) -> bool:
    return (view.device, view.conversation_id) == ("watcher", "c1")


def plant(kind: AnomalyKind, history: History, draw: Callable[[Any], Any]) -> History:
    """Break one promise at a random place of conversation c1, as its log, its watcher or its senders see it."""
    log, seen = history.logs["c1"], list(next(filter(is_watcher, history.views)).entries)
    logged = {e.client_id: e.seq for e in log if e.client_id}
    sends = [send for send in history.sends if send.client_id in logged and send.conversation_id == "c1"]
    acked = [send for send in sends if send.outcome == "ok"]

    def pick(items: list[Any]) -> Any:
        return draw(st.sampled_from(items))

    index = draw(st.integers(0, len(log) - 1))
    inner = draw(st.integers(1, len(log) - 2))
    match kind:
        case K.LOST_ACKED:
            at = logged[pick(acked).client_id] - 1
            return edit_log(history, (*log[:at], *log[at + 1 :]))
        case K.ACK_CHANGED:
            send = pick(acked)
            moved = Acked(send.acks[0].epoch, send.acks[0].seq + draw(st.integers(1, 5)))
            return with_send(history, send.client_id, acks=(*send.acks, moved))
        case K.PHANTOM:
            return with_send(history, pick(sends).client_id, outcome="failed")
        case K.NOT_DENSE:
            broken = pick([(), (replace(log[inner], epoch="x"),), (log[inner], log[inner])])
            return edit_log(history, (*log[:inner], *broken, *log[inner + 1 :]))
        case K.DUPLICATE_IN_LOG:
            return edit_log(history, (*log, replace(log[logged[pick(sends).client_id] - 1], seq=len(log) + 1)))
        case K.INVENTED:
            forged = replace(seen[index], type="message", client_id=pick(["zz", *logged]), text="forged")
            if draw(st.booleans()):
                return edit_log(history, (*log[:index], forged, *log[index + 1 :]))
            return edit_view(history, [*seen[:index], forged, *seen[index + 1 :]])
        case K.DELIVERED_TWICE:
            again = draw(st.integers(index + 1, len(log)))
            return edit_view(history, [*seen[:again], seen[index], *seen[again:]])
        case K.OUT_OF_ORDER:
            late = seen.pop(index if index < len(log) - 1 else 0)
            return edit_view(history, [*seen[: late.seq], late, *seen[late.seq :]])
        case K.SKIPPED:
            return edit_view(history, [*seen[:inner], *seen[inner + 1 :]])
        case K.MISSING_AT_END:
            return edit_view(history, seen[:index])
        case K.DIFFERS:
            return edit_view(history, [*seen[:index], replace(seen[index], digest="x"), *seen[index + 1 :]])
        case K.SEND_ORDER:
            one, two = pick([(a, b) for a, b in combinations(acked, 2) if a.device == b.device])
            return with_send(with_send(history, one.client_id, order=two.order), two.client_id, order=one.order)
        case K.REAL_TIME:
            early, done = pick([(a, b) for a in sends for b in acked if logged[a.client_id] < logged[b.client_id]])
            return with_send(history, early.client_id, invoked=done.completed + 0.1)


@settings(deadline=None)
@given(correct_histories())
def test_no_correct_history_is_accused(history: History) -> None:
    report = check(history)
    assert report.anomalies == ()
    assert (report.lost, report.duplicated, report.reordered) == (0, 0, 0)


@settings(deadline=None, max_examples=300)
@given(correct_histories(), st.sampled_from(list(AnomalyKind)), st.data())
def test_a_broken_promise_planted_anywhere_is_named(
    history: History, kind: AnomalyKind, data: st.DataObject
) -> None:
    assert kind in kinds(check(plant(kind, history, data.draw)))
