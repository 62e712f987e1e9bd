"""Proves that the checker judges leaving, invitations, sign-outs, edits and retention."""

from __future__ import annotations

from dataclasses import replace

from roomgraph.check import (
    Absence,
    Acked,
    DeviceView,
    History,
    Invitation,
    Recorder,
    Retention,
    Seen,
    Send,
    Session,
    SignOut,
    check,
)
from roomgraph.check.history import BY_INVITATION, CREATED, JOINED, LEFT
from tests.histories import ROOM, E, K, entry, kinds


def about(seq: int, kind: str, whom: str) -> Seen:
    return Seen(E, seq, kind, None, "", str(seq), about=whom)


LOG = (
    about(1, CREATED, BY_INVITATION),
    about(2, JOINED, "g"),
    entry(3, None),
    about(4, LEFT, "g"),
    entry(5, None),
    about(6, JOINED, "g"),
    entry(7, None),
)
INVITED = (Invitation(ROOM, "g"), Invitation(ROOM, "g"))


def with_guest(*entries: Seen, absences: tuple[Absence, ...]) -> History:
    view = DeviceView("guest", ROOM, entries, complete=False, whole=False)
    return History((), (view,), {ROOM: LOG}, absences=absences, invitations=INVITED)


def test_a_device_that_left_may_be_handed_everything_up_to_its_leaving_and_what_it_missed_after_joining() -> None:
    gone = Absence("guest", ROOM, "g", part=0, after=2, until=3)
    assert check(with_guest(*LOG[1:], absences=(gone,))).ok
    for_good = replace(gone, until=None)
    assert check(with_guest(*LOG[1:4], absences=(for_good,))).ok


def test_a_device_that_left_and_is_handed_something_later_is_named_once_for_each_entry() -> None:
    gone = Absence("guest", ROOM, "g", part=0, after=2, until=5)
    report = check(with_guest(*LOG[1:], absences=(gone,)))
    assert [(a.kind, a.device, a.seq) for a in report.anomalies] == [
        (K.HEARD_AFTER_LEAVING, "guest", 5),
        (K.HEARD_AFTER_LEAVING, "guest", 6),
    ]


def test_a_device_that_had_been_handed_its_leaving_before_is_still_to_hear_nothing() -> None:
    refused = Absence("guest", ROOM, "g", part=0, after=3)
    report = check(with_guest(*LOG[1:5], absences=(refused,)))
    assert [(a.kind, a.seq) for a in report.anomalies] == [(K.HEARD_AFTER_LEAVING, 5)]


def test_a_user_joins_a_conversation_by_invitation_once_for_each_invitation() -> None:
    history = History((), (), {ROOM: LOG}, invitations=INVITED)
    assert check(history).ok
    report = check(replace(history, invitations=INVITED[1:]))
    assert [(a.kind, a.seq) for a in report.anomalies] == [(K.UNINVITED, 6)]
    is_open = (about(1, CREATED, "open"), *LOG[1:])
    assert check(replace(history, logs={ROOM: is_open}, invitations=())).ok


OUT = SignOut("phone", invoked=10.0, completed=11.0)
BEFORE = Session("phone", issued=0.0, began=1.0, opened=2.0, ended=10.5)


def of_sessions(*sessions: Session, sign_outs: tuple[SignOut, ...] = (OUT,)) -> set[K]:
    return kinds(check(History((), (), {}, sessions=sessions, sign_outs=sign_outs)))


def test_a_session_of_a_signed_out_device_ends_and_its_token_lets_nobody_in() -> None:
    assert of_sessions(BEFORE) == set()
    assert of_sessions(replace(BEFORE, ended=None)) == {K.SIGNED_OUT_SERVED}
    assert of_sessions(replace(BEFORE, began=11.5, opened=12.0, ended=13.0)) == {K.SIGNED_OUT_SERVED}
    # Begun before the ack: either the handshake sees the sign-out, or the sign-out sees the session.
    assert of_sessions(replace(BEFORE, began=10.5, opened=12.0, ended=13.0)) == set()


def test_a_newer_token_lets_a_signed_out_device_in() -> None:
    again = Session("phone", issued=12.0, began=13.0, opened=14.0)
    assert of_sessions(BEFORE, again) == set()
    shut_out = replace(again, opened=None, ended=14.0, refused="token_revoked")
    assert of_sessions(BEFORE, shut_out) == {K.SHUT_OUT}
    assert of_sessions(BEFORE, replace(shut_out, issued=5.0)) == set(), "an older token is rightly refused"
    assert of_sessions(replace(shut_out, issued=5.0), sign_outs=()) == {K.SHUT_OUT}


