"""Every ack of the server: what each request is answered with, and how refusals look."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter

from sio_server.protocol.entries import By, PageEntry
from sio_server.protocol.events import (
    Access,
    AgentMode,
    Approvals,
    ClientEvent,
    Invites,
    MultitaskStrategy,
    Seq,
)
from sio_server.protocol.sent import Maybe, Sent
from sio_server.protocol.server_events import DeviceState, Draft, EpochSeq, Member, SyncResult


class Winner(Sent):
    """With `already_resolved`: the answer that came first."""

    seq: Seq
    value: Any
    by: By


class ErrorObject(Sent):
    """Why a request or a handshake was refused."""

    code: str
    message: str
    retryable: bool
    retry_after_ms: Maybe[int] = None
    details: Maybe[Winner] = None


class Refusal(Sent):
    """The ack of a request that was refused, or whose outcome is unknown."""

    ok: Literal[False]
    error: ErrorObject


class ItemError(Sent):
    """In place of a conversation's result."""

    error: ErrorObject


class Ack(Sent):
    """The ack of a request that was carried out."""

    ok: Literal[True]


class _ConversationAck(Ack):
    conversation_id: str


class CreateAck(SyncResult):
    """Of `conversation:create`."""

    ok: Literal[True]
    created: bool


class JoinAck(SyncResult):
    """Of `conversation:join`."""

    ok: Literal[True]
    joined: bool


class LeaveAck(_ConversationAck):
    """Of `conversation:leave`."""

    left: bool


class InviteAck(_ConversationAck):
    """Of `conversation:invite`: the users for whom it is new, and those who have never been here."""

    invited: list[str]
    unknown: list[str]


class RenameConversationAck(_ConversationAck):
    """Of `conversation:rename`: whether it had another title."""

    title: str
    changed: bool


class ConfigureAck(_ConversationAck):
    """Of `conversation:configure`: the settings as they are now, and whether one of them was another."""

    agent: AgentMode
    access: Access
    multitask_strategy: MultitaskStrategy
    approvals: Approvals
    invites: Invites
    changed: bool


class DeleteConversationAck(_ConversationAck):
    """Of `conversation:delete`: whether there was something to delete."""

    deleted: bool


class RemoveAck(_ConversationAck):
    """Of `members:remove`: whether the user was a member."""

    user_id: str
    left: bool


class Invitation(Sent):
    """A conversation that the user is invited to."""

    conversation_id: str
    title: str
    role: Literal["invited"]


class LastEntry(Sent):
    """The newest message or answer, with the beginning of its text; without one, the names of its files."""

    seq: Seq
    type: Literal["message", "answer"]
    ts: str
    user_id: str
    name: str
    text: str
    files: Maybe[int] = None  # how many a message has
    deleted: Maybe[Literal[True]] = None


class ListedConversation(Sent):
    """A conversation that the user is a member of."""

    conversation_id: str
    title: str
    access: Access
    agent: AgentMode
    graph: str
    role: Literal["owner", "member"]
    position: EpochSeq
    read: Seq
    unread: int
    mentions: int
    draft: Draft | None
    last_entry: LastEntry | None
    last_activity: str
    pinned: bool
    archived: bool


class ListSetAck(_ConversationAck):
    """Of `list:set`: how the conversation stands in the user's list now."""

    pinned: bool
    archived: bool


class ListAck(Ack):
    """Of `conversation:list`; `complete`: nothing was left out. The first page has a `cursor`.

    `unavailable`: ids of conversations that cannot be read now.
    """

    conversations: list[ListedConversation | Invitation]
    next: str | None
    complete: bool
    left: list[str]
    unavailable: list[str]
    cursor: str | None


class MembersAck(_ConversationAck):
    """Of `members:list`."""

    members: list[Member]


class HistoryAck(_ConversationAck):
    """Of `history:read`: one page, ascending."""

    epoch: str
    first: Seq
    head: Seq
    entries: list[PageEntry]


class EntryReadAck(_ConversationAck):
    """Of `entry:read`: all texts joined are the JSON of the entry's whole data."""

    epoch: str
    seq: Seq
    page: Seq
    pages: Seq
    text: str


class SendAck(_ConversationAck):
    """Of `message:send` and `message:edit`; `run_id` is null when the agent does not answer."""

    epoch: str
    seq: Seq
    ts: str
    run_id: str | None


class DeleteMessageAck(_ConversationAck):
    """Of `message:delete`: the entries that it has deleted; none, if that was done before."""

    deleted: list[Seq]


class Hit(Sent):
    """An entry that a search has found; `text` is at most 200 characters around the first match."""

    conversation_id: str
    title: str
    seq: Seq
    type: Literal["message", "answer", "interrupt", "stopped"]
    ts: str
    user_id: str
    name: str
    text: str


