"""A user's list of conversations: the last entry, what is unread, and what has changed since it was last read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import MAX_LIST_TEXT, MAX_PAGE_BYTES
from sio_server.protocol.mention import mention_marks
from sio_server.store.connection import redis_errors
from sio_server.store.keys import UNLISTED_KEPT_MS, user_conversations
from sio_server.store.scripts import Scripts

AT_ONCE = 100  # conversations in one step, or in as many as there are shards of a Redis Cluster
SCANNED = 2000  # conversations that one request may look through for changed ones
# A cursor is a time of Redis. The clocks of a Redis Cluster's nodes, and of a primary and its replica, may differ
# by this much; what has changed within it is listed twice.
SKEW_MS = 5000


@dataclass
class ListPage:
    """One page of a list: the items, and the cursor of the next page."""

    items: list[dict[str, Any]] = field(default_factory=list)
    next: str | None = None
    gone: list[str] = field(default_factory=list)  # found in the index, but the user is not in it any more
    unavailable: list[str] = field(default_factory=list)  # of a shard that is away


class ConversationList:
    """The lists of all users. Each item is read in one step: it is as the conversation was at one moment."""

    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def read(
        self, user_id: str, name: str, *, after: str | None, limit: int, changed_since: str | None
    ) -> dict[str, Any]:
        """One page of the list in order of the ids, above `after`: the ack of `conversation:list`.

        `changed_since` is the `cursor` of an earlier answer: items that have not changed since are left out, and
        `left` names conversations that the user is no longer in. `complete` says that nothing was left out, as
        when the cursor is too old. Only the first page has a `cursor`: it is from before all of them.

        `unavailable` names conversations of a shard that is away; the page is not `complete` then, nor has it a
        `cursor`, after which their changes would be missed.
        """
        lost = await self._scripts.user(
            "list_unlisted", user_id, since_ms=_time_of(changed_since), kept_ms=UNLISTED_KEPT_MS
        )
        complete = lost["known"] != "1"
        since_ms = None if complete else changed_since
        page = await self._page(user_id, mention_marks(user_id, name), after, limit, since_ms)
        left = [] if complete else [*(lost["ids"] if after is None else ()), *page.gone]
        return {
            "conversations": page.items,
            "next": page.next,
            "complete": complete and not page.unavailable,
            "left": list(dict.fromkeys(left)),
            "unavailable": page.unavailable,
            "cursor": str(int(lost["now_ms"]) - SKEW_MS) if after is None and not page.unavailable else None,
        }

    async def _page(
        self, user_id: str, marks: list[str], after: str | None, limit: int, since_ms: str | None
    ) -> ListPage:
        page, size = ListPage(), 0
        at_once = limit if since_ms is None else AT_ONCE
        for _ in range(max(1, SCANNED // at_once)):
            start = f"({after}" if after is not None else "-"
            with redis_errors():
                found = await self._redis.zrangebylex(
                    user_conversations(user_id), start, "+", start=0, num=at_once
                )
            ids = [str(conversation_id) for conversation_id in found]
            arguments = {"user_id": user_id, "mention_marks": marks, "since_ms": since_ms}
            replies = await self._scripts.together("list_items", ids, arguments)
            for conversation_id in ids:
                reply = replies[conversation_id]
                if isinstance(reply, Unavailable):
                    page.unavailable.append(conversation_id)
                elif reply["state"] == "none":
                    page.gone.append(conversation_id)
                elif reply["state"] != "same":
                    item = _item(conversation_id, reply)
                    page.items.append(item)
                    size += _size(item)
                    if len(page.items) == limit or size > MAX_PAGE_BYTES:
                        page.next = conversation_id
                        return page
            if len(ids) < at_once:
                return page
            after = ids[-1]
        page.next = after
        return page


def _time_of(cursor: str | None) -> str | None:
    """The time that a cursor stands for; None when it is none of ours."""
    return cursor if cursor is not None and cursor.isdecimal() and len(cursor) < 16 else None


def _item(conversation_id: str, reply: Mapping[str, Any]) -> dict[str, Any]:
    if reply["state"] == "invited":
        return {"conversation_id": conversation_id, "title": reply["title"], "role": "invited"}
    meta = dict(zip(reply["meta"][::2], reply["meta"][1::2], strict=True))
    return {
        "conversation_id": conversation_id,
        "title": meta["title"],
        "access": meta["access"],
        "agent": meta["agent"],
        "graph": meta["graph"],
        "role": reply["role"],
        "position": {"epoch": meta["epoch"], "seq": int(meta["seq"])},
        "read": int(reply["read"]),
        "unread": int(reply["unread"]),
        "mentions": int(reply["mentions"]),
        "draft": json.loads(reply["draft"]) if reply["draft"] else None,
        "last_entry": _last_entry(json.loads(reply["last"])) if reply["last"] else None,
        "last_activity": meta["ts"],
        "pinned": "p" in reply["listed"],
        "archived": "a" in reply["listed"],
    }


def _last_entry(envelope: dict[str, Any]) -> dict[str, Any]:
    data = envelope["data"]
    return {
        "seq": envelope["seq"],
        "type": envelope["type"],
        "ts": envelope["ts"],
        "user_id": data["user_id"],
        "name": data.get("name", ""),
        "text": (data.get("text") or ", ".join(file["name"] for file in data.get("files") or []))[:MAX_LIST_TEXT],
        **({"files": len(data["files"])} if data.get("files") else {}),
        **({"deleted": True} if data.get("deleted") else {}),
    }


def _size(item: dict[str, Any]) -> int:
    """About how many bytes of text the item carries, beside what all have."""
    texts = (item.get("draft") or {}).get("text", ""), (item.get("last_entry") or {}).get("text", "")
    return sum(len(text.encode()) for text in texts)
