"""Every event on the wire, with its fields and limits. `docs/protocol.md` explains them in words."""

from __future__ import annotations

import hashlib
import json
import math
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sio_server.protocol.position import Position
from sio_server.protocol.run import RESERVED_PREFIXES
from sio_server.protocol.text import is_blank

PROTOCOL_VERSION = 2

MAX_TEXT_BYTES = 16 * 1024  # of UTF-8, in one message or draft
# A larger frame is answered with `payload_too_large`. Any legal text fits: JSON takes at most 6 bytes for each one
# of UTF-8 (as for U+0001), and the other fields get as much as two texts.
MAX_FRAME_BYTES = 8 * MAX_TEXT_BYTES
MAX_PAGE_ENTRIES = 200
MAX_PAGE_BYTES = 256 * 1024  # a page ends early at this size, but holds at least one entry
SNAPSHOT_ENTRIES = 50
MAX_SYNC_CONVERSATIONS = 100
MAX_LIST_TEXT = 200  # characters of the last entry in a list of conversations
MAX_UNREAD = 100  # a list counts so many unread entries of a conversation
MAX_QUERY = 200  # characters of what is searched for
MAX_HIT_TEXT = 200  # characters of what a search finds, around the match
MAX_HITS = 50  # on one page
MAX_INVITES = 100
MAX_DEVICES = 50  # of a user that are remembered; the oldest that are offline are dropped
MAX_DEVICE_SESSIONS = 20  # of a device that are listed, the newest
MAX_DEVICE_NAME = 60
MAX_SIGN_OUTS = 200  # of a user's devices that are told apart; see the script
MAX_MARKED = 100  # conversations in one `marks:set`
MAX_DELIVERED = 200  # delivery marks of a conversation, the highest
DELIVERY_SESSIONS = 24  # while more sessions of a node follow a conversation, it spreads no delivery marks
DELIVERY_PAUSE_S = 0.25  # a client reports once in so long
MAX_REPORTS = 100  # of a run that are kept, the newest, for devices that join while it is executed
PREVIEW_BYTES = 256 * 1024  # of what a version of a run says that are streamed; its final entry has it all
MAX_DATA_URL_BYTES = 128 * 1024  # of an image or file that a graph gives as a data URL
ENTRY_BYTES_SHOWN = 64 * 1024  # of the JSON of a final entry's data; what is longer is read in pages of this size
MAX_ANSWER_DEPTH = 8  # of lists and objects in the answer to an interrupt
MAX_ANSWER_ITEMS = 1000
MAX_CONTEXT_BYTES = 16 * 1024  # of JSON, in the context of a conversation

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
USER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+:|~-]{0,127}$"
LINK_CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+:|~-]{0,127}\.[A-Za-z0-9_-]{32}$"  # a user id, and what is secret
MADE_ID_PREFIX = "c."  # of conversation ids that the server makes; clients may not choose such an id
# What these ask for, as people are told.
PATTERNS_IN_WORDS = {
    ID_PATTERN: "should be 1 to 64 letters, digits or . _ : -, beginning with a letter or digit",
    LINK_CODE_PATTERN: "is no code that `device:link` has made",
    USER_ID_PATTERN: "should be 1 to 128 letters, digits or . _ @ + : | ~ -, beginning with a letter or digit",
}


class ClientEvent(StrEnum):
    """Client to server; each gets exactly one ack."""

    CONVERSATION_CREATE = "conversation:create"
    CONVERSATION_JOIN = "conversation:join"
    CONVERSATION_LEAVE = "conversation:leave"
    CONVERSATION_LIST = "conversation:list"
    LIST_SET = "list:set"
    HISTORY_READ = "history:read"
    ENTRY_READ = "entry:read"
    CONVERSATION_INVITE = "conversation:invite"
    CONVERSATION_RENAME = "conversation:rename"
    CONVERSATION_CONFIGURE = "conversation:configure"
    CONVERSATION_DELETE = "conversation:delete"
    MEMBERS_REMOVE = "members:remove"
    MEMBERS_LIST = "members:list"
    MESSAGE_SEND = "message:send"
    MESSAGE_EDIT = "message:edit"
    MESSAGE_DELETE = "message:delete"
    MESSAGE_SEARCH = "message:search"
    RUN_STOP = "run:stop"
    RUN_REGENERATE = "run:regenerate"
    INTERRUPT_RESPOND = "interrupt:respond"
    MARKS_SET = "marks:set"
    DRAFT_SAVE = "draft:save"
    TYPING_SET = "typing:set"
    SESSION_SYNC = "session:sync"
    DEVICE_LIST = "device:list"
    DEVICE_RENAME = "device:rename"
    DEVICE_LINK = "device:link"
    DEVICE_UNLINK = "device:unlink"
    DEVICE_SIGN_OUT = "device:sign_out"


