"""Each type of entry in the log, with the fields of its data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue

from sio_server.protocol.events import Access, AgentMode, Approvals, Invites, MultitaskStrategy, Seq
from sio_server.protocol.forms import Form
from sio_server.protocol.sent import Maybe, Sent


class By(Sent):
    """A member, on which device and in which session: the author of a stop or of an answer to a question."""

    user_id: str
    name: str
    device_id: str
    device_name: str
    session_id: str
    bot: Maybe[Literal[True]] = None  # a program that answers by itself


class Question(Sent):
    """One question of a graph; `value` is whatever the graph asks with, `form` how it is shown and answered."""

    interrupt_id: str
    value: Any
    form: Form


class Tool(Sent):
    """A tool that the agent has called; `result` when there is one."""

    id: str | None
    name: str
    args: Any
    status: Literal["called", "done", "failed"]
    result: Maybe[Any] = None


class Person(Sent):
    """A user as entries name one."""

    user_id: str
    name: str


class Joined(Person):
    """The data of `member_joined`; `by`: who added the member, where it was not the member."""

    by: Maybe[By] = None


class Left(Person):
    """The data of `member_left`; `by`: who removed the member, where it was not the member."""

    by: Maybe[By] = None


class Renamed(Person):
    """The data of `conversation_renamed`: who gave it which title."""

    title: str


class Configured(Person):
    """The data of `conversation_configured`: the user that changed settings, and how all of them are now."""

    agent: AgentMode
    access: Access
    multitask_strategy: MultitaskStrategy
    approvals: Approvals
    invites: Invites


class ChosenSettings(Sent):
    """What the owner chose when the conversation was created."""

    title: str
    access: Access
    agent: AgentMode
    graph: str
    multitask_strategy: MultitaskStrategy
    approvals: Approvals
    invites: Invites


class Created(Person, ChosenSettings):
    """The data of `conversation_created`: the owner, and the settings."""


class MessageFile(Sent):
    """A file of a message: the name that its user gave it, and what its bytes are; `width`, `height` of images."""

    file_id: str
    name: str
    mime_type: str
    size: int
    width: Maybe[int] = None
    height: Maybe[int] = None


class Message(Person):
    """The data of `message`; `run_id` when a run was begun for it, `edits` when it replaces a message.

    `reply_to`: seq of the entry that it answers.
    """

    role: Literal["user"]
    device_id: str
    request_id: str
    text: str
    run_id: Maybe[str] = None
    edits: Maybe[Seq] = None
    reply_to: Maybe[Seq] = None
    files: Maybe[list[MessageFile]] = None
    bot: Maybe[Literal[True]] = None  # a program wrote it, and says so
    deleted: Maybe[Literal[True]] = None  # then `text` is empty, and there are no files


class Deleted(Person):
    """The data of `message_deleted`: whose doing it is, and the entries whose data has nothing left to show."""

    deletes: list[Seq]


class ReactionChanged(Person):
    """The data of `reaction_changed`: who gave the entry `to` a reaction, or took it back."""

    to: Seq
    reaction: str
    set: bool


class FileData(Sent):
    """The data of an `image` or `file`: an http or https address, or a data URL."""

    mime_type: str
    url: str
    name: Maybe[str] = None


class OmittedFile(Sent):
    """In its place, when its data URL has more than MAX_DATA_URL_BYTES."""

    mime_type: str
    size: int
    omitted: Literal["too_large"]
    name: Maybe[str] = None


class CitationData(Sent):
    """The data of a `citation`; `text` is the words that are cited."""

    url: Maybe[str] = None
    title: Maybe[str] = None
    text: Maybe[str] = None


class StructuredData(Sent):
    """The data of a part of kind `data`: structured output of a graph."""

    value: Any


PartKind = Literal["text", "reasoning", "image", "file", "citation", "data"]
PartData = FileData | OmittedFile | CitationData | StructuredData


class SaidPart(Sent):
    """What one speaker says in one message; `data` of all kinds but `text` and `reasoning`."""

    kind: PartKind
    speaker: str
    text: str
    data: Maybe[PartData] = None


class Final(Person):
    """What the data of all final entries have; `replaces` when the turn was regenerated."""

    role: Literal["assistant"]
    run_id: str
    attempt: int
    node: Maybe[str] = None  # the name of the node that made the last attempt
    input_seq: Seq
    replaces: Maybe[Seq] = None
    deleted: Maybe[Literal[True]] = None  # then nothing of what was said is left


class Answer(Final):
    """The data of `answer`; `text` is what was said last. No `parts`: it is all that was said."""

    text: str
    parts: Maybe[list[SaidPart]] = None
    tools: list[Tool]


class Interrupt(Final):
    """The data of `interrupt`: what was said, and the questions; `parts` are what was said before it asked.

    `reason` says why they are asked again.
    """

    text: str
    parts: Maybe[list[SaidPart]] = None
    interrupts: list[Question]
    reason: Maybe[str] = None


class Stopped(Final):
    """The data of `stopped`: the text until then. `by` is absent when a message has ended the run."""

    text: str
    parts: Maybe[list[SaidPart]] = None
    rolled_back: bool
    by: Maybe[By] = None


class Failed(Final):
    """The data of `failed`."""

    code: Literal[
        "graph_failed",
        "timeout",
        "no_answer",
        "too_many_steps",
        "interrupted_too_often",
        "unknown_graph",
        "graph_changed",
        "node_lost",
        "answer_too_large",
    ]
    reason: str


class Answered(Sent):
    """The data of `interrupt_resolved`, answered; `run_id` is null while other questions are open."""

    interrupt_id: str
    outcome: Literal["answered"]
    value: Any
    by: By
    run_id: str | None


class Superseded(Sent):
    """The data of `interrupt_resolved` when a later message or run has made the question void."""

    interrupt_id: str
    outcome: Literal["superseded"]


class _Envelope(Sent):
    v: Literal[2]
    conversation_id: str
    epoch: str
    seq: Seq
    ts: str
    turn_id: Maybe[Seq] = None
    hides: Maybe[list[Seq]] = None
    hidden_by: Maybe[Seq] = None  # in pages
    pages: Maybe[Seq] = None  # `data` is shortened: the whole is read with `entry:read`
    n: Maybe[Seq] = None  # in events
    session_id: Maybe[str] = None  # in events


class ConversationCreatedEntry(_Envelope):
    type: Literal["conversation_created"]
    data: Created


class ConversationRenamedEntry(_Envelope):
    type: Literal["conversation_renamed"]
    data: Renamed


class ConversationConfiguredEntry(_Envelope):
    type: Literal["conversation_configured"]
    data: Configured


class MemberJoinedEntry(_Envelope):
    type: Literal["member_joined"]
    data: Joined


class MemberLeftEntry(_Envelope):
    type: Literal["member_left"]
    data: Left


class MessageEntry(_Envelope):
    type: Literal["message"]
    data: Message


class MessageDeletedEntry(_Envelope):
    type: Literal["message_deleted"]
    data: Deleted


class ReactionChangedEntry(_Envelope):
    type: Literal["reaction_changed"]
    data: ReactionChanged


class AnswerEntry(_Envelope):
    type: Literal["answer"]
    data: Answer


class InterruptEntry(_Envelope):
    type: Literal["interrupt"]
    data: Interrupt


class InterruptResolvedEntry(_Envelope):
    type: Literal["interrupt_resolved"]
    data: Annotated[Answered | Superseded, Field(discriminator="outcome")]


class StoppedEntry(_Envelope):
    type: Literal["stopped"]
    data: Stopped


class FailedEntry(_Envelope):
    type: Literal["failed"]
    data: Failed


class LoggedEntry(
    RootModel[
        Annotated[
            ConversationCreatedEntry
            | ConversationRenamedEntry
            | ConversationConfiguredEntry
            | MemberJoinedEntry
            | MemberLeftEntry
            | MessageEntry
            | MessageDeletedEntry
            | ReactionChangedEntry
            | AnswerEntry
            | InterruptEntry
            | InterruptResolvedEntry
            | StoppedEntry
            | FailedEntry,
            Field(discriminator="type"),
        ]
    ]
):
    """An entry of the log, in a page or in an event."""


def _check_paged(entry: LoggedEntry) -> LoggedEntry:
    if entry.root.n is not None or entry.root.session_id is not None:
        raise ValueError("n and session_id belong to events")
    return entry


def _check_numbered(entry: LoggedEntry) -> LoggedEntry:
    if entry.root.n is None or entry.root.hidden_by is not None:
        raise ValueError("an event has n, and no hidden_by")
    return entry


NUMBERED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}  # in an event


class _Numbered:
    """Says so in the schema."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"allOf": [handler(schema), NUMBERED]}


PageEntry = Annotated[LoggedEntry, AfterValidator(_check_paged)]
LiveEntry = Annotated[LoggedEntry, AfterValidator(_check_numbered), _Numbered()]
