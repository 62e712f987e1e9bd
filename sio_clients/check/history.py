"""Records what devices sent, what they were handed and what the log holds in the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sio_server.protocol.position import Position

Outcome = Literal["ok", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Send:
    """One message a device meant to send, however many times it repeated it.

    `order` counts this device's sends to this conversation from 0. `completed` is None for an "unknown" send.
    "failed" says that it was definitely not done; whoever cannot be sure says "unknown". `acks` holds every
    ack that came, retries included. An "unknown" send may have acks: they came after the device had moved
    on, so they bind the server to keep the message, but not to keep it in the order of sending.
    """

    conversation_id: str
    client_id: str
    device: str
    text: str
    order: int
    invoked: float
    completed: float | None
    outcome: Outcome
    acks: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry as a device or the log shows it; `digest` stands for the whole of it."""

    epoch: str
    seq: int
    type: str
    client_id: str | None
    text: str
    digest: str

    @property
    def is_message(self) -> bool:
        """Somebody must have sent it; one that lost its client_id is still a message."""
        return self.type == "message" or self.client_id is not None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """All that one device was handed of one conversation, in the order it was handed, across reconnects.

    `complete`: it was connected and settled in the end, so it equals the log from the place it began.
    `whole`: it began at seq 1. Any other view began at the first entry it was handed.
    """

    device: str
    conversation_id: str
    entries: tuple[Seen, ...]
    complete: bool
    whole: bool

    @property
    def span(self) -> tuple[int, int] | None:
        """The first and the highest seq of it, or None if nobody can tell where it began."""
        if not self.whole and not self.entries:
            return None
        began = 1 if self.whole else self.entries[0].seq
        return began, max((entry.seq for entry in self.entries), default=began - 1)


@dataclass(frozen=True, slots=True)
class History:
    """A finished run: every send, every view and the final log of each conversation."""

    sends: tuple[Send, ...]
    views: tuple[DeviceView, ...]
    logs: Mapping[str, tuple[Seen, ...]]

    def __post_init__(self) -> None:
        # The checker finds sends by client_id and counts (device, message) pairs: both need one owner each.
        for client_id, times in Counter(send.client_id for send in self.sends).items():
            if times > 1:
                raise ValueError(f"client_id {client_id} belongs to {times} sends; a retry is the same send")
        for (device, where), times in Counter((v.device, v.conversation_id) for v in self.views).items():
            if times > 1:
                raise ValueError(f"{device} has {times} views of {where}; one that starts anew needs a name")


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
    acks: list[Position] = field(default_factory=list)

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
    """A view that still grows."""

    whole: bool
    complete: bool = False
    entries: list[Seen] = field(default_factory=list)


class Recorder:
    """Collects a history while a run goes on.

    It never waits and reads no clock, so the clients of one event loop can share it: a client passes
    `loop.time()` as `at`. Its calls are keyed by client_id or by (device, conversation), so a callback needs
    to keep nothing between them.
    """

    def __init__(self) -> None:
        self._sends: dict[str, _OpenSend] = {}
        self._begun: Counter[tuple[str, str]] = Counter()
        self._views: dict[tuple[str, str], _OpenView] = {}
        self._logs: dict[str, list[Seen]] = {}

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

    def end_send(self, client_id: str, outcome: Outcome, at: float, ack: tuple[str, int] | None = None) -> None:
        """Note how an attempt ended; "ok" brings its ack; a late or repeated ack is noted like this too."""
        if (outcome == "ok") != (ack is not None):
            raise ValueError("an ok send has an ack, and no other has")
        send = self._sends[client_id]
        if ack is not None:
            send.acks.append(Position(*ack))
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

    def open_view(self, device: str, conversation_id: str, *, whole: bool) -> None:
        """Say where a device begins (whole: at seq 1); on a reconnect this changes nothing."""
        self._views.setdefault((device, conversation_id), _OpenView(whole))

    def saw(self, device: str, conversation_id: str, *entries: Seen) -> None:
        """Note entries in the order the device was handed them; a view nobody opened begins here."""
        self.open_view(device, conversation_id, whole=False)
        self._views[device, conversation_id].entries.extend(entries)

    def settle(self, device: str, conversation_id: str) -> None:
        """Say that the device is connected at the end and has had time to be handed everything."""
        self.open_view(device, conversation_id, whole=False)
        self._views[device, conversation_id].complete = True

    def log(self, conversation_id: str, *entries: Seen) -> None:
        """Add the next page of the log as it is at the end."""
        self._logs.setdefault(conversation_id, []).extend(entries)

    def history(self) -> History:
        """Return what was recorded up to now; a send without an answer is "unknown"."""
        return History(
            sends=tuple(send.closed(client_id) for client_id, send in self._sends.items()),
            views=tuple(
                DeviceView(device, conversation_id, tuple(view.entries), view.complete, view.whole)
                for (device, conversation_id), view in self._views.items()
            ),
            logs={conversation_id: tuple(entries) for conversation_id, entries in self._logs.items()},
        )