class SearchAck(Ack):
    """Of `message:search`; with `complete` false the page was not filled: ask again from `next`."""

    hits: list[Hit]
    next: str | None
    complete: bool


class ReactionAck(_ConversationAck):
    """Of `reaction:set`; `entry_seq`: of the entry that says so, null when there was nothing to take back."""

    seq: Seq
    reaction: str
    set: bool
    entry_seq: Seq | None


class FileLinkAck(Ack):
    """Of `file:link`: a path of this server, below its address, which holds for so many seconds."""

    url: str
    expires_in: int


class StopAck(_ConversationAck):
    """Of `run:stop`: the runs that it has ended."""

    stopped: list[str]


class RegenerateAck(_ConversationAck):
    """Of `run:regenerate`."""

    run_id: str


class RespondAck(_ConversationAck):
    """Of `interrupt:respond`; `run_id` is null while the graph has other open questions."""

    interrupt_id: str
    seq: Seq
    outcome: Literal["answered"]
    value: Any
    by: By
    run_id: str | None


class Marks(Sent):
    """The user's read mark and this device's delivery mark, as they are now."""

    read: Maybe[Seq] = None
    delivered: Maybe[Seq] = None


class MarksAck(Ack):
    """Of `marks:set`."""

    marks: dict[str, Marks | ItemError]


class DraftAck(_ConversationAck):
    """Of `draft:save`."""

    rev: int


class SyncAck(Ack):
    """Of `session:sync`; `next` is the cursor of the next page of conversations."""

    conversations: dict[str, SyncResult | ItemError]
    next: str | None


class DevicesAck(Ack):
    """Of `device:list`."""

    devices: list[DeviceState]


class RenameAck(Ack):
    """Of `device:rename`."""

    device_id: str
    device_name: str


class LinkAck(Ack):
    """Of `device:link`: the code, and for how many seconds it may be used."""

    code: str
    expires_in: int


class UnlinkAck(Ack):
    """Of `device:unlink`: whether the code could still be used."""

    withdrawn: bool


class SignOutAck(Ack):
    """Of `device:sign_out`: how many sessions were ended."""

    device_id: str
    sessions: int


class PushAck(Ack):
    """Of `push:subscribe`: whether this device is sent notifications now."""

    device_id: str
    subscribed: bool


ACKS: dict[ClientEvent, type[Ack | CreateAck | JoinAck]] = {
    ClientEvent.CONVERSATION_CREATE: CreateAck,
    ClientEvent.CONVERSATION_JOIN: JoinAck,
    ClientEvent.CONVERSATION_LEAVE: LeaveAck,
    ClientEvent.CONVERSATION_INVITE: InviteAck,
    ClientEvent.CONVERSATION_RENAME: RenameConversationAck,
    ClientEvent.CONVERSATION_CONFIGURE: ConfigureAck,
    ClientEvent.CONVERSATION_DELETE: DeleteConversationAck,
    ClientEvent.MEMBERS_REMOVE: RemoveAck,
    ClientEvent.CONVERSATION_LIST: ListAck,
    ClientEvent.LIST_SET: ListSetAck,
    ClientEvent.MEMBERS_LIST: MembersAck,
    ClientEvent.HISTORY_READ: HistoryAck,
    ClientEvent.ENTRY_READ: EntryReadAck,
    ClientEvent.MESSAGE_SEND: SendAck,
    ClientEvent.MESSAGE_EDIT: SendAck,
    ClientEvent.MESSAGE_DELETE: DeleteMessageAck,
    ClientEvent.MESSAGE_SEARCH: SearchAck,
    ClientEvent.REACTION_SET: ReactionAck,
    ClientEvent.FILE_LINK: FileLinkAck,
    ClientEvent.RUN_STOP: StopAck,
    ClientEvent.RUN_REGENERATE: RegenerateAck,
    ClientEvent.INTERRUPT_RESPOND: RespondAck,
    ClientEvent.MARKS_SET: MarksAck,
    ClientEvent.DRAFT_SAVE: DraftAck,
    ClientEvent.TYPING_SET: Ack,
    ClientEvent.SESSION_SYNC: SyncAck,
    ClientEvent.DEVICE_LIST: DevicesAck,
    ClientEvent.DEVICE_RENAME: RenameAck,
    ClientEvent.DEVICE_LINK: LinkAck,
    ClientEvent.DEVICE_UNLINK: UnlinkAck,
    ClientEvent.DEVICE_SIGN_OUT: SignOutAck,
    ClientEvent.PUSH_SUBSCRIBE: PushAck,
}


def check_ack(request: str, ack: Any) -> None:
    """Raise ValueError if the server may not answer this request so."""
    model = Refusal if not ack.get("ok") else ACKS[ClientEvent(request)]
    TypeAdapter(model).validate_python(ack)