class ServerEvent(StrEnum):
    """Server to client."""

    SESSION_OPENED = "session:opened"
    SESSION_ENDED = "session:ended"
    ENTRY_APPENDED = "entry:appended"
    CONVERSATION_CHANGED = "conversation:changed"
    LIST_CHANGED = "list:changed"
    CONVERSATION_SYNCED = "conversation:synced"
    CONVERSATION_RESET = "conversation:reset"
    RUN_CHANGED = "run:changed"
    RUN_WRITTEN = "run:written"
    PRESENCE_CHANGED = "presence:changed"
    DEVICES_CHANGED = "devices:changed"
    MARKS_MOVED = "marks:moved"
    DRAFT_CHANGED = "draft:changed"
    TYPING_CHANGED = "typing:changed"


# The events of a conversation's stream, numbered by `n` in one order.
STREAM_EVENTS = frozenset({ServerEvent.ENTRY_APPENDED, ServerEvent.RUN_CHANGED, ServerEvent.RUN_WRITTEN})


class SessionEnd(StrEnum):
    """Why the server has ended a session; after the last two its client comes back, to another node."""

    SIGNED_OUT = "signed_out"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_REVOKED = "token_revoked"
    NODE_STOPPING = "node_stopping"
    CUT_OFF = "cut_off"


class EntryType(StrEnum):
    """The type of an entry in the log."""

    CONVERSATION_CREATED = "conversation_created"
    CONVERSATION_RENAMED = "conversation_renamed"
    CONVERSATION_CONFIGURED = "conversation_configured"
    MEMBER_JOINED = "member_joined"
    MEMBER_LEFT = "member_left"
    MESSAGE = "message"
    MESSAGE_DELETED = "message_deleted"
    ANSWER = "answer"
    INTERRUPT = "interrupt"
    INTERRUPT_RESOLVED = "interrupt_resolved"
    STOPPED = "stopped"
    FAILED = "failed"


class TextTooLong(ValueError):
    """A text over MAX_TEXT_BYTES; answered with `payload_too_large`."""


def _is_unicode(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can carry half a surrogate pair, which no log or socket could carry on.
        raise ValueError("not valid Unicode: half of a surrogate pair") from None
    return text


def _shows_something(text: str) -> str:
    if text and is_blank(text):
        raise ValueError("shows nothing: only white space, controls or characters of zero width")
    return text


def _is_a_persons(user_id: str) -> str:
    for prefix in RESERVED_PREFIXES:
        if user_id.startswith(prefix):
            raise ValueError(f"ids beginning with {prefix!r} belong to {prefix[:-1]}s")
    return user_id


def _is_plain(value: Any, depth: int = 0) -> int:
    """Count the items of a JSON value; raise ValueError for what may not enter a graph's state."""
    if depth > MAX_ANSWER_DEPTH:
        raise ValueError(f"nested deeper than {MAX_ANSWER_DEPTH} levels")
    if isinstance(value, str):
        _is_unicode(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a number of more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a JSON number")
    if isinstance(value, dict):
        for key in value:
            # Checkpointers revive objects that are shaped like constructors, and keep marks of their own.
            if key == "lc" or key.startswith("__"):
                raise ValueError("a field named 'lc', or beginning with '__', is not allowed")
            _is_unicode(key)
        return sum(_is_plain(item, depth + 1) for item in value.values()) + 1
    if isinstance(value, list):
        return sum(_is_plain(item, depth + 1) for item in value) + 1
    return 1


def _is_answer(value: Any) -> Any:
    if value is None or value == {}:
        raise ValueError("should be a value: null and {} answer nothing")
    if _is_plain(value) > MAX_ANSWER_ITEMS:
        raise ValueError(f"more than {MAX_ANSWER_ITEMS} values")
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_TEXT_BYTES:
        raise TextTooLong(f"longer than {MAX_TEXT_BYTES} bytes of JSON in UTF-8")
    return value


def _is_context(value: dict[str, Any]) -> dict[str, Any]:
    if _is_plain(value) > MAX_ANSWER_ITEMS:
        raise ValueError(f"more than {MAX_ANSWER_ITEMS} values")
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_CONTEXT_BYTES:
        raise TextTooLong(f"longer than {MAX_CONTEXT_BYTES} bytes of JSON in UTF-8")
    return value


def _fits_text_limit(text: str) -> str:
    # A character takes at most four bytes.
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise TextTooLong(f"longer than {MAX_TEXT_BYTES} bytes of UTF-8")
    return text


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
UserId = Annotated[str, StringConstraints(pattern=USER_ID_PATTERN), AfterValidator(_is_a_persons)]
Text = Annotated[str, AfterValidator(_is_unicode), AfterValidator(_fits_text_limit)]
MessageText = Annotated[Text, Field(min_length=1), AfterValidator(_shows_something)]
Title = Annotated[str, StringConstraints(max_length=200), AfterValidator(_is_unicode)]
DeviceName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_DEVICE_NAME),
    AfterValidator(_is_unicode),
    AfterValidator(_shows_something),
]
LinkCode = Annotated[str, StringConstraints(pattern=LINK_CODE_PATTERN)]
Seq = Annotated[int, Field(ge=0, le=2**53 - 1)]
# ISO 8601 UTC, as the server writes it; the fraction may be left out.
Time = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$")
]


