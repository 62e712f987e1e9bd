"""Ended sessions are removed from Redis: many at a time, again after Redis was away, and those of dead nodes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from redis.asyncio import Redis

from sio_server.gateway.sessions.presence import PresenceNews
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import ErrorCode, Unavailable
from sio_server.store.connection import redis_errors
from sio_server.store.keys import node_sessions
from sio_server.users.session_records import SessionRecords

log = logging.getLogger(__name__)

COLLECT_S = 0.03  # sessions that end within this time are removed together
REMOVED_AT_ONCE = 64  # in one write, which holds up other commands for 2 ms
CLEANED_AT_ONCE = 1000  # between two heartbeats, which must not wait for many thousands
STOP_S = 2.0  # what has not been removed by then when the node stops is reaped, by it or by others


class _Ended(NamedTuple):
    sid: str
    user_id: str
    begun: bool = True  # others have been told that the user is online


class SessionEnds:
    """Removes sessions from Redis, in the background, since nothing that ends a connection may wait for Redis.

    A session is removed under its user before it is removed under its node: whichever node finds this one dead
    knows what to remove. What Redis refuses for one session only does not keep the others waiting.
    """

    def __init__(self, redis: Redis, records: SessionRecords, node_id: str, presence: PresenceNews) -> None:
        self._redis = redis
        self._records = records
        self._node_id = node_id
        self._presence = presence
        self._waiting: dict[str, _Ended] = {}  # by session id
        self._unwritten: list[str] = []  # ids of sessions that are written under this node and under no user
        self._later: dict[str, _Ended] = {}  # for `clean_up`
        self._refused = 0  # removals that Redis has refused
        self._wake = asyncio.Event()

    def add(self, session: Session) -> None:
        """A session has ended."""
        self._waiting[session.sid] = _Ended(session.sid, session.user_id)
        self._wake.set()

    def add_unwritten(self, session: Session) -> None:
        """Redis has refused a session: it is written under this node only."""
        self._unwritten.append(session.sid)
        self._wake.set()

    def add_uncertain(self, session: Session) -> None:
        """A session has not begun, and may be written at this moment: it is removed with the next `clean_up`."""
        self._later[session.sid] = _Ended(session.sid, session.user_id, begun=False)

    async def run(self) -> None:
        """Remove sessions that have ended, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(COLLECT_S)
            self._wake.clear()
            try:
                await self._remove_waiting()
            except Unavailable as exc:
                log.info("ended sessions are removed later: %s", exc)

    async def clean_up(self) -> None:
        """Remove from Redis ended sessions that could not be removed when they ended."""
        for ended in list(islice(self._later.values(), CLEANED_AT_ONCE)):
            self._waiting[ended.sid] = self._later.pop(ended.sid)
        try:
            await self._remove_waiting()
        except Unavailable as exc:
            log.info("ended sessions are removed later: %s", exc)

    async def reap(self, node_id: str) -> None:
        """Remove the sessions of a dead node, also while other nodes do the same. Raises Unavailable."""
        with redis_errors():
            left_behind = await self._redis.hgetall(node_sessions(node_id))
        found = [_Ended(str(sid), str(user_id)) for sid, user_id in left_behind.items()]
        for start in range(0, len(found), REMOVED_AT_ONCE):
            refused = await self._remove(node_id, found[start : start + REMOVED_AT_ONCE])
            for ended, error in refused:
                log.error("a session of a dead node cannot be removed: session_id=%s", ended.sid, exc_info=error)

    async def stop(self) -> None:
        """Remove what waits, if that takes no time. Raises Unavailable or TimeoutError."""
        async with asyncio.timeout(STOP_S):
            await self._remove_waiting()

    async def _remove_waiting(self) -> None:
        while self._waiting or self._unwritten:
            batch = list(islice(self._waiting.values(), REMOVED_AT_ONCE))
            unwritten, self._unwritten = self._unwritten, []
            for ended in batch:
                del self._waiting[ended.sid]
            try:
                refused = await self._remove(self._node_id, batch, unwritten)
            except BaseException:
                self._later.update((ended.sid, ended) for ended in batch)
                self._unwritten += unwritten
                raise
            for ended, error in refused:
                self._later[ended.sid] = ended
                self._refused += 1
                if self._refused & (self._refused - 1) == 0:  # 1, 2, 4, 8, ...: it may last
                    log.error("a session cannot be removed: session_id=%s", ended.sid, exc_info=error)

    async def _remove(
        self, node_id: str, batch: Sequence[_Ended], unwritten: Iterable[str] = ()
    ) -> list[tuple[_Ended, Exception]]:
        """Remove sessions of a node; return those that Redis has refused to remove. Raises Unavailable."""
        refused: list[tuple[_Ended, Exception]] = []
        removed = [*unwritten, *await self._close(batch, refused)]
        if removed:
            with redis_errors():
                await self._redis.hdel(node_sessions(node_id), *removed)
        return refused

    async def _close(self, batch: Sequence[_Ended], refused: list[tuple[_Ended, Exception]]) -> list[str]:
        """Remove sessions under their users; return their ids. What cannot be removed is added to `refused`."""
        if not batch:
            return []
        by_user: dict[str, list[str]] = {}
        for ended in batch:
            by_user.setdefault(ended.user_id, []).append(ended.sid)
        begun = {ended.user_id for ended in batch if ended.begun}
        try:
            after = await self._records.close(by_user, dict.fromkeys(begun, round(self._presence.grace_s * 1000)))
        except Exception as exc:
            if is_away(exc):
                raise
            if len(batch) == 1:
                refused.append((batch[0], exc))
                return []
            middle = len(batch) // 2
            return [*await self._close(batch[:middle], refused), *await self._close(batch[middle:], refused)]
        gone = {user_id: state.seen_in for user_id, state in after.items() if not state.online}
        await self._presence.note([user_id for user_id, seen_in in gone.items() if seen_in and user_id in begun])
        for user_id, seen_in in gone.items():
            self._presence.went(user_id, seen_in, known=user_id in begun)
        return [ended.sid for ended in batch]


def is_away(error: Exception) -> bool:
    """Whether Redis cannot be reached, or cannot write: then it is the same for all sessions."""
    return isinstance(error, Unavailable) and error.code == ErrorCode.UNAVAILABLE
