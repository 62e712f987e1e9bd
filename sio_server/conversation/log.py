"""The log of a conversation: append a message, read pages, and notice when its end has been lost."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from sio_server.conversation.author import Author
from sio_server.conversation.marks import Marks
from sio_server.conversation.quotas import Allowances, Quotas
from sio_server.conversation.tombstone import DELETABLE, tombstone
from sio_server.conversation.view import RoomView, View, get_room_view, get_view, to_view
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import MAX_PAGE_BYTES
from sio_server.protocol.mention import may_mention, mentioned_people, mentions
from sio_server.protocol.position import LogBounds, Position
from sio_server.store.json_text import to_json
from sio_server.store.scripts import Reply, Request, Scripts
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace


class Handed(NamedTuple):
    """The last entry that a node has delivered to a room, with the time at which only this one was written."""

    epoch: str
    seq: int
    ts: str


@dataclass(frozen=True)
class Page:
    """Entries in ascending order as (seq, envelope as JSON text), with the bounds of the log when they were read.

    A page that a node reads for itself also says when its last entry was written, and who has left in it.
    """

    bounds: LogBounds
    entries: Sequence[tuple[int, str]]
    size: int  # of the entries as they are stored, in bytes
    last_ts: str = ""
    departures: Sequence[tuple[int, str]] = ()  # (seq, user id) of each `member_left`


@dataclass(frozen=True)
class Missed:
    """What a member's device has missed: `page` is above `after`, and as new as `view`."""

    view: View
    after: int
    page: Page


class Older(Protocol):
    """Entries that are not in the log any more; see `data/archive.py`. Raises Unavailable."""

    async def page(
        self, conversation_id: str, direction: str, seq: int, limit: int, max_bytes: int
    ) -> list[tuple[int, str]]: ...

    async def long_page(self, conversation_id: str, seq: int, page: int) -> tuple[int, str] | None: ...

    async def text(self, conversation_id: str, seq: int) -> str | None: ...

    async def replace(self, conversation_id: str, seq: int, text: str) -> None: ...


def new_epoch() -> str:
    """A new name of an epoch of a log."""
    return secrets.token_hex(6)


