"""A device whose sends and deliveries are recorded, so that a checker can judge what it really got."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from roomgraph.check.history import CREATED, FINAL_TYPES, JOINED, LEFT, RESOLVED, Seen
from roomgraph.check.recorder import Recorder
from sio_clients.client import ChatClient
from sio_clients.conversation import Ack, Conversation
from sio_clients.errors import ConversationReset, Refused, RoomgraphError
from sio_server.protocol.events import MAX_PAGE_ENTRIES, AgentMode, ClientEvent, Entry, EntryType, ServerEvent

ENVELOPE = ("v", "conversation_id", "epoch", "seq", "type", "ts", "data", "turn_id")
# Whom or what an entry is about: a field of its data.
ABOUT = {JOINED: "user_id", LEFT: "user_id", CREATED: "access", RESOLVED: "interrupt_id"}


def seen(entry: Entry) -> Seen:
    """An entry as the checker knows it."""
    return seen_in(entry.model_dump())


def seen_in(envelope: Mapping[str, Any]) -> Seen:
    """The entry of an envelope, as it is on the wire, as the checker knows it."""
    kind, data = envelope["type"], envelope["data"]
    request_id = data.get("request_id")
    of_run = data if kind in FINAL_TYPES or kind == RESOLVED else {}
    fields = {name: envelope.get(name) for name in ENVELOPE} | {"hides": list(envelope.get("hides") or ())}
    whole = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return Seen(
        epoch=envelope["epoch"],
        seq=envelope["seq"],
        type=kind,
        request_id=str(request_id) if request_id is not None else None,
        text=str(data.get("text", "")),
        digest=hashlib.sha1(whole.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:20],
        run_id=of_run.get("run_id"),
        attempt=of_run.get("attempt"),
        replaces=data.get("edits") if kind == "message" else of_run.get("replaces"),
        about=data.get(ABOUT[kind]) if kind in ABOUT else None,
    )


class Message(NamedTuple):
    """A message that came: its seq, when it came, and the user that it is by."""

    seq: int
    at: float
    author: str


class Final(NamedTuple):
    """The end of a run that came."""

    type: str
    seq: int
    attempt: int
    input_seq: int


class RecordedDevice:
    """A client that follows conversations and writes down all that it sends, is handed and shows of runs.

    `name` is its name in the history. Several devices share one recorder in one event loop.

    `keep`: how many of the latest entries of each conversation stay in `entries` (None: all of them), twice as
    many at the most. What else is kept of an entry is small.
    """

    def __init__(self, name: str, client: ChatClient, recorder: Recorder, *, keep: int | None = None) -> None:
        self.name = name
        self.client = client
        self.keep = keep
        self.entries: dict[str, list[Entry]] = {}
        self.messages: dict[str, list[Message]] = {}  # of each conversation, in the order in which they came
        self.finals: dict[str, dict[str, list[Final]]] = {}  # conversation, run -> its ends, which should be one
        self.answered: dict[str, set[int]] = {}  # conversation -> the seqs of messages whose run has ended
        self.arrived: dict[str, float] = {}  # request_id of a message -> when it came here first
        self.news: dict[str, list[tuple[int, float]]] = {}  # of each conversation: its seq, and when it came first
        self.resets: list[str] = []
        self.recorder = recorder
        self._conversations: dict[str, Conversation] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._came = asyncio.Condition()
        self._shown: dict[tuple[str, str], tuple[int, str]] = {}  # conversation, run -> version and text so far
        client.on(ServerEvent.RUN_CHANGED, self._on_run_changed)

    async def create(self, title: str, *, agent: AgentMode) -> Conversation:
        """Create an open conversation and follow it."""
        return self._follow(await self.client.create(title, access="open", agent=agent))

    async def join(self, conversation_id: str) -> Conversation:
        """Join a conversation and follow it, from its beginning or from where its snapshot begins."""
        return self._follow(await self.client.join(conversation_id))

    def conversation(self, conversation_id: str) -> Conversation:
        """A conversation that it follows."""
        return self._conversations[conversation_id]

    async def send(self, conversation_id: str, text: str) -> Ack:
        """Send and record how it ended; raises what the client raises."""
        conversation = self._conversations[conversation_id]
        return await self._record_send(
            conversation_id, text, lambda request_id: conversation.send(text, request_id=request_id)
        )

    async def edit(self, conversation_id: str, seq: int, text: str) -> Ack:
        """Replace the device's own message `seq` and record how that ended: it is a message as any other."""
        conversation = self._conversations[conversation_id]
        return await self._record_send(
            conversation_id,
            text,
            lambda request_id: conversation.edit(seq, text, request_id=request_id),
            edits=seq,
        )

    async def regenerate(self, conversation_id: str, seq: int) -> str:
        """Have the turn that ended at `seq` answered again, and record the run that was promised."""
        run_id = await self._conversations[conversation_id].regenerate(seq)
        self.recorder.accept_run(conversation_id, run_id, replaces=seq)
        return run_id

    async def until(self, conversation_id: str, holds: Callable[[list[Entry]], bool], timeout: float) -> bool:
        """Wait until `holds(entries)`; False when it does not within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._came:
                await self._came.wait_for(lambda: holds(self.entries[conversation_id]))
        except TimeoutError:
            return False
        return True

    async def reaches(self, conversation_id: str, seq: int, timeout: float) -> bool:
        """Wait until the entry `seq` has come."""
        return await self.until(conversation_id, lambda e: bool(e) and e[-1].seq >= seq, timeout)

    async def ended(self, conversation_id: str, run_id: str, timeout: float) -> bool:
        """Wait until the final entry of a run has come."""
        return await self.until(conversation_id, lambda _: run_id in self.finals[conversation_id], timeout)

    def settle(self, conversation_id: str) -> None:
        """Record that it is connected and has everything, and what it shows of runs in the end."""
        self._shows_all(conversation_id)
        self.recorder.settle(self.name, conversation_id)

    async def record_log(self, conversation_id: str) -> list[Entry]:
        """Read the whole log and record it as the truth of the end."""
        entries: list[Entry] = []
        async for page in self.log_pages(conversation_id):
            self.recorder.log(conversation_id, *(seen(entry) for entry in page))
            entries += page
        return entries

    async def log_pages(self, conversation_id: str) -> AsyncIterator[list[Entry]]:
        """The whole log as it is kept, page by page."""
        after, head = 0, 1
        while after < head:
            request = {"conversation_id": conversation_id, "after": after, "limit": MAX_PAGE_ENTRIES}
            answer = await self.client.request(ClientEvent.HISTORY_READ, request)
            page = [Entry.model_validate(item) for item in answer["entries"]]
            if not page:
                return
            yield page
            after, head = page[-1].seq, answer["head"]

    async def head(self, conversation_id: str) -> int:
        """The newest seq of the log."""
        request = {"conversation_id": conversation_id, "limit": 1}
        return int((await self.client.request(ClientEvent.HISTORY_READ, request))["head"])

    async def close(self) -> None:
        """Disconnect."""
        await self.client.close()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _follow(self, conversation: Conversation) -> Conversation:
        self._conversations[conversation.id] = conversation
        self.entries[conversation.id] = []
        self.messages[conversation.id] = []
        self.news[conversation.id] = []
        self.finals[conversation.id] = {}
        self.answered[conversation.id] = set()
        card = conversation.card
        whole = card is None or card.replayed == card.history
        self.recorder.open_view(self.name, conversation.id, whole=whole)
        conversation.on_runs_changed = partial(self._on_runs_applied, conversation.id)
        self._shows_all(conversation.id)
        self._readers.append(asyncio.create_task(self._read(conversation)))
        return conversation

    async def _record_send(
        self,
        conversation_id: str,
        text: str,
        call: Callable[[str], Awaitable[Ack]],
        *,
        edits: int | None = None,
    ) -> Ack:
        request_id = uuid.uuid4().hex
        now = asyncio.get_running_loop().time
        self.recorder.begin_send(conversation_id, request_id, self.name, text, now(), edits=edits)
        try:
            ack = await call(request_id)
        except Refused:
            self.recorder.end_send(request_id, "failed", now())
            raise
        self.recorder.end_send(request_id, "ok", now(), ack.position, ack.run_id)
        return ack

    async def _read(self, conversation: Conversation) -> None:
        while True:
            try:
                async for entry in conversation.entries():
                    self._keep(conversation.id, entry)
                    async with self._came:
                        self._came.notify_all()
                return
            except ConversationReset as exc:
                self.resets.append(exc.reason)
                position = conversation.position
                self.recorder.reset(self.name, conversation.id, exc.reason, position.epoch if position else None)
                self.entries[conversation.id].clear()
                self.messages[conversation.id].clear()
                self.finals[conversation.id].clear()
                self.answered[conversation.id].clear()
                self._shows_all(conversation.id)  # nothing of runs that went with the log of before
            except RoomgraphError:
                return

    def _keep(self, conversation_id: str, entry: Entry) -> None:
        """Write down an entry that has come."""
        now = asyncio.get_running_loop().time()
        self.recorder.saw(self.name, conversation_id, seen(entry))
        if entry.type in FINAL_TYPES:
            run_id, attempt = entry.data["run_id"], entry.data["attempt"]
            self._shows(conversation_id, run_id, "entry", attempt)
            final = Final(entry.type, entry.seq, attempt, entry.data["input_seq"])
            self.finals[conversation_id].setdefault(run_id, []).append(final)
            self.answered[conversation_id].add(final.input_seq)
        request_id = entry.data.get("request_id")
        if request_id is not None and request_id not in self.arrived:
            self.arrived[request_id] = now
            self.news[conversation_id].append((entry.seq, now))
        if entry.type == EntryType.MESSAGE:
            self.messages[conversation_id].append(Message(entry.seq, now, sys.intern(entry.author)))
        kept = self.entries[conversation_id]
        kept.append(entry)
        if self.keep is not None and len(kept) > 2 * self.keep:
            del kept[: -self.keep]

    # What it shows of runs

    def _on_runs_applied(self, conversation_id: str, run_ids: Sequence[str], event: str) -> None:
        """Runs have changed by an event, or by the answer to a sync."""
        runs = self._conversations[conversation_id].runs
        for run_id in run_ids:
            run = runs.get(run_id)
            if run is not None or event != ServerEvent.ENTRY_APPENDED:  # its final entry is written down as such
                of = run.version if run else self._shown.get((conversation_id, run_id), (0, ""))[0]
                self._shows(conversation_id, run_id, event, of)

    def _on_run_changed(self, payload: Mapping[str, Any]) -> None:
        """A device in step that has heard of a version shows it."""
        conversation = self._conversations.get(payload["conversation_id"])
        if conversation is not None and conversation.stream.in_step:
            run_id, version = payload["run"]["run_id"], payload["run"]["version"]
            run = conversation.runs.get(run_id)
            if run is not None and run.version < version:
                self._shows(conversation.id, run_id, ServerEvent.RUN_CHANGED, version)

    def _shows(self, conversation_id: str, run_id: str, event: str, of: int) -> None:
        run = self._conversations[conversation_id].runs.get(run_id)
        shows = (run.version, run.text) if run is not None else None
        position = self._conversations[conversation_id].position
        epoch = position.epoch if position else ""
        self.recorder.run_event(self.name, conversation_id, run_id, event, of, shows, epoch)
        if shows is None:
            self._shown.pop((conversation_id, run_id), None)
        else:
            self._shown[conversation_id, run_id] = shows

    def _shows_all(self, conversation_id: str) -> None:
        known = [run_id for where, run_id in self._shown if where == conversation_id]
        self._on_runs_applied(conversation_id, list({*known, *self._conversations[conversation_id].runs}), "")
