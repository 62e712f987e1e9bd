"""Histories to judge: a good one, generated correct ones, and anomalies of every kind to plant in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import strategies as st

from roomgraph.check import (
    Acked,
    AnomalyKind,
    DeviceView,
    Execution,
    History,
    Recorder,
    Report,
    Run,
    Seen,
    Send,
    Shown,
)
from roomgraph.check.history import BY_INVITATION, CREATED, JOINED, LEFT
from sio_server.protocol.events import Entry
from sio_server.protocol.stream import Stream
from tests.vectors.model import Event, ModelConversation

E, ROOM = "e1", "room"
Edit = Callable[[History], History]
K = AnomalyKind
ABOUT_RUNS = {
    *(K.RUN_NOT_ENDED, K.RUN_ENDED_TWICE, K.STALE_END, K.STEP_REPEATED, K.REPLACES_OTHER, K.ANSWERED_TWICE),
    *(K.DEAD_TEXT, K.TEXT_LEFT, K.TEXT_DIFFERS),
}
ABOUT_MEMBERS = {K.HEARD_AFTER_LEAVING, K.UNINVITED, K.SIGNED_OUT_SERVED, K.SHUT_OUT}


def entry(seq: int, request_id: str | None, text: str = "") -> Seen:
    kind = "message" if request_id else "member_joined"
    return Seen(E, seq, kind, request_id, text, f"{seq}/{request_id}/{text}")


def final(seq: int, run_id: str, attempt: int = 1, kind: str = "answer") -> Seen:
    return Seen(E, seq, kind, None, "said", f"{seq}/{run_id}/{attempt}", run_id, attempt)


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


def with_send(history: History, request_id: str, **changes: Any) -> History:
    sends = (replace(s, **changes) if s.request_id == request_id else s for s in history.sends)
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


FATES = ("ok", "retried", "moved on", "logged unanswered", "not logged", "failed", "notice", "run")
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
FLOOR = [("c1", device, "ok", 0.0, 0.0) for device in ("d0", "d1")] * 2 + [("c1", "d0", "run", 0.0, 0.0)]
FLOOR_RUN = f"r{len(FLOOR) - 1}"
DEVICES = ("watcher", "d0", "d1")
LATER, LOST = "later", "lost"  # what a device may do instead of hearing an event


def play_text(
    recorder: Recorder, end: Entry, attempts: int, device: str, fate: Callable[[], str], whole: bool
) -> None:
    """A device follows a run as the SDK does, while events are lost and it gets another view now and then."""
    server, stream, run_id = ModelConversation(), Stream(), end.data["run_id"]
    server.append("conversation_created")
    stream.on_answer(server.result(None))

    def note(event: str, of: int) -> None:
        run = stream.runs.get(run_id)
        shows = (run.version, run.text) if run else None
        recorder.run_event(device, end.conversation_id, run_id, event, of, shows)

    def sync(version: int) -> None:
        stream.disconnected()
        stream.on_answer(server.result(stream.position))
        note("", version)

    def hear(told: Event, version: int, how: str) -> None:
        if how == LOST:
            return
        if how == LATER or stream.on_event(*told).sync:
            sync(version)
        else:
            note(told[0], version)

    hear(server.begin(run_id), 0, fate())
    for attempt in range(1, attempts + 1):
        hear(server.claim(run_id), attempt, fate())
        text = f"attempt {attempt} says more and more"
        for start in range(0, len(text), 9):
            hear(server.write(run_id, 0, text[start : start + 9]), attempt, fate())
    if whole:
        if stream.on_event(*server.append(end.type, run_id=run_id)).sync:
            sync(attempts)
        note("entry", attempts)


def play_steps(recorder: Recorder, run_id: str, attempts: int, random: Random) -> None:
    """A run of four steps, whose attempts break off within a step, or before its result is kept."""
    done, at = 0, 0.0
    for attempt in range(1, attempts + 1):
        last = 3 if attempt == attempts else random.randint(min(done + 1, 3), 3)
        for step in range(done, last + 1):
            breaks = step == last and attempt < attempts
            finished = None if breaks and random.random() < 0.5 else at + 1
            recorder.execution(Execution(run_id, "abcd"[step], attempt, at, finished, False if breaks else None))
            at += 2
        done = last


def play_run(
    recorder: Recorder,
    log: list[Seen],
    run_id: str,
    attempts: int,
    *,
    room: str,
    settled: dict[tuple[str, str], bool],
    random: Random,
) -> None:
    """A run ends in one entry, after some attempts; of the floor everybody hears everything."""
    kind = random.choice(("answer", "failed", "stopped", "interrupt"))
    ending = replace(final(len(log) + 1, run_id, attempts, kind), epoch=E + room)
    log.append(ending)
    data = {"run_id": run_id, "attempt": attempts, "interrupts": []}
    end = Entry(v=1, conversation_id=room, epoch=E + room, seq=ending.seq, type=kind, ts="", data=data)
    for device in DEVICES:
        fates = [""] if run_id == FLOOR_RUN else [LOST, LATER, "", "", ""]
        whole = run_id == FLOOR_RUN or settled[device, room] or random.random() < 0.5
        play_text(recorder, end, attempts, device, partial(random.choice, fates), whole)
    play_steps(recorder, run_id, attempts, random)
    if kind == "interrupt" and random.random() < 0.5:
        resumed = f"{run_id}-on"
        resolved = Seen(E + room, len(log) + 1, "interrupt_resolved", None, "", f"{run_id}?", resumed)
        log += [resolved, replace(final(len(log) + 2, resumed), epoch=E + room)]


def play_new_epoch(recorder: Recorder, random: Random, damaged: bool) -> None:
    """The log of c3 starts over without its end, of which nothing was acked, or the store was damaged."""
    kept, gone, more = random.randint(0, 3), random.randint(0, 3), random.randint(1, 3)
    old = [replace(entry(seq, f"o{seq}", "old"), epoch="old") for seq in range(1, kept + gone + 1)]
    renamed = random.random() < 0.5
    new = [replace(one, epoch="new") if renamed else one for one in old[:kept]]
    new += [replace(entry(kept + n, f"n{n}", "new"), epoch="new") for n in range(1, more + 1)]
    for number, one in enumerate([*old, *new[kept:]]):
        recorder.begin_send("c3", str(one.request_id), "d0", one.text, float(number))
        if damaged or one not in old[kept:]:
            recorder.end_send(str(one.request_id), "ok", number + 0.5, (one.epoch, one.seq))
    if damaged:
        recorder.damage("c3", "old", kept)
    for device in DEVICES:
        recorder.open_view(device, "c3", whole=True)
        recorder.saw(device, "c3", *old[: len(old) if device == "watcher" else random.randint(0, len(old))])
        recorder.reset(device, "c3", "new_epoch", "new")
        recorder.saw(device, "c3", *new[random.randint(0, len(new) - 1) :])
        recorder.settle(device, "c3")
    recorder.log("c3", *new)


@st.composite
def correct_histories(draw: st.DrawFn) -> History:
    """Play a run against one true log: each send takes effect at one instant between call and answer."""
    recorder, logs, begun = Recorder(), dict[str, list[Seen]](c1=[], c2=[]), dict[str, float]()
    settled = {(d, room): d == "watcher" or draw(st.booleans()) for d in DEVICES for room in logs}
    # What devices heard is by chance: hundreds of choices, each as good as the other.
    random = Random(draw(st.integers(0, 2**32)))
    for number, (room, device, fate, before, after) in enumerate(FLOOR + draw(STEPS)):
        log, now, request_id = logs[room], number * 10.0, f"m{number}"
        here = (E + room, len(log) + 1)
        if fate not in ("not logged", "failed"):
            log.append(replace(entry(here[1], None if fate == "notice" else request_id, "hi"), epoch=here[0]))
        if fate == "notice":
            continue
        run_id = f"r{number}" if fate == "run" else None
        # A device may have several sends under way, but it begins them in their order.
        begun[device] = max(begun.get(device, 0.0), now - before)
        recorder.begin_send(room, request_id, device, "hi", begun[device])
        if fate in ("retried", "moved on"):
            recorder.end_send(request_id, "unknown", now)
        if fate == "moved on":
            # What it sent next overtakes what it gave up: both are kept, in this order, and that is fair.
            recorder.begin_send(room, f"{request_id}+", device, "next", now)
            recorder.end_send(f"{request_id}+", "ok", now + after, here)
            log.insert(len(log) - 1, replace(entry(here[1], f"{request_id}+", "next"), epoch=here[0]))
            here = (here[0], len(log))
            log[-1] = replace(log[-1], seq=here[1])
        if fate in ("ok", "retried", "moved on", "run"):
            for times in range(draw(st.integers(1, 3))):
                recorder.begin_send(room, request_id, device, "hi", now)
                recorder.end_send(request_id, "ok", now + after + times, here, run_id)
        if fate == "failed":
            recorder.end_send(request_id, "failed", now + after)
        if run_id is not None:
            attempts = 3 if run_id == FLOOR_RUN else random.randint(1, 3)
            play_run(recorder, log, run_id, attempts, room=room, settled=settled, random=random)
    if draw(st.booleans()):
        play_new_epoch(recorder, random, draw(st.booleans()))
    play_members(recorder, random)
    play_sessions(recorder, random)
    for room, log in logs.items():
        recorder.log(room, *log[:3])
        recorder.log(room, *log[3:])
        for device in DEVICES:
            whole, complete = device == "watcher" or draw(st.booleans()), settled[device, room]
            start = 0 if whole else draw(st.integers(0, len(log)))
            end = len(log) if complete else draw(st.integers(start, len(log)))
            reconnect = draw(st.integers(start, end))
            for part in (log[start:reconnect], log[reconnect:end]):
                recorder.open_view(device, room, whole=whole)
                recorder.saw(device, room, *part)
            if complete:
                recorder.settle(device, room)
    return recorder.history()


def play_members(recorder: Recorder, random: Random) -> None:
    """In c4, by invitation, a guest is invited, joins, leaves and is gone for a while, some times."""
    log = [Seen(E, 1, CREATED, None, "", "1", about=BY_INVITATION)]

    def append(kind: str, about: str | None = None) -> None:
        log.append(Seen(E, len(log) + 1, kind, None, "", f"{len(log) + 1}", about=about))

    recorder.open_view("guest", "c4", whole=True)
    handed = 0
    for time in range(random.randint(1, 3)):
        recorder.invite("c4", "g")
        append(JOINED, "g")
        for _ in range(random.randint(0, 3)):
            append("topic")
        if time:
            recorder.join_again("guest", "c4")
        recorder.saw("guest", "c4", *log[handed:])
        handed = len(log)
        recorder.leave("guest", "c4", "g")
        append(LEFT, "g")
        if random.random() < 0.5:
            recorder.saw("guest", "c4", log[-1])
            handed += 1
        append("topic")
    recorder.log("c4", *log)


def play_sessions(recorder: Recorder, random: Random) -> None:
    """A phone is signed out some times, tries its old token again now and then, and comes back with a new one."""
    now = issued = 0.0
    for _ in range(random.randint(1, 3)):
        number = recorder.begin_session("phone", issued, now + 1)
        recorder.open_session(number, now + 2)
        recorder.sign_out("phone", now + 3, now + 5 if random.random() < 0.8 else None)
        recorder.end_session(number, now + random.choice([4, 6]))
        again = recorder.begin_session("phone", issued, now + 7)
        recorder.end_session(again, now + 8, "token_revoked")
        now, issued = now + 10, now + 10
    recorder.open_session(recorder.begin_session("phone", issued, now + 1), now + 2)


def edit_log(history: History, log: tuple[Seen, ...]) -> History:
    return replace(history, logs={**history.logs, "c1": log})


def edit_view(history: History, entries: list[Seen]) -> History:
    views = (replace(v, entries=tuple(entries)) if is_watcher(v) else v for v in history.views)
    return replace(history, views=tuple(views))


def is_watcher(view: DeviceView) -> bool:
    return (view.device, view.conversation_id) == ("watcher", "c1")


def edit_states(history: History, run_id: str, states: list[Shown]) -> History:
    """Change what the watcher showed of a run."""
    whose = ("watcher", "c1", run_id)
    views = (
        replace(v, states=tuple(states)) if (v.device, v.conversation_id, v.run_id) == whose else v
        for v in history.run_views
    )
    return replace(history, run_views=tuple(views))


def plant(kind: AnomalyKind, history: History, draw: Callable[[Any], Any]) -> History:
    """Break one promise at a random place of conversation c1, as its log, its watcher or its senders see it."""
    log, seen = history.logs["c1"], list(next(filter(is_watcher, history.views)).entries)
    logged = {e.request_id: e.seq for e in log if e.request_id}
    sends = [send for send in history.sends if send.request_id in logged and send.conversation_id == "c1"]
    acked = [send for send in sends if send.outcome == "ok"]

    def pick(items: list[Any]) -> Any:
        return draw(st.sampled_from(items))

    finals = [one for one in log if one.is_final]
    shown = {view.run_id: list(view.states) for view in history.run_views if view.device == "watcher"}[FLOOR_RUN]
    index = draw(st.integers(0, len(log) - 1))
    inner = draw(st.integers(1, len(log) - 2))
    match kind:
        case K.LOST_ACKED:
            at = logged[pick(acked).request_id] - 1
            return edit_log(history, (*log[:at], *log[at + 1 :]))
        case K.ACK_CHANGED:
            send = pick(acked)
            moved = Acked(send.acks[0].epoch, send.acks[0].seq + draw(st.integers(1, 5)))
            return with_send(history, send.request_id, acks=(*send.acks, moved))
        case K.PHANTOM:
            return with_send(history, pick(sends).request_id, outcome="failed")
        case K.NOT_DENSE:
            broken = pick([(), (replace(log[inner], epoch="x"),), (log[inner], log[inner])])
            return edit_log(history, (*log[:inner], *broken, *log[inner + 1 :]))
        case K.DUPLICATE_IN_LOG:
            return edit_log(history, (*log, replace(log[logged[pick(sends).request_id] - 1], seq=len(log) + 1)))
        case K.INVENTED:
            forged = replace(seen[index], type="message", request_id=pick(["zz", *logged]), text="forged")
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
            return with_send(with_send(history, one.request_id, order=two.order), two.request_id, order=one.order)
        case K.REAL_TIME:
            early, done = pick(
                [(a, b) for a in sends for b in acked if logged[a.request_id] < logged[b.request_id]]
            )
            began = done.completed + 0.1
            ended = None if early.completed is None else max(early.completed, began)
            return with_send(history, early.request_id, invoked=began, completed=ended)
        case K.RESET_IN_VAIN:
            again = DeviceView("watcher", "c1", log[index:], True, False, 1, log[0].epoch, "new_epoch")
            return replace(history, views=(*history.views, again))
        case K.RUN_NOT_ENDED:
            # Of the last run: one that waits behind a question is none that is lost.
            return edit_log(
                history, tuple(replace(e, type="topic", run_id=None) if e == finals[-1] else e for e in log)
            )
        case K.RUN_ENDED_TWICE:
            return edit_log(history, (*log, replace(pick(finals), seq=len(log) + 1)))
        case K.STALE_END:
            return edit_log(
                history,
                tuple(
                    replace(e, attempt=pick([1, 2])) if e.is_final and e.run_id == FLOOR_RUN else e for e in log
                ),
            )
        case K.STEP_REPEATED:
            known = {e.run_id for e in finals}
            kept = [e for e in history.executions if e.committed is None and e.step != "d" and e.run_id in known]
            one = pick(kept)
            again = replace(one, attempt=one.attempt + draw(st.integers(0, 2)), started=1e6, finished=None)
            return replace(history, executions=(*history.executions, again))
        case K.DEAD_TEXT:
            at = pick([n for n, state in enumerate(shown) if state.of > 1])
            old = Shown(shown[at].event, shown[at].of, 1, draw(st.integers(1, 99)), "old")
            return edit_states(history, FLOOR_RUN, [*shown[:at], old, *shown[at + 1 :]])
        case K.TEXT_LEFT:
            left = pick([state for state in shown if state.version is not None])
            return edit_states(history, FLOOR_RUN, [*shown, left._replace(event="")])
        case K.REPLACES_OTHER:
            one = pick(finals)
            asked = Run("c1", str(one.run_id), one.seq + draw(st.integers(1, 5)))
            return replace(history, runs=(*(r for r in history.runs if r.run_id != asked.run_id), asked))
        case K.ANSWERED_TWICE:
            settled = Seen(log[-1].epoch, len(log) + 1, "interrupt_resolved", None, "", "x", about="q")
            return edit_log(history, (*log, settled, replace(settled, seq=len(log) + 2)))
        case K.HEARD_AFTER_LEAVING:
            absence = pick(list(history.absences))
            later = history.logs["c4"][-1]
            views = (
                replace(v, entries=(*v.entries[: absence.after], later, *v.entries[absence.after :]))
                if v.conversation_id == "c4"
                else v
                for v in history.views
            )
            until = None if absence.until is None else absence.until + 1
            others = (one for one in history.absences if one.after < absence.after)
            return replace(history, views=tuple(views), absences=(*others, replace(absence, until=until)))
        case K.UNINVITED:
            return replace(history, invitations=history.invitations[1:])
        case K.SIGNED_OUT_SERVED:
            old = pick([one for one in history.sessions if one.refused])
            sign_outs = tuple(replace(one, completed=one.invoked + 2) for one in history.sign_outs)
            sessions = tuple(
                replace(one, opened=one.began + 0.5, refused=None) if one is old else one
                for one in history.sessions
            )
            return replace(history, sessions=sessions, sign_outs=sign_outs)
        case K.SHUT_OUT:
            last = history.sessions[-1]
            refused = replace(last, opened=None, ended=last.began + 1, refused="token_revoked")
            sign_outs = tuple(replace(one, completed=one.invoked + 2) for one in history.sign_outs)
            return replace(history, sessions=(*history.sessions[:-1], refused), sign_outs=sign_outs)
        case K.TEXT_DIFFERS:
            at = pick([n for n, state in enumerate(shown) if state.chars])
            return edit_states(history, FLOOR_RUN, [*shown[:at], shown[at]._replace(digest="x"), *shown[at + 1 :]])
    raise ValueError(f"{kind} is planted elsewhere")
