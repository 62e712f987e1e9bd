"""What is kept no longer is dropped from all conversations: entries by number and age, results by age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from sio_server.conversation.quotas import DAY_MS
from sio_server.protocol.errors import RoomgraphError
from sio_server.store.connection import redis_errors
from sio_server.store.keys import RETENTION, swept
from sio_server.store.partitions import PARTITIONS, partition
from sio_server.store.scripts import Argument, Scripts

SWEPT_EVERY_MS = 6 * 3600 * 1000  # each conversation
CONVERSATIONS_AT_ONCE = 10  # of each partition
ENTRIES_AT_ONCE = 200  # of a conversation, in one step
MAX_FAILURES = 3  # of the archive in one round: it cannot be used at present, and others need no archive


@dataclass(frozen=True)
class Kept:
    """What is kept: 0 means all, or for ever."""

    entries: int = 0  # of each conversation
    entries_ms: int = 0
    results_ms: int = 30 * DAY_MS  # results of requests that have made an entry, no longer than the entry

    def __str__(self) -> str:
        return f"{self.entries},{self.entries_ms},{self.results_ms}"


class Archiver(Protocol):
    """Moves entries from the log to an archive."""

    async def add(self, conversation_id: str, first: int, last: int) -> bool: ...


class Swept(NamedTuple):
    """What one round has done; `more`: the next one has something to do.

    `failed`: conversations that could not be swept; the next round tries them after the others.
    """

    conversations: int
    entries: int
    results: int
    more: bool
    failed: Mapping[str, RoomgraphError] = MappingProxyType({})


class Retention:
    """Sweeps conversations, some in each round. Any node may do it, also several at once. Raises Unavailable.

    A conversation that was swept is left alone for SWEPT_EVERY_MS, or until nodes start with other settings.
    """

    def __init__(
        self, scripts: Scripts, kept: Kept, archive: Archiver | None = None, *, has_files: bool = False
    ) -> None:
        """With an `archive` entries go there instead of being dropped. `has_files`: files are stored."""
        self._has_files = has_files
        self._scripts = scripts
        self._archive = archive
        self._kept = kept

    async def sweep(self) -> Swept:
        """Do one round, of bounded work; on a Redis Cluster what a shard has that is away is left for later."""
        since_ms = await self._since_ms()
        replies = await self._scripts.some(
            "list_unswept",
            [
                ([swept(number)], {"since_ms": since_ms, "count": CONVERSATIONS_AT_ONCE})
                for number in range(PARTITIONS)
            ],
        )
        listed = [reply["ids"] for reply in replies if reply is not None]
        ids = [str(found) for some in listed for found in some]
        about: dict[str, Argument] = {
            "retention": self._kept.entries,
            "entries_kept_ms": self._kept.entries_ms,
            "results_kept_ms": self._kept.results_ms,
            "since_ms": since_ms,
            "at_most": ENTRIES_AT_ONCE,
            "has_files": self._has_files,
            "archives": self._archive is not None,
        }
        more, entries, results = any(len(some) == CONVERSATIONS_AT_ONCE for some in listed), 0, 0
        failed: dict[str, RoomgraphError] = {}
        archive_failures = 0
        for conversation_id in ids:  # one after another: what others ask of Redis comes between
            try:
                reply = await self._scripts.conversation("sweep", conversation_id, **about)
            except RoomgraphError as exc:
                failed[conversation_id] = exc
                await self._put_last(conversation_id, since_ms)
                continue
            entries += int(reply["dropped"])
            results += int(reply["forgotten"])
            first, keep_from = int(reply["first"]), int(reply["keep_from"])
            if self._archive is not None and keep_from > first:
                if archive_failures == MAX_FAILURES:
                    continue
                try:
                    # What has changed meanwhile is tried again at the next look.
                    if not await self._archive.add(conversation_id, first, keep_from - 1):
                        continue
                except RoomgraphError as exc:
                    failed[conversation_id] = exc
                    archive_failures += 1
                    await self._put_last(conversation_id, since_ms)
                    continue
                entries += keep_from - first
            more = more or reply["more"] == "1"
        return Swept(len(ids), entries, results, more and not failed, failed)

    async def _put_last(self, conversation_id: str, since_ms: int) -> None:
        """One that could not be swept stays due, behind the others of its partition. Raises Unavailable."""
        with redis_errors():
            key = swept(partition(conversation_id))
            await self._scripts.redis.zadd(key, {conversation_id: since_ms}, xx=True)

    async def _since_ms(self) -> int:
        """Conversations that were last swept before this time, by Redis' clock, are due."""
        redis = self._scripts.redis
        with redis_errors():
            seconds, microseconds = await redis.time()
            now_ms = seconds * 1000 + microseconds // 1000
            known, _, changed_ms = str(await redis.get(RETENTION) or "").partition(" ")
            if known != str(self._kept):
                changed_ms = str(now_ms)
                await redis.set(RETENTION, f"{self._kept} {now_ms}")
        return max(int(changed_ms), now_ms - SWEPT_EVERY_MS)
