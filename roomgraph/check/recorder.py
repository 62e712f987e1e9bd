"""Collects a history while the system runs."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from roomgraph.check.history import (
    Absence,
    Acked,
    Damage,
    DeviceView,
    Execution,
    History,
    Invitation,
    Outcome,
    Retention,
    Run,
    RunView,
    Seen,
    Send,
    Session,
    Shown,
    SignOut,
)

T = TypeVar("T", Seen, Shown)


@dataclass(slots=True)
class _OpenSend:
    """A send whose attempts may not all have ended."""

    conversation_id: str
    device: str
    text: str
    order: int
    invoked: float
    edits: int | None = None
    pending: bool = True
    in_doubt: bool = False
    ended: bool = False
    ok_at: float | None = None
    failed_at: float | None = None
    acks: tuple[Acked, ...] = ()

    def closed(self, request_id: str) -> Send:
        """Sum up the attempts; it failed only if every one of them definitely did."""
        outcome: Outcome = "unknown"
        completed = self.ok_at
        if self.ok_at is not None:
            outcome = "ok"
        elif not (self.acks or self.pending or self.in_doubt):
            outcome, completed = "failed", self.failed_at
        return Send(
            conversation_id=self.conversation_id,
            request_id=request_id,
            device=self.device,
            text=self.text,
            order=self.order,
            invoked=self.invoked,
            completed=completed,
            outcome=outcome,
            acks=self.acks,
            edits=self.edits,
        )


class _Table(Generic[T]):
    """Equal records, each kept once and known by a number: what one device gets, all others get as well."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._records: list[T] = []

    def number(self, record: T) -> int:
        known = self._numbers.get(record)
        if known is None:
            known = self._numbers[record] = len(self._records)
            self._records.append(record)
        return known

    def records(self, numbers: array[int]) -> tuple[T, ...]:
        return tuple(map(self._records.__getitem__, numbers))


def _numbers() -> array[int]:
    return array("L")


@dataclass(slots=True)
class _OpenView:
    """A part of a view that still grows; its entries are numbers in the recorder's table."""

    whole: bool
    epoch: str | None = None
    reason: str | None = None
    head: int | None = None
    complete: bool = False
    entries: array[int] = field(default_factory=_numbers)


