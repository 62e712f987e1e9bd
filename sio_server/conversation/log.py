"""The log of a conversation: append a message, read pages, and what a member may know of it."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sio_server.protocol.events import MAX_DELIVERED, MAX_PAGE_BYTES
from sio_server.protocol.mention import mentions
from sio_server.protocol.position import LogBounds, Position
from sio_server.store.keys import user_room
from sio_server.store.scripts import Scripts
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace


@dataclass(frozen=True)
class Author:
    """Who writes, and from which device."""

    user_id: str
    name: str
    device_id: str
    device_name: str = ""

    def to_json(self) -> str:
        """Who did something, as entries and events say it: `{user_id, name, device_id, device_name}`."""
        return to_json(asdict(self))


@dataclass(frozen=True)
class Handed:
    """The last entry that a node has handed to a room, and when it was written: then none but this one was."""

    epoch: str
    seq: int
    ts: str


@dataclass(frozen=True)
class Page:
    """Entries in ascending order as (seq, envelope), with the bounds of the log when they were read."""

    bounds: LogBounds
    entries: Sequence[tuple[int, dict[str, Any]]]


@dataclass(frozen=True)
class View:
    """What a member may know of a conversation at one moment, apart from its entries."""

    bounds: LogBounds
    title: str
    access: str
    agent: str
    owner: str
    role: str
    last_activity: str
    reads: dict[str, int]
    draft: dict[str, Any] | None
    unfinished_run: dict[str, Any] | None
    graph: str
    multitask_strategy: str
    approvals: str
    interrupts: list[dict[str, Any]]
    delivered: list[dict[str, Any]]


def new_epoch() -> str:
    """The name of a log's life."""
    return secrets.token_hex(6)


def to_json(value: Any) -> str:
    """Compact JSON, as it is stored and sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def flat_to_dict(flat: Sequence[str]) -> dict[str, str]:
    """The [key, value, key, value] of a hash that a script returned."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _open_interrupts(asked: dict[str, Any], open_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Those interrupts of an `interrupt` entry that nobody has answered: `{interrupt_id, value, seq, run_id}`."""
    where = {"seq": asked["seq"], "run_id": asked["data"]["run_id"]}
    return [item | where for item in asked["data"]["interrupts"] if item["interrupt_id"] in open_ids]


def _delivered(flat: Sequence[str]) -> list[dict[str, Any]]:
    """Which device has entries up to where: `{user_id, device_id, seq}`."""
    marks = []
    for who, seq in zip(flat[::2], flat[1::2], strict=True):
        user_id, device_id = who.split(" ")
        marks.append({"user_id": user_id, "device_id": device_id, "seq": int(seq)})
    return marks


