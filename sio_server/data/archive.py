"""Moves entries that the log keeps no longer to objects, reads pages from there, and takes out what is deleted.

An object is written first, then one step of Redis names it in the conversation's index and drops the entries. So
an entry is always in one of them; an object that no index names is removed with the conversation.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable

from sio_server.conversation.log import ConversationLog
from sio_server.data.archive_store import ArchiveStore, Line
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.keys import archive_gone, conversation_keys
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Scripts

log = logging.getLogger(__name__)

OBJECT_ENTRIES = 500
OBJECT_BYTES = 1_000_000  # about, before it is compressed; one entry at least

# What an archived entry becomes: itself, another one, or None when it stays as it is.
Change = Callable[[Line], Line | None]


class Archive:
    """The archived entries of all conversations. Raises Unavailable."""

    def __init__(self, redis: BoundedRedis, scripts: Scripts, store: ArchiveStore) -> None:
        self._redis = redis
        self._scripts = scripts
        self._store = store
        self._log = ConversationLog(scripts)

    async def add(self, conversation_id: str, first: int, last: int) -> bool:
        """Move entries from the beginning of the log to one object; False if they have changed meanwhile."""
        about = await self._scripts.conversation("read_archive", conversation_id)
        after, lines, size = first - 1, list[Line](), 0
        while after < last and size < OBJECT_BYTES and len(lines) < OBJECT_ENTRIES:
            page = await self._log.page(conversation_id, "", after=after, up_to=last, limit=100)
            for seq, text in page.entries:
                pages = await self._pages(conversation_id, seq, text)
                lines.append(Line(seq, text, pages))
                size += len(text) + sum(map(len, pages))
                after = seq
                if size >= OBJECT_BYTES or len(lines) >= OBJECT_ENTRIES:
                    break
            if not page.entries:
                return False
        if not lines:
            return False
        name = f"{conversation_id}/{about['archive']}/{first:012d}-{after:012d}-{secrets.token_hex(4)}.jsonl.gz"
        await self._store.put(name, lines)
        reply = await self._scripts.conversation(
            "add_archived", conversation_id, first=first, last=after, name=name, changes=about["changes"]
        )
        if reply["done"] != "1":
            await self._store.delete([name])
            return False
        return True

    async def page(
        self, conversation_id: str, direction: str, seq: int, limit: int, max_bytes: int
    ) -> list[tuple[int, str]]:
        """Archived entries just above (`after`) or just below (`before`) a seq, ascending, at least one."""
        at = seq + 1 if direction == "after" else seq - 1
        name = await self._object_with(conversation_id, at)
        if name is None:
            return []
        found = [(line.seq, line.text) for line in await self._store.get(name)]
        if direction == "after":
            chosen = [item for item in found if item[0] > seq][:limit]
        else:
            chosen = [item for item in found if item[0] < seq][-limit:][::-1]
        size, fitting = 0, list[tuple[int, str]]()
        for item in chosen:
            size += len(item[1].encode())
            if fitting and size > max_bytes:
                break
            fitting.append(item)
        return fitting if direction == "after" else fitting[::-1]

    async def long_page(self, conversation_id: str, seq: int, page: int) -> tuple[int, str] | None:
        """How many pages the whole data of an archived long entry has, and one of them."""
        line = await self.line(conversation_id, seq)
        return (len(line.pages), line.pages[page]) if line is not None and page < len(line.pages) else None

    async def line(self, conversation_id: str, seq: int) -> Line | None:
        """An archived entry."""
        name = await self._object_with(conversation_id, seq)
        lines = await self._store.get(name) if name is not None else []
        return next((line for line in lines if line.seq == seq), None)

    async def text(self, conversation_id: str, seq: int) -> str | None:
        """The envelope of an archived entry (JSON)."""
        line = await self.line(conversation_id, seq)
        return line.text if line is not None else None

    async def replace(self, conversation_id: str, seq: int, text: str) -> None:
        """Put another envelope in the place of an archived entry, without pages."""
        await self.change(conversation_id, lambda line: Line(seq, text, []), only=seq)

    async def change(self, conversation_id: str, change: Change, only: int | None = None) -> list[int]:
        """Write objects again in which `change` changes an entry; return the seqs. `only`: the one to look at."""
        changed: list[int] = []
        keys = conversation_keys(conversation_id)
        with redis_errors():
            names = [str(name) for name in await self._redis.zrange(keys.archived, 0, -1)]
        if only is not None:
            found = await self._object_with(conversation_id, only)
            names = [found] if found is not None else []
        for name in names:
            lines, seqs = await self._store.get(name), []
            written: list[Line] = []
            for line in lines:
                other = change(line) if only is None or line.seq == only else None
                written.append(line if other is None else other)
                if other is not None:
                    seqs.append(line.seq)
            if not seqs:
                continue
            new = f"{name.removesuffix('.jsonl.gz')[:-8]}{secrets.token_hex(4)}.jsonl.gz"
            await self._store.put(new, written)
            reply = await self._scripts.conversation("replace_archived", conversation_id, name=name, new_name=new)
            # The old one goes in either case: what is in it may be deleted by somebody else, too.
            await self._store.delete([name if reply["done"] == "1" else new])
            if reply["done"] == "1":
                changed += seqs
        return changed

    async def remove_gone(self) -> None:
        """Delete the objects of conversations that are gone."""
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for number in range(PARTITIONS):
                pipe.srandmember(archive_gone(number), 10)
            found = await pipe.execute()
        for number, gone in enumerate(found):
            key = archive_gone(number)
            for item in [str(one) for one in gone or ()]:
                conversation_id, _, archive = item.partition("/")
                with redis_errors():
                    current = await self._redis.hget(conversation_keys(conversation_id).meta, "archive")
                names = await self._store.list(f"{item}/")
                kept = f"{conversation_id}/{current!s}/"
                await self._store.delete([name for name in names if archive or not name.startswith(kept)])
                with redis_errors():
                    await self._redis.srem(key, item)

    async def _object_with(self, conversation_id: str, seq: int) -> str | None:
        with redis_errors():
            found = await self._redis.zrange(
                conversation_keys(conversation_id).archived, seq, "-inf", desc=True, byscore=True, offset=0, num=1
            )
        if not found:
            return None
        name = str(found[0])
        return name if int(name.rpartition("/")[2].split("-")[1]) >= seq else None

    async def _pages(self, conversation_id: str, seq: int, text: str) -> list[str]:
        if '"pages":' not in text or not (count := json.loads(text).get("pages")):
            return []
        with redis_errors():
            found = await self._redis.hmget(
                conversation_keys(conversation_id).long, [f"{seq} {page}" for page in range(count)]
            )
        return [str(page) for page in found if page is not None]
