"""What devices sent, what they were handed and shown, what was executed, and what the logs hold in the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Outcome = Literal["ok", "failed", "unknown"]

# The entries that end a run.
FINAL_TYPES = frozenset({"answer", "interrupt", "stopped", "failed"})
RESOLVED = "interrupt_resolved"
JOINED, LEFT, CREATED = "member_joined", "member_left", "conversation_created"
BY_INVITATION = "invitation"  # what a `conversation_created` is about, where others have to be invited


class Acked(NamedTuple):
    """What an ack says: where the message is, and which run will answer it, if any."""

    epoch: str
    seq: int
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """One message a device meant to send, however many times it repeated it.

    `order` counts this device's sends to this conversation from 0. `completed` is None for an "unknown" send.
    "failed" says that it was definitely not done; whoever cannot be sure says "unknown". `acks` holds every
    ack that came, retries included. An "unknown" send may have acks: they came after the device had moved
    on, so they bind the server to keep the message, but not to keep it in the order of sending. `edits` is the
    seq of the message that it replaces.
    """

    conversation_id: str
    request_id: str
    device: str
    text: str
    order: int
    invoked: float
    completed: float | None
    outcome: Outcome
    acks: tuple[Acked, ...]
    edits: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry as a device or the log shows it; `digest` stands for the whole of it.

    `run_id` and `attempt` are those of the run that it ends; in an `interrupt_resolved` of the run that goes on.
    `replaces` is the seq of the entry that a message edits, or that the end of a regenerated run replaces.
    `about`: of `member_joined` and `member_left` the user, of `interrupt_resolved` the question, of
    `conversation_created` who may join (`open` or `invitation`).
    """

    epoch: str
    seq: int
    type: str
    request_id: str | None
    text: str
    digest: str
    run_id: str | None = None
    attempt: int | None = None
    replaces: int | None = None
    about: str | None = None

    @property
    def is_message(self) -> bool:
        """Somebody must have sent it; one that lost its request_id is still a message."""
        return self.type == "message" or self.request_id is not None

    @property
    def is_final(self) -> bool:
        """It ends a run."""
        return self.type in FINAL_TYPES


@dataclass(frozen=True, slots=True)
class DeviceView:
    """All that one device was handed of one conversation, in the order it was handed, across reconnects.

    `complete`: it was connected and settled in the end, so it equals the log from the place it began.
    `whole`: it began at seq 1. Any other view began at the first entry it was handed.
    `part` counts from 0: a device that is told to start over (`reason`) begins another part, in a log whose
    epoch is now `epoch` (None: that of its first entry) and whose newest entry was `head` (None: not known). Only
    its last part has to be what the log says.
    """

    device: str
    conversation_id: str
    entries: tuple[Seen, ...]
    complete: bool
    whole: bool
    part: int = 0
    epoch: str | None = None
    reason: str | None = None
    head: int | None = None

    @property
    def span(self) -> tuple[int, int] | None:
        """The first and the highest seq of it, or None if nobody can tell where it began."""
        if not self.whole and not self.entries:
            return None
        began = 1 if self.whole else self.entries[0].seq
        return began, max((entry.seq for entry in self.entries), default=began - 1)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was accepted otherwise than by the ack of a send.

    By that of a regenerate: `replaces` is the seq of the entry that its end is to replace.
    """

    conversation_id: str
    run_id: str
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """A step of the graph was executed for a run.

    `step` is one place in the run: a node that a run enters twice has two steps. `attempt` counts up within
    the run (the number of a fencing token does as well). `finished` is None when it did not come to its end.
    `committed` says whether its result is known to be kept; None: it is when the same attempt began a step
    after it had finished, since the graph goes on only when the checkpoint is written.
    """

    run_id: str
    step: str
    attempt: int
    started: float
    finished: float | None = None
    committed: bool | None = None


class Shown(NamedTuple):
    """What a device shows of a run when it has applied an event.

    `event` is the wire's name, `entry` for the final entry, or `""` for the answer to a sync; it was about the
    version `of`. `version` is the one whose text is shown, None when no text so far is shown (any more); `chars`
    is its length, and `digest` stands for it.
    """

    event: str
    of: int
    version: int | None
    chars: int
    digest: str


@dataclass(frozen=True, slots=True)
class RunView:
    """What one device showed of one run while it was on, in order, as long as the log had this epoch."""

    device: str
    conversation_id: str
    run_id: str
    states: tuple[Shown, ...]
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """Whoever made the history destroyed part of the store: what this epoch had above seq `after` may be gone.

    But then the epoch must have changed, and the devices that followed must have been told.
    """

    conversation_id: str
    epoch: str
    after: int


@dataclass(frozen=True, slots=True)
class Absence:
    """A device asked to leave a conversation and later, if it did, to join it again.

    `after` is how many entries it had been handed in this part of its view when it asked to leave, and `until`
    when it asked to join again; None: it never did.
    """

    device: str
    conversation_id: str
    user_id: str
    part: int
    after: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A user was invited, or may have been: the request had been sent."""

    conversation_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Session:
    """A handshake of a device, and the session that it began, if it was accepted.

    `issued` is when its token was; `opened` is None when it was refused (`refused`: the code) or got no answer.
    `ended` is when the device lost it; None: it was still there in the end.
    """

    device: str
    issued: float
    began: float
    opened: float | None = None
    ended: float | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class SignOut:
    """A device was signed out: asked for at `invoked`; acked at `completed`, or (None) it may not have been."""

    device: str
    invoked: float
    completed: float | None


@dataclass(frozen=True, slots=True)
class Retention:
    """Only the newest `entries` entries of a conversation are kept."""

    conversation_id: str
    entries: int


@dataclass(frozen=True, slots=True)
class History:
    """A finished run of the system: every send, every view and the final log of each conversation."""

    sends: tuple[Send, ...]
    views: tuple[DeviceView, ...]
    logs: Mapping[str, tuple[Seen, ...]]
    runs: tuple[Run, ...] = ()
    executions: tuple[Execution, ...] = ()
    run_views: tuple[RunView, ...] = ()
    damages: tuple[Damage, ...] = ()
    absences: tuple[Absence, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    sessions: tuple[Session, ...] = ()
    sign_outs: tuple[SignOut, ...] = ()
    retentions: tuple[Retention, ...] = ()

    def __post_init__(self) -> None:
        # The checker finds sends by request_id and counts (device, message) pairs: both need one owner each.
        for request_id, times in Counter(send.request_id for send in self.sends).items():
            if times > 1:
                raise ValueError(f"request_id {request_id} belongs to {times} sends; a retry is the same send")
        for (device, where, _), times in Counter(
            (v.device, v.conversation_id, v.part) for v in self.views
        ).items():
            if times > 1:
                raise ValueError(f"{device} has {times} views of {where}; one that starts over needs a name")