class ConversationLog:
    """The logs of all conversations in one Redis.

    Promises: an acked append is in the log; the same `client_id` again gives the same ack; seq is dense from
    1; every read is checked for membership in the same atomic step. Raises Refused with a code when the
    request cannot be served and Unavailable when the outcome is unknown.
    """

    def __init__(self, scripts: Scripts, trace: Trace | None = None) -> None:
        self._scripts = scripts
        self._trace = trace or Trace("")

    async def append_message(
        self,
        conversation_id: str,
        author: Author,
        client_id: str,
        text: str,
        *,
        run_id: str,
        edits: int | None = None,
        handed: Handed | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Append a message; return its ack `{conversation_id, epoch, seq, ts, run_id}` and whether it was new.

        `run_id` is used when the conversation's agent must answer, in the same step. A message that `edits`
        the author's last one takes back what the agent made of that one. `handed` is what this node knows to have
        been in the log: a seq that somebody has seen is not given to another entry, should the log have lost it.
        """
        data: dict[str, Any] = {
            "role": "user",
            "user_id": author.user_id,
            "name": author.name,
            "device_id": author.device_id,
            "client_id": client_id,
            "text": text,
        }
        if edits is not None:
            data["edits"] = edits
        where = {"conversation_id": conversation_id, "device_id": author.device_id}
        self._trace.tell(TraceKind.RECEIVED, user_id=author.user_id, **where)
        began = time.monotonic()
        body = text if edits is None else f"{edits} {text}"
        digest = hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()
        reply = await self._scripts.conversation(
            "append",
            conversation_id,
            author.user_id,
            to_json(data),
            client_id,
            digest,
            run_id,
            f" {' '.join(mentions(text))} ",
            "" if edits is None else edits,
            author.to_json(),
            *((handed.epoch, handed.seq, handed.ts) if handed else ("", "", "")),
            new_epoch(),
        )
        ack, new = json.loads(reply[1]), reply[2] == "1"
        took_ms = round((time.monotonic() - began) * 1000, 3)
        self._trace.tell(TraceKind.APPENDED, seq=ack["seq"], ms=took_ms, new=new, **where)
        return ack, new

    async def page(
        self,
        conversation_id: str,
        user_id: str,
        *,
        limit: int,
        after: int | None = None,
        before: int | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> Page:
        """Entries just above `after`, or just below `before` (default: the end of the log).

        An empty `user_id` reads for the node itself, which checks who may get the entries.
        """
        direction, seq = ("after", after) if after is not None else ("before", 2**52 if before is None else before)
        reply = await self._scripts.conversation(
            "page", conversation_id, user_id, direction, seq, limit, max_bytes
        )
        flat = reply[4]
        # Entries that are older than the log's life belong to it as well.
        entries = [
            (int(s), {**json.loads(e), "epoch": str(reply[1])}) for s, e in zip(flat[::2], flat[1::2], strict=True)
        ]
        return Page(LogBounds(reply[1], int(reply[2]), int(reply[3])), entries)

    async def look(self, conversation_id: str, user_id: str) -> View:
        """What `user_id`, a member, may know of the conversation now."""
        (
            _,
            meta_flat,
            role,
            reads_flat,
            draft,
            run_id,
            record_flat,
            text,
            updates,
            open_interrupts,
            asked,
            delivered_flat,
        ) = await self._scripts.conversation("look", conversation_id, user_id, MAX_DELIVERED)
        meta = flat_to_dict(meta_flat)
        run: dict[str, Any] | None = None
        if run_id:
            record = flat_to_dict(record_flat)
            run = {
                "run_id": run_id,
                "status": record["status"],
                "attempt": int(record["attempt"]),
                "input_seq": int(record["input_seq"]),
                "text": text,
                "updates": [json.loads(update) for update in updates],
            }
        return View(
            bounds=LogBounds(meta["epoch"], int(meta["first"]), int(meta["seq"])),
            title=meta["title"],
            access=meta["access"],
            agent=meta["agent"],
            owner=meta["owner"],
            role=role,
            last_activity=meta["ts"],
            reads={user: int(seq) for user, seq in flat_to_dict(reads_flat).items()},
            draft=json.loads(draft) if draft else None,
            unfinished_run=run,
            graph=meta.get("graph", "concierge"),
            multitask_strategy=meta.get("multitask", "enqueue"),
            approvals=meta.get("approvals", "members"),
            interrupts=_open_interrupts(json.loads(asked), open_interrupts) if asked else [],
            delivered=_delivered(delivered_flat),
        )

    async def verify(self, conversation_id: str, handed: Handed) -> str:
        """Make sure that the log still holds what was handed out; return its epoch.

        It is a new one when the log's end has been lost: then positions of the old one are void.
        """
        reply = await self._scripts.conversation(
            "verify", conversation_id, handed.epoch, handed.seq, handed.ts, new_epoch(), ""
        )
        return str(reply[1])

    async def claim(self, conversation_id: str, position: Position) -> None:
        """A device says that it has seen more than the log holds: the log's end may have been lost.

        Then it begins a new life, so that others who have seen as much are told as well. A device may be wrong, or
        lie: so much is done on its word once for each start of Redis.
        """
        await self._scripts.conversation(
            "verify",
            conversation_id,
            position.epoch,
            position.seq,
            "",
            new_epoch(),
            await self._scripts.server_id(),
        )

    async def mark_read(self, conversation_id: str, user_id: str, device_id: str, seq: int) -> int:
        """Move the user's read mark up to `seq`; return where it is now."""
        return int((await self._scripts.conversation("read_mark", conversation_id, user_id, device_id, seq))[1])

    async def mark_delivered(
        self, conversation_id: str, user_id: str, device_id: str, seq: int, *, tell: bool
    ) -> int:
        """Move the device's delivery mark up to `seq`, and `tell` the room; return where it is now."""
        reply = await self._scripts.conversation(
            "delivered", conversation_id, user_id, device_id, seq, MAX_DELIVERED, "1" if tell else ""
        )
        return int(reply[1])

    async def save_draft(self, conversation_id: str, user_id: str, device_id: str, text: str) -> int:
        """Keep the user's unsent text; return its revision."""
        reply = await self._scripts.conversation(
            "draft", conversation_id, user_id, device_id, to_json(text), user_room(user_id)
        )
        return int(reply[1])
