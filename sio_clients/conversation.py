"""A conversation as an application sees it: send, and read its entries in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sio_clients.decisions import Decision
from sio_clients.errors import (
    ConversationReset,
    NotConnected,
    RateLimited,
    Refused,
    RoomgraphError,
    Unavailable,
    from_wire,
)
from sio_clients.files import FileTransfer, Source
from sio_clients.sending import Pipeline
from sio_server.protocol.events import ClientEvent, Entry, EntryType
from sio_server.protocol.position import Position
from sio_server.protocol.stream import Run, Step, Stream


@dataclass(frozen=True)
class SessionCard:
    """What the server says after a join or a reconnect: the verdict, its reason, and what happened meanwhile."""

    user_id: str
    verdict: str
    reason: str
    replayed: int  # entries that were missed, or that the snapshot holds
    history: int  # entries in the log
    last_activity: str


@dataclass(frozen=True)
class Ack:
    """The server's confirmation that a message is in the log, at this position."""

    conversation_id: str
    epoch: str
    seq: int
    ts: str
    run_id: str | None

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)


# Of a long entry, of at most 64 kB each: 64 MB, and some more, since pages are cut at the borders of characters.
MAX_PAGES = 1100
RETRY_FIRST_S, RETRY_MAX_S = 0.5, 10.0  # before a long entry is asked for again


@dataclass(frozen=True)
class Question:
    """An open question of the agent: what the graph asks with, and how it is shown and answered."""

    interrupt_id: str
    value: Any
    form: dict[str, Any]


class _Requester(Protocol):
    """The part of a client that a conversation needs."""

    async def request(self, event: str, payload: dict[str, Any]) -> dict[str, Any]: ...

    def forget(self, conversation: Conversation, error: RoomgraphError | None = None) -> None: ...


