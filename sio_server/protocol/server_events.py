"""Every event of the server with its payload, and the result of a catch-up, as models of what is really sent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter

from sio_server.protocol.entries import ChosenSettings, LiveEntry, PageEntry, PartData, PartKind, Question
from sio_server.protocol.events import Seq, ServerEvent
from sio_server.protocol.sent import Maybe, Sent


class EpochSeq(Sent):
    """A position in a log."""

    epoch: str
    seq: Seq


class Ended(Sent):
    """Why the server disconnected the device's last session, which could not be told."""

    session_id: str
    reason: Literal["not_reading", "too_far_behind", "flooding"]
    ts: str


class DeviceSession(Sent):
    """A live connection of a device; `since` is a time."""

    session_id: str
    node: str
    since: str


class DeviceState(Sent):
    """A device of the user, with its sessions, the newest first."""

    device_id: str
    device_name: str
    online: bool
    sessions: list[DeviceSession]
    last_seen: str


class DeviceRef(Sent):
    """The device that signed another one out."""

    device_id: str
    device_name: str


class Server(Sent):
    """The software of the node."""

    name: str
    version: str


class RateLimit(Sent):
    """So many in so many seconds."""

    count: int
    seconds: int | float


class Rates(Sent):
    """For one user; an empty list: as many as one likes."""

    writes: list[RateLimit]
    marks: list[RateLimit]
    events: list[RateLimit]


class Limits(Sent):
    """What the node accepts; `followed_conversations` null: any number."""

    frame_bytes: int
    text_bytes: int
    page_entries: int
    sync_conversations: int
    marked_conversations: int
    followed_conversations: int | None
    invites: int
    device_name_characters: int
    rates: Rates


class SessionOpened(Sent):
    """The first event of a session."""

    v: Literal[2]
    session_id: str
    user_id: str
    name: str
    device_id: str
    node: str
    nodes: list[str]
    graphs: list[str]
    server: Server
    limits: Limits
    features: list[str]
    devices: list[DeviceState]
    last_end: Ended | None


class SessionEnded(Sent):
    """The session has ended: whether to come back, after how long at the least, and to which nodes."""

    reason: Literal["signed_out", "token_expired", "token_revoked", "node_stopping", "cut_off"]
    reconnect: bool
    after_ms: int
    nodes: list[str]
    by: DeviceRef | None


class _InConversation(Sent):
    conversation_id: str


class ToolReport(Sent):
    """A tool is called (`name` and `args`), or has answered (`result`)."""

    id: str | None
    name: str
    status: Literal["called", "done", "failed"]
    args: Maybe[Any] = None
    result: Maybe[Any] = None


class Report(Sent):
    """What a graph reports: `number` counts from 1 in each version, with holes where much was reported at once."""

    number: int
    kind: Literal["custom", "node", "tool"]
    data: Maybe[Any] = None
    path: Maybe[list[str]] = None
    tool: Maybe[ToolReport] = None


class Part(Sent):
    """What one speaker has said so far in one message of a run; `cut`: more was said than is streamed."""

    part: int
    kind: PartKind
    speaker: str
    text: str
    data: Maybe[PartData] = None
    cut: Maybe[Literal[True]] = None


class Run(Sent):
    """An unfinished run as it is now. `version` is the attempt whose text counts."""

    run_id: str
    turn_id: Seq
    status: Literal["queued", "running", "stalled"]
    attempt: int
    version: int
    node: str
    replaces: Seq | None
    parts: list[Part]
    reports: list[Report]


class RunChanged(_InConversation):
    """A run was queued, has begun, has stalled, or continues."""

    n: Seq
    run: Run


class WrittenPart(Sent):
    """Text to append to a part; `kind`, `speaker` and `data` come when the part begins, `cut` when it is cut."""

    part: int
    text: str
    kind: Maybe[PartKind] = None
    speaker: Maybe[str] = None
    data: Maybe[PartData] = None
    cut: Maybe[Literal[True]] = None


class RunWritten(_InConversation):
    """What a run has said and reported since the last such event."""

    n: Seq
    run_id: str
    version: int
    parts: list[WrittenPart]
    reports: list[Report]


