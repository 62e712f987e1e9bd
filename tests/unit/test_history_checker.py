"""Proves that the history checker names every broken promise and accuses no correct run."""

from dataclasses import replace
from typing import Any

import pytest

from roomgraph.check import Acked, AnomalyKind, History, Recorder, Report, Seen, check
from tests.histories import (
    ABOUT_MEMBERS,
    ABOUT_RUNS,
    ROOM,
    E,
    Edit,
    K,
    entry,
    good,
    kinds,
    with_log,
    with_send,
    with_view,
)

L = good().logs[ROOM]
# kind, what went wrong, (device, seq, request_id) it is named with, (lost, duplicated, reordered)
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
    assert (first.conversation_id, first.device, first.seq, first.request_id) == (ROOM, *named)
    assert first.detail.endswith(".")
    assert (report.lost, report.duplicated, report.reordered) == counts
    # Named once for each time it happened, however many devices were handed what the log has wrong.
    assert len(report.anomalies) == max(1, *counts[1:])


def test_every_kind_about_sends_logs_and_devices_has_a_bad_example() -> None:
    assert {bad[0] for bad in BAD} == set(AnomalyKind) - ABOUT_RUNS - ABOUT_MEMBERS - {K.RESET_IN_VAIN}


def test_a_message_that_only_a_device_was_handed_is_invented_there() -> None:
    report = check(with_view(good(), "bob", *L, entry(7, "zz", "who?")))
    assert kinds(report) == {K.INVENTED, K.DIFFERS}
    assert {anomaly.device for anomaly in report.anomalies} == {"bob"}


def test_a_message_of_another_conversation_is_invented_here() -> None:
    history = replace(good(), logs={ROOM: L, "other": (entry(1, "b1", "ok"),)})
    assert [(a.kind, a.conversation_id) for a in check(history).anomalies] == [(K.INVENTED, "other")]


def test_every_send_that_is_logged_before_an_earlier_one_is_named() -> None:
    history, orders = good(), {"a0": 1, "a1": 2, "b0": 0}
    for request_id, order in orders.items():
        history = with_send(history, request_id, device="ann", order=order)
    assert [(a.kind, a.request_id) for a in check(history).anomalies] == [
        (K.SEND_ORDER, "a0"),
        (K.SEND_ORDER, "a1"),
    ]


def test_a_message_whose_ack_changed_is_still_lost_to_a_device_that_was_never_handed_it() -> None:
    history = with_send(good(), "a0", acks=(Acked(E, 9), Acked(E, 2)))
    assert check(with_view(history, "ann", L[0], *L[2:])).lost == 1


def test_sends_that_touch_in_time_may_be_logged_either_way() -> None:
    assert check(with_send(good(), "a1", invoked=6.0, completed=7.0)).ok


def test_one_request_id_has_one_send_and_one_device_has_one_view() -> None:
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