class Conversation:
    """A conversation that this device follows."""

    def __init__(
        self,
        client: _Requester,
        conversation_id: str,
        position: Position | None = None,
        files: FileTransfer | None = None,
    ) -> None:
        self._files = files
        self.id = conversation_id
        self.title = ""
        self.card: SessionCard | None = None  # of the latest join or reconnect
        self.stream = Stream(position)
        # Called with the ids of the runs that have changed or ended, and the name of the event that did it, or
        # "" for the answer to a sync. It must not block.
        self.on_runs_changed: Callable[[Sequence[str], str], None] = lambda run_ids, event: None
        self.draft = ""  # this user's unsent text, as the latest of the user's sessions has saved it
        self._draft_rev = 0
        self._client = client
        self._queue: asyncio.Queue[Entry | RoomgraphError | None] = asyncio.Queue()
        self._unread: list[Entry] = []  # taken from the queue, and not handed on: its reading was cancelled
        self._shortened: set[str] = set()  # ids of questions of entries that have not been read whole
        self._whole_questions: dict[str, Question] = {}  # those of long entries that have been
        self._ended = False  # nothing is added to the queue any more
        self._pipeline = Pipeline(client.request)

    @property
    def position(self) -> Position | None:
        """The position of the latest entry received here: keep it to `join` from there another time."""
        return self.stream.position

    @property
    def runs(self) -> Mapping[str, Run]:
        """The unfinished runs by their ids: status, text so far, parts, reports, and what was withdrawn."""
        return self.stream.runs

    @property
    def interrupts(self) -> Mapping[str, Question]:
        """The agent's open questions, in the order in which they were asked, by their ids.

        One of a long entry is here when `entries()` has read the entry whole, and never with a shortened form.
        """
        questions = {}
        for one, value in self.stream.interrupts.items():
            if one in self._whole_questions:
                questions[one] = self._whole_questions[one]
            elif one not in self._shortened:
                questions[one] = Question(one, value, self.stream.forms[one] or {})
        return questions

    def current(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of the entries that still hold: not edited, regenerated or rolled back."""
        return [e for e in entries if e.hidden_by is None and e.seq not in self.stream.hidden]

    async def send(
        self,
        text: str,
        *,
        request_id: str | None = None,
        reply_to: int | None = None,
        files: Sequence[Source] = (),
    ) -> Ack:
        """Send a message; returns when it is in the log.

        `reply_to`: the seq of the entry that it answers. `files`: paths, names with bytes, or ids of
        `upload`; with files the text may be empty.

        Messages are logged in the order of the calls, which need not wait for each other: send many with
        `asyncio.gather`.
        """
        request: dict[str, Any] = {"conversation_id": self.id, "text": text}
        if reply_to is not None:
            request["reply_to"] = reply_to
        ack = await self._pipeline.send(
            ClientEvent.MESSAGE_SEND, partial(self._with_files, request, files) if files else request, request_id
        )
        return Ack(**{item.name: ack[item.name] for item in fields(Ack)})

    async def entries(self) -> AsyncIterator[Entry]:
        """Entries as they arrive, in the order of the log, each once; ends when the client is closed.

        A long one is read whole before it is handed on, also after an outage. It keeps `pages`, and is shortened,
        only when the log no longer has it, it has more than MAX_PAGES, or the client is closed.
        Raises ConversationReset when the entries seen before are void; iterate again for the snapshot.
        Raises Refused when this user is no longer a member.
        """
        while True:
            item = self._unread.pop() if self._unread else await self._queue.get()
            if item is None:
                return
            if isinstance(item, RoomgraphError):
                raise item
            if item.pages:
                try:
                    whole = await self._whole_at_last(item)
                except BaseException:
                    self._unread.append(item)
                    raise
                yield whole
            else:
                yield item

    async def _whole_at_last(self, entry: Entry) -> Entry:
        """The entry whole, however long the nodes are away; as it is when the client is closed."""
        pause = RETRY_FIRST_S
        while True:
            try:
                return await self.whole(entry)
            except (NotConnected, RateLimited, Unavailable):
                if self._ended:
                    return entry
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_MAX_S)

    async def whole(self, entry: Entry) -> Entry:
        """The entry with its whole data; itself when it is not shortened, or can no longer be read."""
        if not entry.pages or entry.pages > MAX_PAGES:
            return entry
        texts: list[str] = []
        request = {"conversation_id": self.id, "seq": entry.seq}
        while len(texts) < entry.pages:
            try:
                page = await self._client.request(ClientEvent.ENTRY_READ, {**request, "page": len(texts)})
            except RateLimited:
                raise  # it can be read later
            except Refused:
                return entry
            if (page["epoch"], page["pages"]) != (entry.epoch, entry.pages):
                return entry  # the log has started over
            texts.append(page["text"])
        whole = entry.model_copy(update={"data": json.loads("".join(texts)), "pages": None})
        for asked in _asked(whole):
            one = asked["interrupt_id"]
            self._whole_questions[one] = Question(one, asked.get("value"), asked.get("form") or {})
        return whole

    async def history(
        self,
        *,
        before: int | None = None,
        around: int | None = None,
        since: str | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Entries in ascending order: just below `before` (default: the end of the log), or on both sides of
        `around`, or from the first one that is not older than `since` (ISO 8601 UTC: `2026-11-23T07:12:00Z`).
        """
        request: dict[str, Any] = {"conversation_id": self.id, "limit": limit}
        places = {"before": before, "around": around, "since": since}
        request |= {name: place for name, place in places.items() if place is not None}
        return await self._entries_of(await self._client.request(ClientEvent.HISTORY_READ, request))

    async def log(self) -> list[Entry]:
        """The whole log, read page by page."""
        entries: list[Entry] = []
        while True:
            request = {"conversation_id": self.id, "after": entries[-1].seq if entries else 0, "limit": 200}
            page = await self._client.request(ClientEvent.HISTORY_READ, request)
            entries += await self._entries_of(page)
            if not page["entries"] or entries[-1].seq >= page["head"]:
                return entries

    async def _entries_of(self, page: dict[str, Any]) -> list[Entry]:
        """The entries of a page of history, long ones whole."""
        return [await self.whole(Entry.model_validate(item)) for item in page["entries"]]

    async def members(self) -> list[dict[str, Any]]:
        """The members: `{user_id, role, online}`."""
        answer = await self._client.request(ClientEvent.MEMBERS_LIST, {"conversation_id": self.id})
        return list(answer["members"])

    async def invite(self, *user_ids: str) -> list[str]:
        """Invite users. Returns those of the ids that have never connected, which may be typing errors."""
        request = {"conversation_id": self.id, "user_ids": list(user_ids)}
        # A server of an older version does not say so.
        return list((await self._client.request(ClientEvent.CONVERSATION_INVITE, request)).get("unknown", ()))

    async def remove(self, user_id: str) -> bool:
        """End another user's membership, or withdraw the invitation, as the owner or an operator.

        Returns whether the user was a member.
        """
        request = {"conversation_id": self.id, "user_id": user_id}
        return bool((await self._client.request(ClientEvent.MEMBERS_REMOVE, request))["left"])

    async def leave(self) -> None:
        """Stop being a member; `entries()` ends."""
        await self._client.request(ClientEvent.CONVERSATION_LEAVE, {"conversation_id": self.id})
        self._client.forget(self)

    async def edit(
        self,
        seq: int,
        text: str,
        *,
        request_id: str | None = None,
        reply_to: int | None = None,
        files: Sequence[Source] | None = None,
    ) -> Ack:
        """Replace this user's latest message, `seq`; the dialog continues from before the old text.

        What it replies to and its files stay, unless others are given: 0 and `()` take them away.
        """
        request = partial(self._edited, seq, text, reply_to, files)
        ack = await self._pipeline.send(ClientEvent.MESSAGE_EDIT, request, request_id)
        return Ack(**{item.name: ack[item.name] for item in fields(Ack)})

    async def _edited(
        self, seq: int, text: str, reply_to: int | None, files: Sequence[Source] | None
    ) -> dict[str, Any]:
        """The request that replaces a message: it names all that the message has from now on."""
        if reply_to is None or files is None:
            page = await self._client.request(
                ClientEvent.HISTORY_READ, {"conversation_id": self.id, "after": max(0, seq - 1), "limit": 1}
            )
            old = next((entry for entry in await self._entries_of(page) if entry.seq == seq), None)
            if reply_to is None and old is not None:
                reply_to = old.data.get("reply_to")
            if files is None:
                files = [one["file_id"] for one in old.files] if old is not None else []
        request: dict[str, Any] = {"conversation_id": self.id, "seq": seq, "text": text}
        if reply_to:
            request["reply_to"] = reply_to
        return await self._with_files(request, files)

    async def _with_files(self, request: dict[str, Any], files: Sequence[Source]) -> dict[str, Any]:
        """The request with the ids of these files, which are uploaded if they have none."""
        if files:
            request["files"] = [one if isinstance(one, str) else await self.upload(one) for one in files]
        return request

    async def upload(self, source: Path | tuple[str, bytes]) -> str:
        """Upload a file, which a message of this user may take within an hour; returns its id."""
        return await self._transfer().upload(self.id, source)

    async def download(self, file_id: str) -> bytes:
        """The bytes of a file of a message: `entry.files` has the ids."""
        return await self._transfer().download(self.id, file_id)

    def _transfer(self) -> FileTransfer:
        if self._files is None:
            raise NotConnected("files need the client of the conversation")
        return self._files

    async def react(self, seq: int, reaction: str, *, on: bool = True) -> None:
        """Give a message or a final entry a reaction, one emoji; `on` False: take it back."""
        request = {"conversation_id": self.id, "seq": seq, "reaction": reaction, "set": on}
        await self._client.request(ClientEvent.REACTION_SET, request)

    async def delete(self, seq: int, *, forget: bool = False) -> list[int]:
        """Delete a message of this user, or as the owner any, and what the agent has said.

        Its place stays: an entry with `deleted` and an empty text. Returns the seqs of what this has deleted; the
        data of the `message_deleted` entry names them as well. `forget`: the agent forgets the whole dialog.
        """
        request = {"conversation_id": self.id, "seq": seq, "forget": forget}
        return list((await self._client.request(ClientEvent.MESSAGE_DELETE, request))["deleted"])

    async def rename(self, title: str) -> bool:
        """Give the conversation, as its owner or an operator, another title; returns whether it changed."""
        request = {"conversation_id": self.id, "title": title}
        return bool((await self._client.request(ClientEvent.CONVERSATION_RENAME, request))["changed"])

    async def configure(self, **settings: str) -> bool:
        """Change settings, as the owner or an operator: `agent`, `access`, `multitask_strategy`, `approvals`,
        `invites`. Returns whether one of them was another.
        """
        request = {"conversation_id": self.id, **settings}
        return bool((await self._client.request(ClientEvent.CONVERSATION_CONFIGURE, request))["changed"])

    async def delete_all(self) -> None:
        """Delete the conversation, as its owner or an operator, with all that it has; `entries()` ends."""
        await self._client.request(ClientEvent.CONVERSATION_DELETE, {"conversation_id": self.id})
        self._client.forget(self)

    async def stop(self, run_id: str | None = None) -> list[str]:
        """End a run now, or all of them; the text so far is kept. Returns the runs that this ended."""
        request: dict[str, Any] = {"conversation_id": self.id, "run_id": run_id}
        return list((await self._client.request(ClientEvent.RUN_STOP, request))["stopped"])

    async def regenerate(self, seq: int) -> str:
        """Answer the last turn, whose final entry is `seq`, again; returns the id of the new run."""
        request = {"conversation_id": self.id, "seq": seq}
        return str((await self._client.request(ClientEvent.RUN_REGENERATE, request))["run_id"])

    async def respond(self, interrupt_id: str, value: Any) -> dict[str, Any]:
        """Answer one of `interrupts`; the first answer wins.

        Returns the ack; its `run_id` is that of the run that continues, or None while others are open. Raises
        Refused: `already_resolved`, or `invalid_payload` when the answer does not fit the question's form; the
        message names the field, and the question stays open.
        """
        request = {"conversation_id": self.id, "interrupt_id": interrupt_id, "value": value}
        return await self._client.request(ClientEvent.INTERRUPT_RESPOND, request)

    async def decide(self, interrupt_id: str, *made: Decision) -> dict[str, Any]:
        """Answer a review with a decision for each of its actions, in order, made by `sio_clients.decisions`."""
        return await self.respond(interrupt_id, {"decisions": [dict(one) for one in made]})

    async def mark_read(self, seq: int) -> None:
        """Set this user's read mark to `seq`. Raises Refused for a user who is not a member."""
        answer = await self._client.request(ClientEvent.MARKS_SET, {"marks": {self.id: {"read": seq}}})
        if "error" in answer["marks"][self.id]:
            raise from_wire(answer["marks"][self.id]["error"])

    async def save_draft(self, text: str) -> None:
        """Show this unsent text on the user's other devices, and on this one after a restart."""
        ack = await self._client.request(ClientEvent.DRAFT_SAVE, {"conversation_id": self.id, "text": text})
        self.on_draft({"rev": ack["rev"], "text": text})

    def on_draft(self, draft: Mapping[str, Any]) -> None:
        """A draft of any session of this user: the one with the highest revision is the latest."""
        if draft["rev"] > self._draft_rev:
            self._draft_rev, self.draft = draft["rev"], draft["text"]

    async def typing(self, typing: bool) -> None:
        """Show the other members whether this user is typing."""
        await self._client.request(ClientEvent.TYPING_SET, {"conversation_id": self.id, "typing": typing})

    def _on_answer(self, result: Mapping[str, Any]) -> Step:
        """The answer to a join or a sync came."""
        # A newer server may say more.
        self.card = SessionCard(**{item.name: result["card"][item.name] for item in fields(SessionCard)})
        if result["verdict"] != "resumed":
            self._draft_rev, self.draft = 0, ""  # of another epoch, maybe
        if result["draft"] is not None:
            self.on_draft(result["draft"])
        return self.stream.on_answer(result)

    def _receive(self, step: Step, event: str = "") -> None:
        if step.reset is not None:
            self._queue.put_nowait(ConversationReset(step.reset))
        for entry in step.entries:
            if entry.pages:
                self._shortened.update(asked["interrupt_id"] for asked in _asked(entry))
            self._queue.put_nowait(entry)
        if step.runs:
            self.on_runs_changed(step.runs, event)

    def _end(self, error: RoomgraphError | None = None) -> None:
        self._ended = True
        self._queue.put_nowait(error)


def _asked(entry: Entry) -> list[dict[str, Any]]:
    """The questions of an entry."""
    return list(entry.data.get("interrupts", ())) if entry.type == EntryType.INTERRUPT else []
