"""Collects a history while the system runs."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from roomgraph.check.history import (
    Acked,
    Damage,
    DeviceView,
    Execution,
    History,
    Outcome,
    Run,
    RunView,
    Seen,
    Send,
    Shown,
)


@dataclass(slots=True)
class _OpenSend:
    """A send whose attempts may not all have ended."""

    conversation_id: str
    device: str
    text: str
    order: int
    invoked: float
    pending: bool = True
    in_doubt: bool = False
    ended: bool = False
    ok_at: float | None = None
    failed_at: float | None = None
    acks: list[Acked] = field(default_factory=list)

    def closed(self, client_id: str) -> Send:
        """Sum up the attempts; it failed only if every one of them definitely did."""
        outcome: Outcome = "unknown"
        completed = self.ok_at
        if self.ok_at is not None:
            outcome = "ok"
        elif not (self.acks or self.pending or self.in_doubt):
            outcome, completed = "failed", self.failed_at
        return Send(
            conversation_id=self.conversation_id,
            client_id=client_id,
            device=self.device,
            text=self.text,
            order=self.order,
            invoked=self.invoked,
            completed=completed,
            outcome=outcome,
            acks=tuple(self.acks),
        )


@dataclass(slots=True)
class _OpenView:
    """A part of a view that still grows."""

    whole: bool
    epoch: str | None = None
    reason: str | None = None
    complete: bool = False
    entries: list[Seen] = field(default_factory=list)


class Recorder:
    """Collects a history while the system runs.

    It never waits and reads no clock, so the clients of one event loop can share it: a client passes
    `loop.time()` as `at`. Its calls are keyed by client_id or by (device, conversation), so a callback needs
    to keep nothing between them.
    """

    def __init__(self) -> None:
        self._sends: dict[str, _OpenSend] = {}
        self._begun: Counter[tuple[str, str]] = Counter()
        self._views: dict[tuple[str, str], list[_OpenView]] = {}
        self._logs: dict[str, list[Seen]] = {}
        self._runs: dict[Run, None] = {}
        self._executions: list[Execution] = []
        self._shown: dict[tuple[str, str, str], list[Shown]] = {}
        self._damages: list[Damage] = []

    # What clients do

    def begin_send(self, conversation_id: str, client_id: str, device: str, text: str, at: float) -> None:
        """Note an attempt just before it leaves; the same client_id again is a retry of the same send."""
        send = self._sends.get(client_id)
        if send is None:
            order = self._begun[device, conversation_id]
            self._begun[device, conversation_id] += 1
            self._sends[client_id] = _OpenSend(conversation_id, device, text, order, at)
            return
        if (send.conversation_id, send.device, send.text) != (conversation_id, device, text):
            raise ValueError(f"client_id {client_id} is already another send, by {send.device}")
        # A retry without a word on the attempt before it: nobody knows what became of that one.
        send.in_doubt = send.in_doubt or send.pending
        send.pending = True

    def end_send(
        self,
        client_id: str,
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
        send = self._sends[client_id]
        if ack is not None:
            send.acks.append(Acked(*ack, run_id))
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

    def accept_run(self, conversation_id: str, run_id: str) -> None:
        """Note that a run was promised otherwise than by the ack of a send; again changes nothing."""
        self._runs[Run(conversation_id, run_id)] = None

    # What devices are handed

    def open_view(self, device: str, conversation_id: str, *, whole: bool) -> None:
        """Say where a device begins (whole: at seq 1); on a reconnect this changes nothing."""
        self._views.setdefault((device, conversation_id), [_OpenView(whole)])

    def saw(self, device: str, conversation_id: str, *entries: Seen) -> None:
        """Note entries in the order the device was handed them; a view nobody opened begins here."""
        self._part(device, conversation_id).entries.extend(entries)

    def reset(self, device: str, conversation_id: str, reason: str, epoch: str | None = None) -> None:
        """Say that the device was told to begin anew: what it was handed before counts no more."""
        self._part(device, conversation_id)
        self._views[device, conversation_id].append(_OpenView(False, epoch, reason))

    def settle(self, device: str, conversation_id: str) -> None:
        """Say that the device is connected at the end and has had time to be handed everything."""
        self._part(device, conversation_id).complete = True

    def run_event(
        self,
        device: str,
        conversation_id: str,
        run_id: str,
        event: str,
        of: int,
        shows: tuple[int, str] | None,
    ) -> None:
        """Note that a device has dealt with an event about the attempt `of` of a run, and what it shows now.

        `event`: `run:started`, `run:delta` and so on, `entry` for the final entry, `""` when it looked at the
        conversation anew. `shows`: an attempt and its text so far, or None when it shows none.
        """
        attempt, text = shows or (None, "")
        digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:16]
        state = Shown(event, of, attempt, len(text), digest)
        self._shown.setdefault((device, conversation_id, run_id), []).append(state)

    # What else is known in the end

    def log(self, conversation_id: str, *entries: Seen) -> None:
        """Add the next page of the log as it is at the end."""
        self._logs.setdefault(conversation_id, []).extend(entries)

    def execution(self, *executions: Execution) -> None:
        """Note steps of the graph that were executed, in any order."""
        self._executions.extend(executions)

    def damage(self, conversation_id: str, epoch: str, after: int) -> None:
        """Say that the store was destroyed on purpose: what this epoch has above seq `after` may be gone.

        It is forgiven when the epoch has changed and devices were told.
        """
        self._damages.append(Damage(conversation_id, epoch, after))

    def history(self) -> History:
        """Return what was recorded up to now; a send without an answer is "unknown"."""
        return History(
            sends=tuple(send.closed(client_id) for client_id, send in self._sends.items()),
            views=tuple(
                DeviceView(
                    device=device,
                    conversation_id=conversation_id,
                    entries=tuple(view.entries),
                    complete=view.complete,
                    whole=view.whole,
                    part=part,
                    epoch=view.epoch,
                    reason=view.reason,
                )
                for (device, conversation_id), parts in self._views.items()
                for part, view in enumerate(parts)
            ),
            logs={conversation_id: tuple(entries) for conversation_id, entries in self._logs.items()},
            runs=tuple(self._runs),
            executions=tuple(self._executions),
            run_views=tuple(RunView(*whose, tuple(states)) for whose, states in self._shown.items()),
            damages=tuple(self._damages),
        )

    def _part(self, device: str, conversation_id: str) -> _OpenView:
        self.open_view(device, conversation_id, whole=False)
        return self._views[device, conversation_id][-1]
