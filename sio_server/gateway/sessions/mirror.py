"""The copy of this node's sessions in Redis: written, removed, reconciled, and reaped after a node's death."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from itertools import islice

from redis.asyncio import Redis

from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import ErrorCode, Unavailable
from sio_server.store.connection import redis_errors
from sio_server.store.keys import node_sessions
from sio_server.tasks import end_tasks
from sio_server.users.session_records import LiveSession, SessionRecords
from sio_server.users.sign_out import SignedOut

log = logging.getLogger(__name__)

COMPARED_AT_ONCE = 500
REMOVED_AT_ONCE = 8
CLEANED_AT_ONCE = 200  # between two heartbeats, which must not wait for thousands
AGAIN_S = 0.5  # until reconciling is tried again
STOP_S = 2.0  # what has not been removed by then when the node stops is reaped, by it or by others


class SessionMirror:
    """The sessions of this node as other nodes see them, so that presence and counts hold for the whole cluster.

    A session is written under its node before it is written under its user: whichever node finds this one dead
    knows what to remove. What Redis refuses for one session only does not keep the others waiting.
    """

    def __init__(
        self,
        redis: Redis,
        records: SessionRecords,
        node_id: str,
        node_name: str,
        *,
        on_signed_out: Callable[[Session, dict[str, str] | None], None],
        per_user: int = 0,
    ) -> None:
        """`on_signed_out(session, by)` is called for a session that turns out to have been signed out.

        `per_user`: how many sessions a user may have on all nodes; 0: any number.
        """
        self._redis = redis
        self._records = records
        self._node_id = node_id
        self._node_name = node_name
        self._on_signed_out = on_signed_out
        self._per_user = per_user
        self._mirrored: dict[str, Session] = {}  # those that shall be in Redis
        self._unremoved: dict[str, str] = {}  # session id -> user id, of those that shall not be, for a later try
        self._refused = 0  # removals that Redis has refused
        # When thousands end at once, requests shall not wait behind them for a connection to Redis.
        self._removals = asyncio.Semaphore(REMOVED_AT_ONCE)
        self._removing: set[asyncio.Task[None]] = set()
        self._reconcile_requested = asyncio.Event()

    async def add(self, session: Session) -> None:
        """Write a new session. Raises SignedOut, Refused or Unavailable; it may have been written all the same."""
        await self._write(session, max_sessions=self._per_user)
        self._mirrored[session.sid] = session

    def forget(self, session: Session) -> None:
        """The session has ended: from now on it is not written again."""
        self._mirrored.pop(session.sid, None)

    async def remove(self, session: Session) -> None:
        """Remove a session that has ended, now or, when Redis is away, with a later `clean_up`."""
        self.forget(session)
        try:
            async with self._removals:
                await self._remove(self._node_id, session.sid, session.user_id)
        except Unavailable:
            self._unremoved[session.sid] = session.user_id
        except BaseException:
            self._unremoved[session.sid] = session.user_id
            raise

    def remove_soon(self, session: Session) -> None:
        """Remove a session that has ended in the background."""
        task = asyncio.create_task(self.remove(session), name="session-removal")
        self._removing.add(task)
        task.add_done_callback(self._on_removed)

    def remove_later(self, session: Session) -> None:
        """Remove a session that has not begun, with the next `clean_up`."""
        self.forget(session)
        self._unremoved[session.sid] = session.user_id

    async def unknown(self, sessions: Sequence[Session]) -> list[Session]:
        """Those of the sessions that Redis does not know. Raises Unavailable."""
        names = await self._names(sessions)
        return [session for session, name in zip(sessions, names, strict=True) if name is None]

    def request_reconcile(self) -> None:
        """Something may have been missed: compare the sessions with Redis, as soon as it answers."""
        self._reconcile_requested.set()

    async def run_reconciles(self) -> None:
        """Reconcile whenever that was requested, until cancelled."""
        while True:
            await self._reconcile_requested.wait()
            self._reconcile_requested.clear()
            try:
                await self.reconcile()
            except Unavailable as exc:
                log.info("the sessions could not be compared with Redis, trying again: %s", exc)
            except Exception:
                log.exception("comparing the sessions with Redis failed, trying again")
            except BaseException:
                self._reconcile_requested.set()  # for the task that is started in place of this one
                raise
            else:
                continue
            self._reconcile_requested.set()
            await asyncio.sleep(AGAIN_S)

    async def reconcile(self) -> None:
        """Take over the devices' names, and write again what Redis does not know; that ends what was signed out.

        Raises Unavailable when Redis is away.
        """
        sessions = list(self._mirrored.values())
        for start in range(0, len(sessions), COMPARED_AT_ONCE):
            await self._compare(sessions[start : start + COMPARED_AT_ONCE])

    async def register_again(self) -> None:
        """This node was taken for dead while it was paused: write its sessions again. Raises Unavailable."""
        for session in list(self._mirrored.values()):
            await self._write_again(session)

    async def clean_up(self) -> None:
        """Remove from Redis ended sessions that could not be removed when they ended."""
        for sid, user_id in list(islice(self._unremoved.items(), CLEANED_AT_ONCE)):
            try:
                await self._remove(self._node_id, sid, user_id)
            except Exception as exc:
                if _is_away(exc):
                    return
                self._unremoved[sid] = self._unremoved.pop(sid, user_id)  # behind all others
                self._refused += 1
                if self._refused & (self._refused - 1) == 0:  # 1, 2, 4, 8, ...: it may last
                    log.error("a session cannot be removed: session_id=%s", sid, exc_info=exc)
            else:
                self._unremoved.pop(sid, None)

    async def reap(self, node_id: str) -> None:
        """Remove the sessions of a dead node, also while other nodes do the same. Raises Unavailable."""
        with redis_errors():
            left_behind = await self._redis.hgetall(node_sessions(node_id))
        for sid, user_id in left_behind.items():
            try:
                await self._remove(node_id, str(sid), str(user_id))
            except Exception as exc:
                if _is_away(exc):
                    raise
                log.error("a session of a dead node cannot be removed: session_id=%s", sid, exc_info=exc)

    async def stop(self) -> None:
        """Finish what is being removed, if that takes no time."""
        if self._removing:
            await asyncio.wait(self._removing, timeout=STOP_S)
        await end_tasks(list(self._removing))

    async def _names(self, sessions: Sequence[Session]) -> list[str | None]:
        return await self._records.names((s.user_id, s.sid, s.device_id) for s in sessions)

    async def _compare(self, sessions: Sequence[Session]) -> None:
        try:
            names = await self._names(sessions)
        except Exception as exc:
            if _is_away(exc):
                raise
            if len(sessions) == 1:
                log.error("a session cannot be compared with Redis: session_id=%s", sessions[0].sid, exc_info=exc)
                return
            middle = len(sessions) // 2
            for part in (sessions[:middle], sessions[middle:]):
                await self._compare(part)
            return
        for session, name in zip(sessions, names, strict=True):
            if name is None:
                await self._write_again(session)
            else:
                session.device_name = name

    async def _write_again(self, session: Session) -> None:
        if session.sid not in self._mirrored:
            return
        try:
            await self._write_or_end(session)
        except Exception as exc:
            if _is_away(exc):
                raise
            log.error("a session cannot be written again: session_id=%s", session.sid, exc_info=exc)

    async def _write_or_end(self, session: Session) -> None:
        try:
            # It was let in before: for a moment there may be more than a new one could be of.
            await self._write(session, max_sessions=0)
        except SignedOut as exc:
            self._on_signed_out(session, exc.by)
            return
        if session.sid not in self._mirrored:  # it ended during the writing
            await self.remove(session)

    async def _write(self, session: Session, *, max_sessions: int) -> None:
        own_name = session.device_name
        with redis_errors():
            await self._redis.hset(node_sessions(self._node_id), session.sid, session.user_id)
        name, now_ms = await self._records.open(
            LiveSession(
                session_id=session.sid,
                user_id=session.user_id,
                device_id=session.device_id,
                device_name=session.device_name,
                node=self._node_name,
                since=session.since,
                issued_ms=session.issued_ms,
            ),
            max_sessions=max_sessions,
        )
        # By Redis' clock, on which the nodes agree.
        session.ends_at = time.monotonic() + session.expires_at - now_ms / 1000
        if session.device_name == own_name:  # otherwise the bus has brought a newer one meanwhile
            session.device_name = name

    async def _remove(self, node_id: str, sid: str, user_id: str) -> None:
        await self._records.close(user_id, sid)
        with redis_errors():
            await self._redis.hdel(node_sessions(node_id), sid)

    def _on_removed(self, task: asyncio.Task[None]) -> None:
        self._removing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a session could not be removed, trying again later", exc_info=error)


def _is_away(error: Exception) -> bool:
    """Whether Redis cannot be reached, or cannot write: then it is the same for all sessions."""
    return isinstance(error, Unavailable) and error.code == ErrorCode.UNAVAILABLE
