"""What a backend sends to the API and what it is answered, as models; the description is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from sio_server.gateway.api.schedule_times import MAX_CRON, next_ms
from sio_server.protocol.acks import ErrorObject, Invitation, ListedConversation
from sio_server.protocol.entries import By, ChosenSettings, LoggedEntry, PageEntry
from sio_server.protocol.events import (
    MAX_INVITES,
    MAX_PAGE_ENTRIES,
    Access,
    AgentMode,
    Approvals,
    Id,
    MessageText,
    MultitaskStrategy,
    Seq,
    Title,
    UserId,
)
from sio_server.protocol.names import clean_name
from sio_server.protocol.sent import Sent
from sio_server.protocol.server_events import EpochSeq, Member, OpenQuestion, Part, Report, Run

MAX_NAME = 100


def _shown(name: str) -> str:
    cleaned = clean_name(name)
    if not cleaned:
        raise ValueError("shows nothing")
    return cleaned


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_shown)]


# What is sent


class Body(BaseModel):
    """The body of a request: a field that is not known is an error, not a silent typo."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Query(BaseModel):
    """The query of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Query):
    """Of requests that take neither a body nor a query."""


class NamedUser(Body):
    """A user, with the name that people see (the id, if there is none)."""

    user_id: UserId
    name: Name | None = None


class Acting(Body):
    """Who acts: a user, who must be a member; the service itself if there is none."""

    user: NamedUser | None = None


class CreateConversation(Acting):
    """Create a conversation with `user` as owner. `members` are in it at once, `invite` are invited."""

    conversation_id: Id | None = None
    title: Title = ""
    access: Access = "invitation"
    agent: AgentMode = "always"
    graph: Id | None = None
    multitask_strategy: MultitaskStrategy = "enqueue"
    approvals: Approvals = "members"
    context: dict[str, Any] | None = None
    members: Annotated[list[NamedUser], Field(max_length=MAX_INVITES)] = []
    invite: Annotated[list[UserId], Field(max_length=MAX_INVITES)] = []


class RenameConversation(Acting):
    """Give a conversation another title."""

    title: Title


class AddMember(Body):
    """Make a user a member; no invitation is needed."""

    name: Name | None = None


class InviteUsers(Acting):
    """Invite users."""

    user_ids: Annotated[list[UserId], Field(min_length=1, max_length=MAX_INVITES)]


class PostMessage(Acting):
    """Post a message. `run`: whether the agent answers; null: as the conversation is set.

    `after` is the key of the message by the same user that must be in the log before it.
    """

    text: MessageText
    run: bool | None = None
    after: Id | None = None


class StartRun(Acting):
    """Post a message that the agent answers, whatever the conversation is set to."""

    text: MessageText


class ScheduleMessage(Acting):
    """Post a message at a time (`at`, ISO 8601 with its offset), or again and again (`cron`, in `timezone`)."""

    text: MessageText
    run: bool | None = None
    at: AwareDatetime | None = None
    cron: Annotated[str, StringConstraints(min_length=9, max_length=MAX_CRON)] | None = None
    timezone: Annotated[str, StringConstraints(max_length=64)] = "UTC"

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if (self.at is None) == (self.cron is None):
            raise ValueError("at, cron: give one of them")
        if self.cron is not None:
            next_ms(self.cron, self.timezone, 0)
        return self


class StopRuns(Acting):
    """End a run now, or all of a conversation."""


class Respond(Acting):
    """Answer an open question."""

    value: Any


class ListQuery(Query):
    """A page of a user's conversations; see `conversation:list` of the protocol. `name`: whose mentions count."""

    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 100
    changed_since: Id | None = None
    name: Name | None = None


class EntriesQuery(Query):
    """A page of entries: those just above `after`, or just below `before` (default: the end)."""

    after: Seq | None = None
    before: Seq | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ENTRIES)] = 50


# What is answered


class Failure(Sent):
    """Why a request was not carried out, or its outcome is unknown."""

    ok: Literal[False]
    error: ErrorObject


