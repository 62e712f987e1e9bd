"""Moves entries that the log keeps no longer to objects, reads pages from there, and takes out what is deleted.

An object is written first, then one step of Redis names it in the conversation's index and drops the entries. So
an entry is always in one of them; an object that no index names is removed with the conversation. An object that
another one has replaced is kept for a while: a Redis that has lost its last writes, or was restored, may name it.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable

from sio_server.conversation.log import ConversationLog
from sio_server.data.archive_store import ArchiveStore, Line
from sio_server.protocol.errors import RoomgraphError, Unavailable
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.keys import archive_gone, conversation_keys
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Scripts

log = logging.getLogger(__name__)

OBJECT_ENTRIES = 500
OBJECT_BYTES = 1_000_000  # about, before it is compressed; one entry at least

ROUNDS = 50  # of changing an object that others change at the same time: one of them succeeds in each
REPLACED_KEPT_MS = 24 * 3600 * 1000
GONE_AT_ONCE = 10  # of each partition

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
            # Without `up_to`, which would leave out that an entry above it hides one.
            page = await self._log.page(conversation_id, "", after=after, limit=min(100, last - after))
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
        """Archived entries just above (`after`) or just below (`before`) a seq, ascending, at least one.

        Where an object is missing in the storage, which a warning says, pages backwards end: clients that show
        them count on dense seqs. Pages forwards continue beyond it.
        """
        while True:
            at = seq + 1 if direction == "after" else seq - 1
            name = await self._object_with(conversation_id, at)
            if name is None:
                return []
            found = await self._read(conversation_id, name)
            if found is not None:
                break
            if direction == "before":
                return []
            seq = _bounds_of(name)[1]
        items = [(line.seq, line.text) for line in found]
        if direction == "after":
            chosen = [item for item in items if item[0] > seq][:limit]
        else:
            chosen = [item for item in items if item[0] < seq][-limit:][::-1]
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
        lines = await self._read(conversation_id, name) if name is not None else None
        return next((line for line in lines or () if line.seq == seq), None)

    async def text(self, conversation_id: str, seq: int) -> str | None:
        """The envelope of an archived entry (JSON)."""
        line = await self.line(conversation_id, seq)
        return line.text if line is not None else None

    async def replace(self, conversation_id: str, seq: int, text: str) -> None:
        """Put another envelope in the place of an archived entry, without pages."""
        await self.change(conversation_id, lambda line: Line(seq, text, []), only=seq)

    async def change(self, conversation_id: str, change: Change, only: int | None = None) -> list[int]:
        """Write objects again in which `change` changes an entry; return the seqs. `only`: the one to look at."""
        if only is not None:
            name = await self._object_with(conversation_id, only)
            names = [name] if name is not None else []
        else:
            key = conversation_keys(conversation_id).archived
            with redis_errors():
                names = [str(name) for name in await self._redis.zrange(key, 0, -1)]
        changed: list[int] = []
        for name in names:
            changed += await self._change_object(conversation_id, _bounds_of(name)[0], change, only)
        return changed

    async def _change_object(
        self, conversation_id: str, first: int, change: Change, only: int | None
    ) -> list[int]:
        """The same for the object that begins with a seq, whatever its name is by now."""
        for _ in range(ROUNDS):
            name = await self._object_with(conversation_id, first)
            lines = await self._read(conversation_id, name) if name is not None else None
            if name is None or lines is None:
                return []
            seqs, written = list[int](), list[Line]()
            for line in lines:
                other = change(line) if only is None or line.seq == only else None
                written.append(line if other is None else other)
                if other is not None:
                    seqs.append(line.seq)
            if not seqs:
                return []
            new = f"{name.removesuffix('.jsonl.gz')[:-8]}{secrets.token_hex(4)}.jsonl.gz"
            await self._store.put(new, written)
            reply = await self._scripts.conversation(
                "replace_archived", conversation_id, name=name, new_name=new, kept_ms=REPLACED_KEPT_MS
            )
            if reply["done"] == "1":
                return seqs
            # It was changed meanwhile: the change is made again, in what it has become.
            await self._store.delete([new])
        raise Unavailable("an object of the archive is changed all the time")

    async def remove_gone(self) -> dict[str, RoomgraphError]:
        """Delete the objects of conversations that are gone, and those that were replaced long ago.

        What could not be deleted is in the reply, and tried again.
        """
        failed: dict[str, RoomgraphError] = {}
        with redis_errors():
            seconds, _ = await self._redis.time()
            pipe = self._redis.pipeline(transaction=False)
            for number in range(PARTITIONS):
                pipe.zrangebyscore(archive_gone(number), "-inf", seconds * 1000, start=0, num=GONE_AT_ONCE)
            found = await pipe.execute(raise_on_error=self._redis.routed is None)
        for number, gone in enumerate(found):
            for item in [] if isinstance(gone, Exception) else map(str, gone):  # its shard may be away
                try:
                    await self._remove(item)
                    with redis_errors():
                        await self._redis.zrem(archive_gone(number), item)
                except Unavailable as exc:
                    failed[item] = exc
                    with redis_errors():  # behind the others
                        await self._redis.zadd(archive_gone(number), {item: seconds * 1000}, xx=True)
        return failed

    async def _remove(self, item: str) -> None:
        """Delete what `archive_gone` names: an object, or those of a conversation."""
        conversation_id, _, archive = item.partition("/")
        keys = conversation_keys(conversation_id)
        if "/" in archive:
            with redis_errors():
                is_named = await self._redis.zscore(keys.archived, item) is not None
            if not is_named:
                await self._store.delete([item])
            return
        with redis_errors():
            current = await self._redis.hget(keys.meta, "archive")
        names = await self._store.list(f"{item}/")
        kept = f"{conversation_id}/{current!s}/"
        await self._store.delete([name for name in names if archive or not name.startswith(kept)])

    async def _read(self, conversation_id: str, name: str) -> list[Line] | None:
        """The lines of an object that the index has named, under the name that it has now; None if it is lost."""
        lines = await self._store.get(name)
        if lines is None:
            again = await self._object_with(conversation_id, _bounds_of(name)[0])
            lines = await self._store.get(again) if again is not None and again != name else None
            if lines is None and again is not None:
                log.warning("an object of the archive is missing: %s", again)
        return lines

    async def _object_with(self, conversation_id: str, seq: int) -> str | None:
        with redis_errors():
            found = await self._redis.zrange(
                conversation_keys(conversation_id).archived, seq, "-inf", desc=True, byscore=True, offset=0, num=1
            )
        if not found:
            return None
        name = str(found[0])
        return name if _bounds_of(name)[1] >= seq else None

    async def _pages(self, conversation_id: str, seq: int, text: str) -> list[str]:
        if '"pages":' not in text or not (count := json.loads(text).get("pages")):
            return []
        with redis_errors():
            found = await self._redis.hmget(
                conversation_keys(conversation_id).long, [f"{seq} {page}" for page in range(count)]
            )
        return [str(page) for page in found if page is not None]


def _bounds_of(name: str) -> tuple[int, int]:
    """The seqs of the first and the last entry of an object."""
    first, last, _ = name.rpartition("/")[2].split("-")
    return int(first), int(last)