class _Wire(BaseModel):
    """Strict: a number is not a string, and a field that is not known is an error, not a silent typo."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class WirePosition(_Wire):
    """A position as an object on the wire: `{epoch, seq}`."""

    epoch: Id
    seq: Seq

    def to_position(self) -> Position:
        return Position(self.epoch, self.seq)


class _Change(_Wire):
    """A request that changes something: the same `request_id` with the same body again yields the first ack."""

    request_id: Id

    @property
    def digest(self) -> str:
        """Of the body: of all that may not differ in a repetition, 40 hexadecimal digits.

        A repeated join may begin at a later position, and a message may have lost the one before it.
        """
        body = self.model_dump(mode="json", exclude={"request_id", "after", "position"})
        text = json.dumps([type(self).__name__, body], sort_keys=True)
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


Access = Literal["open", "invitation"]
AgentMode = Literal["always", "mention", "off"]
MultitaskStrategy = Literal["enqueue", "interrupt", "rollback", "reject"]
Approvals = Literal["members", "owner"]
Invites = Literal["members", "owner"]


class ConversationCreate(_Change):
    """Create a conversation and become its owner.

    Only an open conversation may be given an id: that of a private one would tell whether it is taken.
    """

    conversation_id: Id | None = None  # None: the server makes one
    title: Title = ""
    access: Access = "invitation"
    agent: AgentMode = "always"
    graph: Id | None = None  # None: the server's default graph
    multitask_strategy: MultitaskStrategy = "enqueue"
    approvals: Approvals = "members"
    invites: Invites = "members"
    invite: Annotated[list[UserId], Field(max_length=MAX_INVITES)] = []
    context: Annotated[dict[str, Any], AfterValidator(_is_context)] | None = None  # for the graph's context_schema

    @model_validator(mode="after")
    def _may_choose_id(self) -> Self:
        if self.conversation_id is None:
            return self
        if self.access != "open":
            raise ValueError("conversation_id is for access 'open' only; leave it out, and the server makes one")
        if self.conversation_id.startswith(MADE_ID_PREFIX):
            raise ValueError(f"conversation_id: ids that begin with {MADE_ID_PREFIX!r} are made by the server")
        return self


class ConversationJoin(_Change):
    """Become a member (of an open conversation, or when invited) and follow it on this session."""

    conversation_id: Id
    position: WirePosition | None = None


class ConversationLeave(_Change):
    """Stop being a member; all this user's sessions stop following."""

    conversation_id: Id


class ConversationList(_Wire):
    """This user's conversations in order of their ids, `limit` at a time, from above `after`.

    With `changed_since`, the `cursor` of an earlier answer, only those that have changed since.
    """

    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 100
    changed_since: Id | None = None


class ListSet(_Change):
    """Pin a conversation in this user's list, or put it into the archive of the list; None: as it is."""

    conversation_id: Id
    pinned: bool | None = None
    archived: bool | None = None


