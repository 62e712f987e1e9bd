"""The copy of this node's sessions in Redis: written when they begin, reconciled, and written again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from sio_server.gateway.sessions.ends import SessionEnds, is_away
from sio_server.gateway.sessions.presence import PresenceNews
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.store.keys import node_sessions
from sio_server.users.session_records import LiveSession, SessionRecords
from sio_server.users.sign_out import SignedOut

log = logging.getLogger(__name__)

COMPARED_AT_ONCE = 500
WRITTEN_AT_ONCE = 50
AGAIN_S = 0.5  # until reconciling is tried again


class SessionMirror:
    """The sessions of this node as other nodes see them, so that presence and counts hold for the whole cluster.

    A session is written under its node before it is written under its user: whichever node finds this one dead
    knows what to remove. What Redis refuses for one session only does not keep the others waiting.
    """

    def __init__(
        self,
        records: SessionRecords,
        ends: SessionEnds,
        presence: PresenceNews,
        node_id: str,
        node_name: str,
        *,
        on_signed_out: Callable[[Session, dict[str, str] | None], None],
        per_user: int = 0,
    ) -> None:
        """`on_signed_out(session, by)` is called for a session that turns out to have been signed out.

        `per_user`: how many sessions a user may have on all nodes; 0: any number.
        """
        self._records = records
        self._ends = ends
        self._presence = presence
        self._key = node_sessions(node_id)
        self._node_name = node_name
        self._on_signed_out = on_signed_out
        self._per_user = per_user
        self._mirrored: dict[str, Session] = {}  # those that shall be in Redis
        self._reconcile_requested = asyncio.Event()
        self._requests = 0  # by which something may have been missed

    async def add(self, session: Session) -> None:
        """Write a new session. Raises SignedOut, Refused or Unavailable, and then it will be removed."""
        requests = self._requests
        try:
            await self._write(session, begins=True)
        except Refused:
            self._ends.add_unwritten(session)
            raise
        except BaseException:
            self._ends.add_uncertain(session)
            raise
        self._mirrored[session.sid] = session
        if self._requests != requests:
            # A sign-out after the writing may have been missed, and comparing did not know of this session.
            self._reconcile_requested.set()

    def remove(self, session: Session) -> None:
        """The session has ended: it is not written again, and removed soon."""
        self._mirrored.pop(session.sid, None)
        self._ends.add(session)

    def forget(self, session: Session) -> None:
        """From now on the session is not written again."""
        self._mirrored.pop(session.sid, None)

    async def unknown(self, sessions: Sequence[Session]) -> list[Session]:
        """Those of the sessions that Redis does not know. Raises Unavailable."""
        names = await self._names(sessions)
        return [session for session, name in zip(sessions, names, strict=True) if name is None]

    def request_reconcile(self) -> None:
        """Something may have been missed: compare the sessions with Redis, as soon as it answers."""
        self._requests += 1
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
        sessions = list(self._mirrored.values())
        for start in range(0, len(sessions), WRITTEN_AT_ONCE):
            writing = (self._write_again(session) for session in sessions[start : start + WRITTEN_AT_ONCE])
            for error in await asyncio.gather(*writing, return_exceptions=True):
                if error is not None:
                    raise error

    async def _names(self, sessions: Sequence[Session]) -> list[str | None]:
        return await self._records.names((s.user_id, s.sid, s.device_id) for s in sessions)

    async def _compare(self, sessions: Sequence[Session]) -> None:
        try:
            names = await self._names(sessions)
        except Exception as exc:
            if is_away(exc):
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
            if is_away(exc):
                raise
            log.error("a session cannot be written again: session_id=%s", session.sid, exc_info=exc)

    async def _write_or_end(self, session: Session) -> None:
        try:
            await self._write(session, begins=False)
        except SignedOut as exc:
            self._on_signed_out(session, exc.by)
            return
        if session.sid not in self._mirrored:  # it ended during the writing
            self._ends.add(session)

    async def _write(self, session: Session, *, begins: bool) -> None:
        own_name = session.device_name
        opened = await self._records.open(
            LiveSession(
                session.sid,
                session.user_id,
                session.device_id,
                own_name,
                self._node_name,
                session.since,
                session.issued_ms,
            ),
            begins=begins,
            # A session that is written again was admitted before: the limit applies to new sessions only.
            max_sessions=self._per_user if begins else 0,
            before=(("HSET", self._key, session.sid, session.user_id),),
        )
        # By Redis' clock, on which the nodes agree.
        session.ends_at = time.monotonic() + session.expires_at - opened.redis_ms / 1000
        if session.device_name == own_name:  # otherwise the bus has brought a newer one meanwhile
            session.device_name = opened.device_name
        if begins:
            session.on_written(opened.devices, opened.last_end)
        if opened.seen_in:
            self._presence.came(session.user_id, opened.seen_in)
