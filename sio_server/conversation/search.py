"""Search: the texts of a user's conversations, from the newest entry down, by looking through the logs.

There is no index: each request looks through a bounded part of the logs, in steps that hold Redis up for a moment
only, and a cursor says where the next one continues. See docs/decisions/0037-search.md.
"""

from __future__ import annotations

import json
import re
import time
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.asyncio import Redis

from sio_server.conversation.folding import fold, index_in, needle_of
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import ID_PATTERN, MAX_HIT_TEXT
from sio_server.store.connection import redis_errors
from sio_server.store.keys import ConversationKeys, user_conversations
from sio_server.store.scripts import Scripts

STEP_ENTRIES = 500  # entries in one step of Redis
SEARCHED_ENTRIES = 20_000  # for one request
SEARCH_S = 1.0  # for one request, and what is being done then
TIMES_AT_ONCE = 500  # conversations whose last activity is read in one round trip
CONTEXT = 60  # characters of an excerpt before the match

_CURSOR = re.compile(rf"(\d{{4}}-\d\d-\d\dT[\d:.]+Z~*) ({ID_PATTERN[1:-1]}) (\d{{1,16}})")
_AFTER_ALL = "~"  # comes after any time with the same digits
_END = 2**53


class Place(NamedTuple):
    """A place in the order of all entries: by time, conversation and seq. A search begins with the last."""

    ts: str
    conversation_id: str
    seq: int

    def to_cursor(self) -> str:
        return f"{self.ts} {self.conversation_id} {self.seq}"

    @classmethod
    def from_cursor(cls, text: str) -> Place:
        """Raises Refused."""
        form = _CURSOR.fullmatch(text)
        if form is None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "before: should be the `next` of an earlier answer")
        return cls(form[1], form[2], int(form[3]))


@dataclass
class Found:
    """The hits of one request, newest first; `next`: where to continue, None at the end."""

    hits: list[dict[str, Any]] = field(default_factory=list)
    next: str | None = None
    complete: bool = True  # False: the bound of a request was reached before the page was full
    looked_at: int = 0  # entries


class Search:
    """Looks through the logs of all conversations."""

    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def find(
        self, user_id: str, query: str, *, conversation_id: str | None, before: str | None, limit: int
    ) -> Found:
        """Entries that contain the query, in any case, without accents, in one conversation or all of the user's.

        Raises Refused, for a user who is not a member of the one conversation, and Unavailable.
        """
        cursor = Place.from_cursor(before) if before is not None else None
        wanted = fold(query)
        needle, found = needle_of(wanted), Found()
        pending: list[tuple[Place, dict[str, Any]]] = []  # hits, of which the last is the newest
        ends_at = time.monotonic() + SEARCH_S
        # Where the search stands in each conversation, the newest place last.
        places = await self._begin(user_id, conversation_id, cursor)
        while places and found.complete:
            place = places.pop()
            try:
                reply = await self._scripts.conversation(
                    "search_log",
                    place.conversation_id,
                    user_id=user_id,
                    needle=needle,
                    before_seq=place.seq or None,
                    before_ts=place.ts,
                    limit=STEP_ENTRIES,
                )
            except Refused:
                if conversation_id is not None:
                    raise
                continue  # the list may name one that the user has left, or is only invited to
            found.looked_at += int(reply["looked"])
            for text in reply["entries"]:
                if (hit := _hit(text, wanted, reply["title"])) is not None:
                    insort(pending, (Place(hit["ts"], place.conversation_id, hit["seq"]), hit), key=_place_of)
            if reply["from"] and int(reply["from"]) > int(reply["first"]):
                # A clock that was set back does not send the search back.
                at = min(place.ts, reply["ts"])
                insort(places, Place(at, place.conversation_id, int(reply["from"])))
            # What is newer than all that was not looked at yet.
            while pending and len(found.hits) < limit and (not places or pending[-1][0] >= places[-1]):
                last, hit = pending.pop()
                found.hits.append(hit)
            if len(found.hits) == limit:
                found.next = last.to_cursor() if pending or places else None
                return found
            if places and (found.looked_at >= SEARCHED_ENTRIES or time.monotonic() > ends_at):
                found.complete, found.next = False, places[-1].to_cursor()
        return found

    async def _begin(self, user_id: str, conversation_id: str | None, cursor: Place | None) -> list[Place]:
        if conversation_id is not None:
            if cursor is not None and cursor.conversation_id != conversation_id:
                raise Refused(ErrorCode.INVALID_PAYLOAD, "before: is of another search")
            return [cursor or Place(_AFTER_ALL, conversation_id, _END)]
        with redis_errors():
            found = await self._redis.zrange(user_conversations(user_id), 0, -1)
        ids = [str(one) for one in found]
        places = []
        for start in range(0, len(ids), TIMES_AT_ONCE):
            some = ids[start : start + TIMES_AT_ONCE]
            for one, ts in zip(some, await self._last_times(some), strict=True):
                if ts is not None:
                    places.append(_not_after(Place(ts, one, _END), cursor))
        return sorted(places)

    async def _last_times(self, conversation_ids: Sequence[str]) -> list[str | None]:
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for conversation_id in conversation_ids:
                pipe.hget(ConversationKeys(conversation_id).meta, "ts")
            return [ts if ts is None else str(ts) for ts in await pipe.execute()]


def _not_after(place: Place, cursor: Place | None) -> Place:
    """Where to continue in a conversation: what is below the cursor in the order of all entries remains."""
    if cursor is None or place <= cursor:
        return place
    if place.conversation_id == cursor.conversation_id:
        return cursor
    ts = cursor.ts + _AFTER_ALL if place.conversation_id < cursor.conversation_id else cursor.ts
    return Place(ts, place.conversation_id, 0)


def _place_of(item: tuple[Place, dict[str, Any]]) -> Place:
    return item[0]


def _hit(text: str, wanted: str, title: str) -> dict[str, Any] | None:
    """What is told of an entry that contains the text; None for one that does not."""
    entry: dict[str, Any] = json.loads(text)
    data = entry["data"]
    said = [
        data.get("text", ""),
        *(part["text"] for part in data.get("parts", ()) if part["kind"] == "text"),
        *(file["name"] for file in data.get("files", ())),
    ]
    for one in said:
        if (at := fold(one).find(wanted)) >= 0:
            break
    else:
        return None
    return {
        "conversation_id": entry["conversation_id"],
        "title": title,
        "seq": entry["seq"],
        "type": entry["type"],
        "ts": entry["ts"],
        "user_id": data["user_id"],
        "name": data.get("name", ""),
        "text": _excerpt(one, index_in(one, at)),
    }


def _excerpt(text: str, at: int) -> str:
    """At most MAX_HIT_TEXT characters around a match, with an ellipsis where something is left out."""
    if len(text) <= MAX_HIT_TEXT:
        return text
    start = max(0, min(at - CONTEXT, len(text) - MAX_HIT_TEXT + 1))
    before = "…" if start else ""
    rest = MAX_HIT_TEXT - len(before)
    if start + rest < len(text):
        return f"{before}{text[start : start + rest - 1]}…"
    return f"{before}{text[start:]}"