class HistoryRead(_Wire):
    """One page of ascending entries: just above `after`, just below `before` (default: the end), on both sides of
    `around`, or from the first one that is not older than `since`.
    """

    conversation_id: Id
    after: Seq | None = None
    before: Seq | None = None
    around: Seq | None = None
    since: Time | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ENTRIES)] = 50

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [name for name in ("after", "before", "around", "since") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{', '.join(given)}: give one of them only")
        return self


class EntryRead(_Wire):
    """One page of the whole data of an entry whose envelope has `pages`; pages count from 0."""

    conversation_id: Id
    seq: Seq
    page: Seq


class ConversationInvite(_Change):
    """Invite users to a conversation one is a member of."""

    conversation_id: Id
    user_ids: Annotated[list[UserId], Field(min_length=1, max_length=MAX_INVITES)]


class ConversationRename(_Change):
    """Give a conversation another title, as its owner or an operator."""

    conversation_id: Id
    title: Title


class ConversationConfigure(_Change):
    """Change settings of a conversation, as its owner; those that are left out stay."""

    conversation_id: Id
    agent: AgentMode | None = None
    access: Access | None = None
    multitask_strategy: MultitaskStrategy | None = None
    approvals: Approvals | None = None
    invites: Invites | None = None


class ConversationDelete(_Change):
    """Delete a conversation with all that it has, as its owner or an operator."""

    conversation_id: Id


class MembersRemove(_Change):
    """End another user's membership, or withdraw the invitation, as the owner or an operator."""

    conversation_id: Id
    user_id: UserId


class MembersList(_Wire):
    """The members, with who is online."""

    conversation_id: Id


class MessageSend(_Change):
    """Append a message; `after` is the request_id of the one that must be in the log before it."""

    conversation_id: Id
    after: Id | None = None
    text: MessageText


class MessageEdit(_Change):
    """Replace the conversation's last message, one's own: the dialog forgets what came of the old one."""

    conversation_id: Id
    after: Id | None = None
    seq: Seq
    text: MessageText


class MessageDelete(_Change):
    """Delete a message, or what the agent has said: its place stays, with nothing of its text.

    `forget`: the agent forgets the whole dialog as well.
    """

    conversation_id: Id
    seq: Seq
    forget: bool = False


class MessageSearch(_Wire):
    """Find messages and what agents have said that contain `query`, newest first, from below the cursor `before`.

    In one conversation, or (None) in all of which the user is a member.
    """

    query: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY),
        AfterValidator(_is_unicode),
        AfterValidator(_shows_something),
    ]
    conversation_id: Id | None = None
    before: Annotated[str, StringConstraints(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_HITS)] = 20


class RunStop(_Change):
    """End a run now, or all unfinished runs of the conversation; the text so far is kept."""

    conversation_id: Id
    run_id: Id | None = None


class RunRegenerate(_Change):
    """Answer the message of the last turn again; `seq` is the entry that ended the turn."""

    conversation_id: Id
    seq: Seq


class InterruptRespond(_Change):
    """Answer an interrupt: the graph is resumed with `value` when all of its interrupts are answered."""

    conversation_id: Id
    interrupt_id: Id
    value: Annotated[Any, AfterValidator(_is_answer)]


class Mark(_Wire):
    """How far a conversation has come: up to `read` for this user, up to `delivered` for this device."""

    read: Seq | None = None
    delivered: Seq | None = None


class MarksSet(_Wire):
    """Move marks up, each to the seq that is named at most; a mark never goes back."""

    marks: Annotated[dict[Id, Mark], Field(max_length=MAX_MARKED)]


class DraftSave(_Change):
    """This user's unsent text in a conversation; an empty text clears it."""

    conversation_id: Id
    text: Text


class TypingSet(_Wire):
    """This user began or stopped typing. May be lost."""

    conversation_id: Id
    typing: bool


class SessionSync(_Wire):
    """Follow conversations on this session and be caught up in each from its position (None: a snapshot).

    `positions` None: all conversations of which the user is a member, each with a snapshot; `limit` at a time, in
    the order of their ids, from above `after`. The answer holds at most `entries` entries of each conversation.
    """

    positions: Annotated[dict[Id, WirePosition | None], Field(max_length=MAX_SYNC_CONVERSATIONS)] | None
    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_SYNC_CONVERSATIONS)] = MAX_SYNC_CONVERSATIONS
    entries: Annotated[int, Field(ge=0, le=MAX_PAGE_ENTRIES)] = MAX_PAGE_ENTRIES
    members: bool = False  # with the members, as `members:list` gives them
    marks: bool = True  # with everybody's read and delivery marks


