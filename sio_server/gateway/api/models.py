"""What a backend sends to the API, as models; the description is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from sio_server.gateway.api.schedule_times import MAX_CRON, check_time, next_ms
from sio_server.protocol.events import (
    MAX_INVITES,
    MAX_PAGE_ENTRIES,
    Access,
    AgentMode,
    Approvals,
    Id,
    Invites,
    MessageText,
    MultitaskStrategy,
    Seq,
    Title,
    UserId,
)
from sio_server.protocol.names import clean_name

MAX_NAME = 100


def _shown(name: str) -> str:
    cleaned = clean_name(name)
    if not cleaned:
        raise ValueError("shows nothing")
    return cleaned


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_shown)]


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
    invites: Invites = "members"
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
    at: Annotated[AwareDatetime, AfterValidator(check_time)] | None = None
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


class DeleteEntryQuery(Query):
    """`forget`: the agent forgets the whole dialog as well."""

    forget: bool = False


class DeleteUserQuery(Query):
    """`pseudonymise`: what the user has written stays, without the user."""

    pseudonymise: bool = False


class EntriesQuery(Query):
    """A page of entries: those just above `after`, or just below `before` (default: the end)."""

    after: Seq | None = None
    before: Seq | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ENTRIES)] = 50