class Recorder:
    """Collects a history while the system runs.

    It never waits and reads no clock, so the clients of one event loop can share it: a client passes
    `loop.time()` as `at`. Its calls are keyed by request_id or by (device, conversation), so a callback needs
    to keep nothing between them. Each costs the same, however long the history is; what many devices get alike is
    kept once, and costs each of them 8 bytes.
    """

    def __init__(self) -> None:
        self._sends: dict[str, _OpenSend] = {}
        self._begun: Counter[tuple[str, str]] = Counter()
        self._seen: _Table[Seen] = _Table()
        self._states: _Table[Shown] = _Table()
        self._views: dict[tuple[str, str], list[_OpenView]] = {}
        self._logs: dict[str, array[int]] = {}
        self._runs: dict[tuple[str, str], Run] = {}
        self._executions: list[Execution] = []
        self._shown: dict[tuple[str, str, str, str], array[int]] = {}
        self._damages: list[Damage] = []
        self._absences: dict[tuple[str, str], list[Absence]] = {}
        self._invitations: list[Invitation] = []
        self._sessions: list[Session] = []
        self._sign_outs: list[SignOut] = []
        self._retentions: list[Retention] = []

    # What clients do

    def begin_send(
        self, conversation_id: str, request_id: str, device: str, text: str, at: float, *, edits: int | None = None
    ) -> None:
        """Note an attempt just before it leaves; the same request_id again is a retry of the same send."""
        send = self._sends.get(request_id)
        if send is None:
            order = self._begun[device, conversation_id]
            self._begun[device, conversation_id] += 1
            self._sends[request_id] = _OpenSend(conversation_id, device, text, order, at, edits)
            return
        if (send.conversation_id, send.device, send.text, send.edits) != (conversation_id, device, text, edits):
            raise ValueError(f"request_id {request_id} is already another send, by {send.device}")
        # A retry without a word on the attempt before it: nobody knows what became of that one.
        send.in_doubt = send.in_doubt or send.pending
        send.pending = True

    def end_send(
        self,
        request_id: str,
        outcome: Outcome,
        at: float,
        ack: tuple[str, int] | None = None,
        run_id: str | None = None,
    ) -> None:
        """Note how an attempt ended; "ok" brings its ack; a late or repeated ack is noted like this too.

        `run_id` is the run that the ack promises: it is accepted by it.
        """
        if (outcome == "ok") != (ack is not None):
            raise ValueError("an ok send has an ack, and no other has")
        send = self._sends[request_id]
        if ack is not None:
            send.acks = (*send.acks, Acked(*ack, run_id))
            # A device that gave up and went on to its next send has let go of the order between the two.
            moved_on = send.ended and self._begun[send.device, send.conversation_id] > send.order + 1
            if send.ok_at is None and not moved_on:
                send.ok_at = at
        elif outcome == "unknown":
            send.in_doubt = True
        else:
            send.failed_at = at
        send.pending = False
        send.ended = True

    def sends(self) -> Iterator[Send]:
        """The sends up to now; one without an answer is "unknown"."""
        return (send.closed(request_id) for request_id, send in self._sends.items())

    def accept_run(self, conversation_id: str, run_id: str, *, replaces: int | None = None) -> None:
        """Note that a run was promised otherwise than by the ack of a send; again changes nothing.

        `replaces`: the seq of the entry that its end is to replace, where it was asked to.
        """
        self._runs.setdefault((conversation_id, run_id), Run(conversation_id, run_id, replaces))

    def invite(self, conversation_id: str, user_id: str) -> None:
        """Note an invitation just before the request leaves for the first time."""
        self._invitations.append(Invitation(conversation_id, user_id))

    # Sessions

    def begin_session(self, device: str, issued: float, at: float) -> int:
        """Note a handshake just before it is sent, with a token that was issued then; returns its number."""
        self._sessions.append(Session(device, issued, at))
        return len(self._sessions) - 1

    def open_session(self, number: int, at: float) -> None:
        """Note that the handshake was accepted."""
        self._sessions[number] = replace(self._sessions[number], opened=at)

    def end_session(self, number: int, at: float, refused: str | None = None) -> None:
        """Note that the session ended, or that the handshake was refused with this code, or got no answer."""
        self._sessions[number] = replace(self._sessions[number], ended=at, refused=refused)

    def sign_out(self, device: str, invoked: float, completed: float | None) -> None:
        """Note that a device was signed out, when the ack has come, or (None) when it will not come."""
        self._sign_outs.append(SignOut(device, invoked, completed))

    # What devices are handed

    def open_view(self, device: str, conversation_id: str, *, whole: bool) -> None:
        """Say where a device begins (whole: at seq 1); on a reconnect this changes nothing."""
        if (device, conversation_id) not in self._views:
            self._views[device, conversation_id] = [_OpenView(whole)]

    def saw(self, device: str, conversation_id: str, *entries: Seen) -> None:
        """Note entries in the order the device was handed them; a view nobody opened begins here."""
        self._part(device, conversation_id).entries.extend(map(self._seen.number, entries))

    def reset(
        self,
        device: str,
        conversation_id: str,
        reason: str,
        epoch: str | None = None,
        *,
        head: int | None = None,
    ) -> None:
        """Say that the device was told to start over: what it was handed before counts no more.

        `head` is the newest seq, as the device was told.
        """
        self._part(device, conversation_id)
        self._views[device, conversation_id].append(_OpenView(False, epoch, reason, head))

    def settle(self, device: str, conversation_id: str) -> None:
        """Say that the device is connected at the end and has had time to be handed everything."""
        self._part(device, conversation_id).complete = True

    def leave(self, device: str, conversation_id: str, user_id: str) -> None:
        """Say that the device asks to leave, just before the request leaves; again changes nothing."""
        after = len(self._part(device, conversation_id).entries)
        part = len(self._views[device, conversation_id]) - 1
        absences = self._absences.setdefault((device, conversation_id), [])
        if absences and absences[-1].until is None:
            return
        absences.append(Absence(device, conversation_id, user_id, part, after))

    def join_again(self, device: str, conversation_id: str) -> None:
        """Say that a device that left asks to join again, just before the request leaves for the first time."""
        absences = self._absences[device, conversation_id]
        until = len(self._part(device, conversation_id).entries)
        absences[-1] = replace(absences[-1], until=until)

    def run_event(
        self,
        device: str,
        conversation_id: str,
        run_id: str,
        event: str,
        of: int,
        shows: tuple[int, str] | None,
        epoch: str = "",
    ) -> None:
        """Note that a device has applied an event about the version `of` of a run, and what it shows now.

        `event`: `run:changed`, `run:written` and so on, `entry` for the final entry, `""` for the answer to a
        sync. `shows`: a version and its text so far, or None when it shows none. `epoch`: of the log.
        """
        version, text = shows or (None, "")
        digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:16]
        state = self._states.number(Shown(event, of, version, len(text), digest))
        whose = (device, conversation_id, run_id, epoch)
        if whose not in self._shown:
            self._shown[whose] = _numbers()
        self._shown[whose].append(state)

    # What else is known in the end

    def log(self, conversation_id: str, *entries: Seen) -> None:
        """Add the next page of the log as it is at the end."""
        if conversation_id not in self._logs:
            self._logs[conversation_id] = _numbers()
        self._logs[conversation_id].extend(map(self._seen.number, entries))

    def execution(self, *executions: Execution) -> None:
        """Note steps of the graph that were executed, in any order."""
        self._executions.extend(executions)

    def damage(self, conversation_id: str, epoch: str, after: int) -> None:
        """Say that the store was destroyed on purpose: what this epoch has above seq `after` may be gone.

        It is forgiven when the epoch has changed and devices were told.
        """
        self._damages.append(Damage(conversation_id, epoch, after))

    def retain(self, conversation_id: str, entries: int) -> None:
        """Say that only so many of the newest entries of a conversation are kept."""
        self._retentions.append(Retention(conversation_id, entries))

    def history(self) -> History:
        """Return what was recorded up to now; a send without an answer is "unknown"."""
        return History(
            sends=tuple(self.sends()),
            views=tuple(
                DeviceView(
                    device=device,
                    conversation_id=conversation_id,
                    entries=self._seen.records(view.entries),
                    complete=view.complete,
                    whole=view.whole,
                    part=part,
                    epoch=view.epoch,
                    reason=view.reason,
                    head=view.head,
                )
                for (device, conversation_id), parts in self._views.items()
                for part, view in enumerate(parts)
            ),
            logs={where: self._seen.records(entries) for where, entries in self._logs.items()},
            runs=tuple(self._runs.values()),
            executions=tuple(self._executions),
            run_views=tuple(
                RunView(device, where, run_id, self._states.records(states), epoch)
                for (device, where, run_id, epoch), states in self._shown.items()
            ),
            damages=tuple(self._damages),
            absences=tuple(absence for absences in self._absences.values() for absence in absences),
            invitations=tuple(self._invitations),
            sessions=tuple(self._sessions),
            sign_outs=tuple(self._sign_outs),
            retentions=tuple(self._retentions),
        )

    def _part(self, device: str, conversation_id: str) -> _OpenView:
        self.open_view(device, conversation_id, whole=False)
        return self._views[device, conversation_id][-1]