class DeviceList(_Wire):
    """This user's devices, online or not."""


class DeviceRename(_Change):
    """Call a device of one's own otherwise; it keeps the name, whatever it calls itself later."""

    device_id: Id
    device_name: DeviceName


class DeviceLink(_Change):
    """Make a code with which another device signs in as this user, once, within the next minutes."""


class DeviceUnlink(_Change):
    """Withdraw such a code."""

    code: LinkCode


class DeviceSignOut(_Change):
    """End all sessions of a device of one's own; its tokens are not accepted any more."""

    device_id: Id


REQUESTS: dict[ClientEvent, type[_Wire]] = {
    ClientEvent.CONVERSATION_CREATE: ConversationCreate,
    ClientEvent.CONVERSATION_JOIN: ConversationJoin,
    ClientEvent.CONVERSATION_LEAVE: ConversationLeave,
    ClientEvent.CONVERSATION_LIST: ConversationList,
    ClientEvent.LIST_SET: ListSet,
    ClientEvent.HISTORY_READ: HistoryRead,
    ClientEvent.ENTRY_READ: EntryRead,
    ClientEvent.CONVERSATION_INVITE: ConversationInvite,
    ClientEvent.CONVERSATION_RENAME: ConversationRename,
    ClientEvent.CONVERSATION_CONFIGURE: ConversationConfigure,
    ClientEvent.CONVERSATION_DELETE: ConversationDelete,
    ClientEvent.MEMBERS_REMOVE: MembersRemove,
    ClientEvent.MEMBERS_LIST: MembersList,
    ClientEvent.MESSAGE_SEND: MessageSend,
    ClientEvent.MESSAGE_EDIT: MessageEdit,
    ClientEvent.MESSAGE_DELETE: MessageDelete,
    ClientEvent.MESSAGE_SEARCH: MessageSearch,
    ClientEvent.RUN_STOP: RunStop,
    ClientEvent.RUN_REGENERATE: RunRegenerate,
    ClientEvent.INTERRUPT_RESPOND: InterruptRespond,
    ClientEvent.MARKS_SET: MarksSet,
    ClientEvent.DRAFT_SAVE: DraftSave,
    ClientEvent.TYPING_SET: TypingSet,
    ClientEvent.SESSION_SYNC: SessionSync,
    ClientEvent.DEVICE_LIST: DeviceList,
    ClientEvent.DEVICE_RENAME: DeviceRename,
    ClientEvent.DEVICE_LINK: DeviceLink,
    ClientEvent.DEVICE_UNLINK: DeviceUnlink,
    ClientEvent.DEVICE_SIGN_OUT: DeviceSignOut,
}
CHANGES = frozenset(event for event, model in REQUESTS.items() if issubclass(model, _Change))


class HandshakeAuth(_Wire):
    """The `auth` object of the handshake. A device keeps its `device_id` across sessions."""

    token: str
    device_id: Id | None = None
    device_name: Annotated[Title, StringConstraints(max_length=100), AfterValidator(_shows_something)] = ""


class Entry(BaseModel):
    """One record of the log: the envelope of `entry:appended` and of every page of history."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int
    conversation_id: str
    epoch: str
    seq: int
    type: str  # an EntryType, or one that a newer server knows
    ts: str  # ISO 8601 UTC, milliseconds, by Redis' clock
    data: dict[str, Any]
    turn_id: int | None = None  # seq of the message that began the turn to which the entry belongs
    hides: tuple[int, ...] = ()  # entries that are not current from this one on
    hidden_by: int | None = None  # pages only: the entry since which this one is not current
    pages: int | None = None  # `data` is shortened: the whole is read in so many pages, with `entry:read`

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    @property
    def text(self) -> str:
        """The text of a message or a final entry, its beginning if there are `pages`; empty for other entries."""
        return str(self.data.get("text", ""))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What a final entry says, part by part: `{kind, speaker, text}`, some with `data`."""
        if "parts" in self.data:
            return list(self.data["parts"])
        if self.type not in (EntryType.ANSWER, EntryType.STOPPED) or not self.text:
            return []
        return [{"kind": "text", "speaker": str(self.data.get("name", "")), "text": self.text}]

    @property
    def author(self) -> str:
        """The user id or agent id the entry is by."""
        return str(self.data.get("user_id", ""))