class ConversationLog:
    """The logs of all conversations in one Redis.

    Promises: an acked append is in the log; the same `request_id` again gives the same ack; seq is dense from
    1; every read is checked for membership in the same atomic step. Raises Refused with a code when the
    request cannot be served and Unavailable when the outcome is unknown.
    """

    def __init__(
        self,
        scripts: Scripts,
        trace: Trace | None = None,
        quotas: Quotas | None = None,
        older: Older | None = None,
    ) -> None:
        """`older`: where entries are that the log has no longer, if there is an archive."""
        self._scripts = scripts
        self._older = older
        self._allowances = Allowances(scripts, quotas or Quotas())
        self.marks = Marks(scripts, self._allowances)
        self._trace = trace or Trace("")

    async def append_message(
        self,
        conversation_id: str,
        author: Author,
        request_id: str,
        text: str,
        *,
        run_id: str,
        edits: int | None = None,
        after: str | None = None,
        handed: Handed | None = None,
        answer: bool | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Append a message; return its ack `{conversation_id, epoch, seq, ts, run_id}` and whether it was new.

        `run_id` is used when the conversation's agent must answer, in the same step. A message that `edits`
        the author's last one takes back what the agent made of that one. `after` is the request_id of the author's
        message that must be there already: Refused with `out_of_order` if it is not. `handed` is what this node
        knows to have been in the log: a seq that a device has seen is not given to another entry, should the log
        have lost it. `answer`: whether the agent answers, whatever the conversation is set to.
        """
        traced = self._trace.on
        if traced:
            where = {"conversation_id": conversation_id, "device_id": author.device_id}
            self._trace.record(TraceKind.RECEIVED, user_id=author.user_id, **where)
            began = time.monotonic()
        text_json = orjson.dumps(text)
        # What may not differ in a repetition: the JSON of [edits, text].
        body = b"[%b,%b]" % (b"null" if edits is None else b"%d" % edits, text_json)
        if answer is not None:
            body = b"[%b,%b]" % (body, b"true" if answer else b"false")
        edit = "" if edits is None else f',"edits":{edits}'
        said = f'"request_id":{orjson.dumps(request_id).decode()},"text":{text_json.decode()}{edit}'
        names, people = (mentions(text), mentioned_people(text)) if may_mention(text) else ([], "")
        reply = await self._allowances.write(
            "append",
            conversation_id,
            author.user_id,
            Request(author.user_id, request_id, hashlib.sha1(body, usedforsecurity=False).hexdigest()),
            {
                "data": f'{{"role":"user",{author.to_members()},{said}}}',
                "after": after or "",
                "run_id": run_id,
                "mentioned": f" {' '.join(names)} " if names else "",
                "people": people,
                "edits": "" if edits is None else edits,
                "by": author.to_json(),
                "person": author.to_person(),
                "session_id": author.session_id,
                "answer": answer,
                "seen": f"{handed.epoch} {handed.seq} {handed.ts}" if handed else "",
            },
        )
        ack: dict[str, Any] = orjson.loads(reply["ack"])
        new = not reply.repeated
        if traced:
            took_ms = round((time.monotonic() - began) * 1000, 3)
            self._trace.record(
                TraceKind.APPENDED, epoch=ack["epoch"], seq=ack["seq"], ms=took_ms, new=new, **where
            )
        return ack, new

    async def delete_message(
        self,
        conversation_id: str,
        author: Author,
        seq: int,
        request: Request,
        *,
        operator: bool = False,
        forget: bool = False,
    ) -> list[int]:
        """Delete a message, or what the agent has said; return the seqs of the entries that this has deleted.

        For the author of the message, the owner, a service, and with `operator` any user. `forget`: the agent
        forgets the whole dialog; otherwise it forgets the turn of the last message only. Refused with `not_found`
        and `not_allowed`.
        """
        try:
            reply = await self._scripts.conversation(
                "delete_message",
                conversation_id,
                request,
                user_id=author.user_id,
                session_id=author.session_id,
                seq=seq,
                operator=operator,
                forget=forget,
                data=to_json({"user_id": author.user_id, "name": author.name}),
                by=author.to_json(),
            )
        except Refused as exc:
            text = None
            if exc.code == ErrorCode.NOT_FOUND and self._older is not None:
                text = await self._older.text(conversation_id, seq)
            if text is None:
                raise
            entry: dict[str, Any] = json.loads(text)
            if entry["type"] not in DELETABLE:
                raise
            if entry["data"].get("deleted") and not forget:
                return []
            reply = await self._tell_deleted(
                conversation_id, author, entry, request, operator=operator, forget=forget
            )
        # Devices were told first: if this ends here, the same request again does the rest.
        if self._older is not None and (rest := int(reply["rest"])):
            await self._forget_older(conversation_id, rest)
        return [int(one) for one in reply["deleted"]]

    async def _tell_deleted(
        self,
        conversation_id: str,
        author: Author,
        entry: dict[str, Any],
        request: Request,
        *,
        operator: bool,
        forget: bool,
    ) -> Reply:
        """An archived entry is to be deleted: check that the author may, and tell the devices."""
        return await self._scripts.conversation(
            "tell_deleted",
            conversation_id,
            request,
            user_id=author.user_id,
            session_id=author.session_id,
            operator=operator,
            by_user=entry["type"] == "message" and entry["data"]["user_id"] == author.user_id,
            forget=forget,
            was_deleted=bool(entry["data"].get("deleted")),
            seq=entry["seq"],
            data=to_json({"user_id": author.user_id, "name": author.name, "deletes": [entry["seq"]]}),
            by=author.to_json(),
        )

    async def _forget_older(self, conversation_id: str, seq: int) -> None:
        """Delete an archived message, and its earlier texts."""
        assert self._older is not None
        while seq and (text := await self._older.text(conversation_id, seq)) is not None:
            await self._older.replace(conversation_id, seq, tombstone(text))
            seq = int(json.loads(text)["data"].get("edits") or 0)

    async def page(
        self,
        conversation_id: str,
        user_id: str,
        *,
        limit: int,
        after: int | None = None,
        before: int | None = None,
        up_to: int | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> Page:
        """Entries just above `after`, or just below `before` (default: the end of the log).

        With `after`, nothing above `up_to` is read, nor told of. An entry that is not current any more has
        `hidden_by`, the seq of the entry that made it so.

        An empty `user_id` reads for the node itself, which checks who may get the entries.
        """
        direction, seq = ("after", after) if after is not None else ("before", 2**52 if before is None else before)
        reply = await self._scripts.conversation(
            "page",
            conversation_id,
            user_id=user_id,
            direction=direction,
            seq=seq,
            up_to=up_to,
            limit=limit,
            max_bytes=max_bytes,
        )
        departures = reply.get("departures", ())
        if self._older is not None and user_id and reply["archived_from"]:
            oldest, first = int(reply["archived_from"]), int(reply["first"])
            bounds = LogBounds(str(reply["epoch"]), oldest, int(reply["head"]))
            if (seq + 1 if direction == "after" else seq - 1) < first and first > 1:
                at = max(seq, oldest - 1) if direction == "after" else seq
                found = await self._older.page(conversation_id, direction, at, limit, max_bytes)
                if found:
                    entries = [
                        (one, _as_of(_in_epoch(text, conversation_id, bounds.epoch), up_to))
                        for one, text in found
                        if up_to is None or one <= up_to
                    ]
                    return Page(bounds, entries, sum(len(text) for _, text in entries))
            return Page(bounds, _numbered(reply), int(reply["bytes"]))
        return Page(
            LogBounds(str(reply["epoch"]), int(reply["first"]), int(reply["head"])),
            _numbered(reply),
            int(reply["bytes"]),
            reply.get("ts", ""),
            [(int(at), user) for at, user in zip(departures[::2], departures[1::2], strict=True)],
        )

    async def page_around(self, conversation_id: str, user_id: str, seq: int, *, limit: int) -> Page:
        """Entries on both sides of `seq`, and that one."""
        half = MAX_PAGE_BYTES // 2
        below = await self.page(
            conversation_id, user_id, before=min(seq, 2**52) + 1, limit=limit // 2 + 1, max_bytes=half
        )
        rest = limit - len(below.entries)
        last = below.entries[-1][0] if below.entries else seq
        if rest <= 0 or last >= below.bounds.head:
            return below
        above = await self.page(conversation_id, user_id, after=last, limit=rest, max_bytes=half)
        return Page(above.bounds, [*below.entries, *above.entries], below.size + above.size)

    async def find_time(self, conversation_id: str, user_id: str, ts: str) -> int:
        """The seq of the first entry that is not older than `ts` (ISO 8601 UTC); above the last one if all are."""
        ts = ts.removesuffix("Z")  # so a time without a fraction comes before those with one
        reply = await self._scripts.conversation("find_time", conversation_id, user_id=user_id, ts=ts)
        seq = int(reply["seq"])
        if self._older is None or not reply["archived_from"] or seq > int(reply["first"]):
            return seq
        low = int(reply["archived_from"])
        while low < seq:  # the archive has what is older, without a gap
            middle = (low + seq) // 2
            text = await self._older.text(conversation_id, middle)
            if text is None or json.loads(text)["ts"] < ts:
                low = middle + 1
            else:
                seq = middle
        return seq

    async def check_member(self, conversation_id: str, user_id: str) -> tuple[Handed, int]:
        """The last entry, and the number of the last event, now. Raises Refused for one who is not a member."""
        reply = await self._scripts.conversation("check_member", conversation_id, user_id=user_id)
        return Handed(reply["epoch"], int(reply["head"]), reply["ts"]), int(reply["n"])

    async def refusals(self, conversation_ids: Sequence[str], user_id: str) -> dict[str, Refused | Unavailable]:
        """Those of the conversations of which the user is no member, each with the refusal; in one round trip.

        Also those of a shard that is away, each with the error.
        """
        calls = [(conversation_id, {"user_id": user_id}) for conversation_id in conversation_ids]
        replies = await self._scripts.conversations("check_member", calls)
        pairs = zip(conversation_ids, replies, strict=True)
        return {conversation_id: reply for conversation_id, reply in pairs if isinstance(reply, RoomgraphError)}

    async def read_missed(
        self,
        conversation_id: str,
        user_id: str,
        position: Position | None,
        *,
        snapshot: int,
        limit: int,
        max_bytes: int,
        with_marks: bool = True,
    ) -> Missed:
        """What a member's device at `position` has missed, and the view, in one step.

        The entries are those that follow the position, or the last `snapshot` ones where it does not hold: from
        where `judge` says. At most `limit`, 0 for none. Without `with_marks` the view has no marks.
        """
        reply = await self._scripts.conversation(
            "read_missed",
            conversation_id,
            user_id=user_id,
            epoch=position.epoch if position else None,
            seq=position.seq if position else None,
            snapshot=snapshot,
            limit=limit,
            max_bytes=max_bytes,
            with_marks=with_marks,
        )
        view = to_view(reply)
        return Missed(view, int(reply["after"]), Page(view.bounds, _numbered(reply), int(reply["bytes"])))

    async def read_long(self, conversation_id: str, user_id: str, seq: int, page: int) -> dict[str, Any]:
        """One page of the whole data of a long entry, `{epoch, pages, text}`; Refused with `not_found`."""
        try:
            reply = await self._scripts.conversation(
                "read_long", conversation_id, user_id=user_id, seq=seq, page=page
            )
        except Refused as exc:
            found = None
            if exc.code == ErrorCode.NOT_FOUND and self._older is not None:  # the user is a member
                found = await self._older.long_page(conversation_id, seq, page)
            if found is None:
                raise
            handed, _ = await self.check_member(conversation_id, user_id)
            return {"epoch": handed.epoch, "pages": found[0], "text": found[1]}
        return {"epoch": reply["epoch"], "pages": int(reply["pages"]), "text": reply["text"]}

    async def get_view(self, conversation_id: str, user_id: str) -> View:
        """What `user_id`, a member, may know of the conversation now."""
        return await get_view(self._scripts, conversation_id, user_id)

    async def get_room_view(self, conversation_id: str, user_ids: Iterable[str]) -> RoomView:
        """What the members among these users may know of the conversation now, and who of them is none."""
        return await get_room_view(self._scripts, conversation_id, user_ids)

    async def verify(self, conversation_id: str, handed: Handed) -> str:
        """Make sure that the log still holds what was delivered; return its epoch.

        It is a new one when the log's end has been lost: then positions of the old one are void.
        """
        reply = await self._scripts.conversation(
            "verify",
            conversation_id,
            epoch=handed.epoch,
            seq=handed.seq,
            ts=handed.ts,
            new_epoch=new_epoch(),
            redis_id=None,
        )
        return str(reply["epoch"])

    async def report_ahead(self, conversation_id: str, position: Position) -> None:
        """A device says that it has seen more than the log holds: the log's end may have been lost.

        Then the log gets a new epoch, so that other devices that have seen as much are told as well. A device
        may be wrong, or lie: so much is done on its word once for each start of Redis.
        """
        await self._scripts.conversation(
            "verify",
            conversation_id,
            epoch=position.epoch,
            seq=position.seq,
            ts=None,
            new_epoch=new_epoch(),
            redis_id=await self._scripts.server_id(conversation_id),
        )


def _numbered(reply: Reply) -> list[tuple[int, str]]:
    """The entries of a reply with their seqs, between which nothing is missing."""
    return list(enumerate(reply["entries"], int(reply["from"])))


def _in_epoch(text: str, conversation_id: str, epoch: str) -> str:
    """An entry with the log's epoch, as pages of the log have it."""
    # `hidden_by` may come before.
    before, head, rest = text.partition(f'"v":2,"conversation_id":{to_json(conversation_id)},"epoch":')
    return f"{before}{head}{to_json(epoch)},{rest.partition(',')[2]}"


def _as_of(text: str, up_to: int | None) -> str:
    """An entry without what came above a seq: that it is hidden by another one."""
    if up_to is None or '"hidden_by":' not in text:
        return text
    entry: dict[str, Any] = json.loads(text)
    if entry.get("hidden_by", 0) <= up_to:
        return text
    del entry["hidden_by"]
    return to_json(entry)
