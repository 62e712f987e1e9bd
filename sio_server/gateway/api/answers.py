"""What the API answers, as models; the description is made from them."""

from __future__ import annotations

from typing import Any, Literal

from sio_server.protocol.acks import ErrorObject, Invitation, ListedConversation
from sio_server.protocol.entries import By, ChosenSettings, LoggedEntry, PageEntry
from sio_server.protocol.events import Seq
from sio_server.protocol.sent import Maybe, Sent
from sio_server.protocol.server_events import EpochSeq, Member, OpenQuestion, Part, Report, Run


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


class UserDeletionPending(Sent):
    """Whether a user is still being deleted."""

    user_id: str
    pending: bool


class EntryDeleted(_InConversation):
    """The entries that this has deleted: a message with its earlier texts, or none if that was done before."""

    deleted: list[Seq]


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


class NodeStatus(Sent):
    """A node, with its state in words."""

    node_id: str
    name: str
    port: int
    sessions: int
    started: str
    version: str
    state: str


class ShardStatus(Sent):
    """A primary of a Redis Cluster."""

    address: str
    partitions: int
    answers: bool


class ClusterStatus(Sent):
    """The whole cluster; `shards` with a Redis Cluster only."""

    healthy: bool
    problems: list[str]
    versions: list[str]
    unfinished_runs: int
    nodes: list[NodeStatus]
    active_sessions: int
    bus_subscriptions: int
    shards: Maybe[list[ShardStatus]] = None
    conversations: int
    entries: int
    runs: int
    runs_finished: int