def test_a_sign_out_without_an_ack_may_have_happened_or_not() -> None:
    unknown = replace(OUT, completed=None)
    assert of_sessions(replace(BEFORE, ended=None), sign_outs=(unknown,)) == set()
    refused = Session("phone", issued=30.0, began=31.0, ended=32.0, refused="token_revoked")
    assert of_sessions(refused, sign_outs=(unknown,)) == set()


def test_an_edit_names_the_message_that_it_replaces() -> None:
    edit = replace(entry(2, "a1", "new"), replaces=1)
    log = (entry(1, "a0", "old"), edit)
    sends = (
        Send(ROOM, "a0", "ann", "old", 0, 1.0, 2.0, "ok", (Acked(E, 1),)),
        Send(ROOM, "a1", "ann", "new", 1, 3.0, 4.0, "ok", (Acked(E, 2),), edits=1),
    )
    assert check(History(sends, (), {ROOM: log})).ok
    assert kinds(check(History(sends, (), {ROOM: (log[0], replace(edit, replaces=None))}))) == {K.INVENTED}


# Retention

KEPT = 10


def retained(head: int, *, reset_at: int, told_head: int) -> History:
    """A device stays; another one is away after seq 5, and is told that what follows is not kept."""
    recorder = Recorder()
    recorder.retain(ROOM, KEPT)
    log = [entry(seq, f"m{seq}", "hi") for seq in range(1, head + 1)]
    for seq in range(1, head + 1):
        recorder.begin_send(ROOM, f"m{seq}", "host", "hi", float(seq))
        recorder.end_send(f"m{seq}", "ok", seq + 0.5, (E, seq))
    for device in ("host", "reader"):
        recorder.open_view(device, ROOM, whole=True)
    recorder.saw("host", ROOM, *log)
    recorder.saw("reader", ROOM, *log[:5])
    recorder.reset("reader", ROOM, "older_than_retention", E, head=told_head)
    recorder.saw("reader", ROOM, *log[reset_at - 1 :])
    for device in ("host", "reader"):
        recorder.settle(device, ROOM)
    recorder.log(ROOM, *log[-KEPT:])
    return recorder.history()


def test_what_is_not_kept_any_more_is_judged_by_what_devices_were_handed() -> None:
    history = retained(30, reset_at=21, told_head=30)
    report = check(history)
    assert report.anomalies == ()
    assert (report.sent, report.acked, report.lost, report.resets) == (30, 30, 0, 1)
    views = tuple(
        replace(view, entries=tuple(replace(e, digest="x") if e.seq == 3 else e for e in view.entries))
        if view.device == "reader"
        else view
        for view in history.views
    )
    assert kinds(check(replace(history, views=views))) == {K.DIFFERS}


def test_a_device_is_told_that_entries_are_not_kept_only_when_it_has_missed_such() -> None:
    assert check(retained(30, reset_at=7, told_head=16)).ok
    assert kinds(check(retained(30, reset_at=6, told_head=15))) == {K.RESET_IN_VAIN}
    forever = replace(retained(8, reset_at=6, told_head=8), retentions=())
    assert kinds(check(forever)) == {K.RESET_IN_VAIN}


def test_a_log_that_begins_above_its_retention_is_not_dense() -> None:
    history = retained(30, reset_at=21, told_head=30)
    short = replace(history, logs={ROOM: history.logs[ROOM][1:]})
    assert K.NOT_DENSE in kinds(check(short))
    assert K.NOT_DENSE in kinds(check(replace(history, retentions=(Retention(ROOM, 20),))))


def test_the_recorder_counts_absences_by_what_was_handed_until_then() -> None:
    recorder = Recorder()
    recorder.open_view("guest", ROOM, whole=True)
    recorder.saw("guest", ROOM, *LOG[:3])
    recorder.leave("guest", ROOM, "g")
    recorder.leave("guest", ROOM, "g")  # the request is repeated
    recorder.saw("guest", ROOM, LOG[3])
    recorder.join_again("guest", ROOM)
    recorder.saw("guest", ROOM, *LOG[4:])
    recorder.leave("guest", ROOM, "g")
    assert recorder.history().absences == (
        Absence("guest", ROOM, "g", part=0, after=3, until=4),
        Absence("guest", ROOM, "g", part=0, after=7),
    )