class OpenQuestion(Question):
    """A question that nobody has answered, and the entry that asks it."""

    seq: Seq
    run_id: str


class DeliveryMark(Sent):
    """What a device has received."""

    user_id: str
    device_id: str
    seq: Seq


class Draft(Sent):
    """A user's unsent text, and the session that saved it."""

    rev: int
    device_id: str
    text: str
    session_id: Maybe[str] = None


class Card(Sent):
    """What a catch-up found, in figures for people."""

    user_id: Maybe[str] = None
    verdict: str
    reason: str
    replayed: int
    history: int
    last_activity: str


class RoomView(_InConversation, ChosenSettings):
    """A conversation as all of its members may see it at one moment, with the entries above `after`."""

    verdict: Literal["resumed", "snapshot", "reset"]
    reason: Literal["position_valid", "no_position", "new_epoch", "older_than_retention", "ahead_of_log"]
    position: EpochSeq
    after: Seq
    n: Seq
    head: Seq
    more: bool
    entries: list[PageEntry]
    runs: list[Run]
    interrupts: list[OpenQuestion]
    owner: str
    reads: Maybe[dict[str, Seq]] = None  # left out of a sync without marks
    delivered: Maybe[list[DeliveryMark]] = None
    card: Card


class Member(Sent):
    """A member of a conversation."""

    user_id: str
    role: Literal["owner", "member"]
    online: bool


class SyncResult(RoomView):
    """The answer to create, join and each conversation of a sync; `members` null: they did not fit, ask."""

    role: Literal["owner", "member"]
    draft: Draft | None
    members: list[Member] | None = None


class ConversationReset(_InConversation):
    """The log has started over: sync."""

    epoch: Maybe[str] = None


class SessionRef(Sent):
    """The session that has changed something."""

    user_id: str
    device_id: str
    session_id: str


class ConversationChanged(_InConversation):
    """The user's list of conversations has changed."""

    change: Literal["joined", "left", "invited"]
    title: str
    by: SessionRef


class ListChanged(_InConversation):
    """How a conversation stands in the user's list."""

    pinned: bool
    archived: bool
    session_id: str


class PresenceChanged(Sent):
    """A user's first session has begun, or the last one has ended."""

    user_id: str
    online: bool


class DevicesChanged(Sent):
    """The user's devices as they are now."""

    devices: list[DeviceState]


class MarksMoved(_InConversation):
    """A user has read further, or a device has received more."""

    user_id: str
    device_id: str | None
    session_id: str | None
    read: Maybe[Seq] = None
    delivered: Maybe[Seq] = None


class DraftChanged(_InConversation):
    """The user's unsent text has changed."""

    draft: Draft


class TypingChanged(_InConversation):
    """A member types, or has stopped."""

    user_id: str
    device_id: str
    session_id: str
    typing: bool


EVENTS: dict[ServerEvent, Any] = {
    ServerEvent.SESSION_OPENED: SessionOpened,
    ServerEvent.SESSION_ENDED: SessionEnded,
    ServerEvent.ENTRY_APPENDED: LiveEntry,
    ServerEvent.RUN_CHANGED: RunChanged,
    ServerEvent.RUN_WRITTEN: RunWritten,
    ServerEvent.CONVERSATION_SYNCED: RoomView,
    ServerEvent.CONVERSATION_RESET: ConversationReset,
    ServerEvent.CONVERSATION_CHANGED: ConversationChanged,
    ServerEvent.LIST_CHANGED: ListChanged,
    ServerEvent.PRESENCE_CHANGED: PresenceChanged,
    ServerEvent.DEVICES_CHANGED: DevicesChanged,
    ServerEvent.MARKS_MOVED: MarksMoved,
    ServerEvent.DRAFT_CHANGED: DraftChanged,
    ServerEvent.TYPING_CHANGED: TypingChanged,
}


def check_event(event: str, payload: Any) -> None:
    """Raise ValueError if the server may not send this."""
    TypeAdapter(EVENTS[ServerEvent(event)]).validate_python(payload)