class _InConversation(Sent):
    conversation_id: str


class ConversationState(_InConversation, ChosenSettings):
    """A conversation as it is now; `first` is the oldest entry that is kept."""

    owner: str
    position: EpochSeq
    first: Seq
    last_activity: str
    runs: list[Run]
    interrupts: list[OpenQuestion]


class ConversationCreated(_InConversation):
    """`created` is false if this owner had created it with the same settings before."""

    created: bool


class ConversationRenamed(_InConversation):
    """`changed` is false if it had this title already."""

    title: str
    changed: bool


class ConversationDeleted(_InConversation):
    """`deleted` is false if there was none."""

    deleted: bool


class ConversationsListed(Sent):
    """A page of a user's conversations."""

    conversations: list[ListedConversation | Invitation]
    next: str | None
    complete: bool
    left: list[str]
    cursor: str | None


class MembersListed(_InConversation):
    """The members."""

    members: list[Member]


class MemberAdded(_InConversation):
    """`joined` is false if the user was a member already."""

    user_id: str
    joined: bool


class MemberRemoved(_InConversation):
    """`left` is false if the user was no member; an invitation is withdrawn all the same."""

    user_id: str
    left: bool


class UsersInvited(_InConversation):
    """The users for whom the invitation is new."""

    invited: list[str]


class EntriesRead(_InConversation):
    """One page of the log, ascending."""

    epoch: str
    first: Seq
    head: Seq
    entries: list[PageEntry]


class EntryPageRead(_InConversation):
    """One page of a long entry: all texts joined are the JSON of its whole data."""

    epoch: str
    seq: Seq
    page: Seq
    pages: Seq
    text: str


class MessagePosted(_InConversation):
    """Where the message is; `run_id` is null if no answer will come."""

    epoch: str
    seq: Seq
    ts: str
    run_id: str | None


class RunsRead(_InConversation):
    """The unfinished runs, in their order."""

    runs: list[Run]


class RunRead(Sent):
    """A run. Of one that has ended `parts` is empty, and `final` is the entry that ended it."""

    run_id: str
    turn_id: Seq
    status: Literal["queued", "running", "stalled", "answered", "interrupted", "stopped", "failed"]
    attempt: int
    version: int
    node: str
    replaces: Seq | None
    parts: list[Part]
    reports: list[Report]
    final: LoggedEntry | None


class RunsStopped(_InConversation):
    """The runs that were ended."""

    stopped: list[str]


class Responded(_InConversation):
    """The answer as it was taken; `run_id` is null while other questions are open."""

    interrupt_id: str
    seq: Seq
    outcome: Literal["answered"]
    value: Any
    by: By
    run_id: str | None


class MessageScheduled(_InConversation):
    """`next`: when it is due first."""

    schedule_id: str
    next: str


class Schedule(Sent):
    """A message that is due at `next`; null: it was refused, with `problem`, and is not tried again."""

    schedule_id: str
    next: str | None
    user_id: str
    name: str
    text: str
    run: bool | None
    at: str | None
    cron: str | None
    timezone: str
    problem: ErrorObject | None


class SchedulesListed(_InConversation):
    """What is scheduled, the next first."""

    schedules: list[Schedule]


class ScheduleDropped(_InConversation):
    """`dropped` is false if there was no such schedule."""

    schedule_id: str
    dropped: bool


class WebhookFailing(Sent):
    """What went wrong last, how often the message that waits longest was tried, and since when."""

    since: str | None
    failures: int
    problem: str


class WebhookDisabled(Sent):
    """Why an endpoint is told nothing more, and since when."""

    since: str
    reason: str


class Webhook(Sent):
    """An endpoint of webhooks. `waiting` counts up to 1000 in each of the partitions."""

    name: str
    url: str
    types: list[str]
    waiting: int
    last_delivered: str | None
    failing: WebhookFailing | None
    disabled: WebhookDisabled | None


class WebhooksListed(Sent):
    """The endpoints."""

    webhooks: list[Webhook]
