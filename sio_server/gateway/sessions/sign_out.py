"""The end of sessions whose device was signed out, or whose token has expired or was revoked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.session_end import ended_for_good
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent, SessionEnd
from sio_server.store.keys import user_room
from sio_server.tasks import end_tasks
from sio_server.users.sign_out import RefusedTokens

log = logging.getLogger(__name__)

ACK_S = 1.0  # a session that signs itself out gets the ack before its end, if it comes within this time
WATCH_S = 1.0  # so often a node looks for expired and revoked tokens


def signed_out(by: dict[str, str] | None) -> dict[str, Any]:
    """The payload of `session:ended` for a session that the device `by` has signed out, or the operator (None)."""
    return ended_for_good(SessionEnd.SIGNED_OUT if by else SessionEnd.TOKEN_REVOKED, by)


class SignOuts:
    """Ends sessions of this node: they are sent nothing more, may ask for nothing more, are told why, and closed.

    The bus may lose `session:ended`, and what it says may be false: the sessions that have ended are those that
    Redis does not know any more. After a revocation each node looks for them, whether the bus has told it or not.
    """

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        mirror: SessionMirror,
        refused_tokens: RefusedTokens,
        fanout: Fanout,
        disconnect: Callable[[str], Awaitable[None]],
    ) -> None:
        """`disconnect(sid)` closes the connection of a session for good."""
        self._bus = bus
        self._sessions = sessions
        self._mirror = mirror
        self._refused_tokens = refused_tokens
        self._fanout = fanout
        self._disconnect = disconnect
        self._tasks: set[asyncio.Task[None]] = set()
        self._revocations: str | None = None  # when they were last looked for

    def on_session_ended(self, payload: dict[str, Any], sids: Iterable[str]) -> None:
        """`session:ended` came over the bus, for sessions of any node."""
        ours = [session for sid in sids if (session := self._sessions.find(sid)) is not None]
        if ours:
            self._spawn(self._end_unknown(ended_for_good(payload["reason"], payload.get("by")), ours))

    def end(self, sid: str, payload: dict[str, Any]) -> None:
        """End a session of this node, and no other, with this payload of `session:ended`."""
        session = self._sessions.withdraw(sid)
        if session is None:
            return
        try:
            self._fanout.leave_all(sid)
            self._bus.leave(sid, user_room(session.user_id))
        finally:
            self._spawn(self._close(session, payload))

    async def watch(self) -> None:
        """End the sessions whose token has expired or was revoked, within about a second, until cancelled."""
        while True:
            self._end_expired(time.monotonic())
            try:
                await self._look_for_revocations()
            except Unavailable as exc:
                log.info("revocations could not be looked for: %s", exc)
            except Exception:
                log.exception("looking for revocations failed, trying again")
            await asyncio.sleep(WATCH_S)

    async def stop(self) -> None:
        """Stop ending sessions."""
        await end_tasks(list(self._tasks))

    def _end_expired(self, now: float) -> None:
        for session in self._sessions.all():
            if session.ends_at <= now:
                try:
                    self.end(session.sid, ended_for_good(SessionEnd.TOKEN_EXPIRED))
                except Exception:
                    log.exception("an expired session could not be ended: session_id=%s", session.sid)

    async def _look_for_revocations(self) -> None:
        revocations = await self._refused_tokens.revocations()
        if revocations != self._revocations:
            self._mirror.request_reconcile()
        self._revocations = revocations

    async def _end_unknown(self, payload: dict[str, Any], sessions: list[Session]) -> None:
        try:
            ended = await self._mirror.unknown(sessions)
        except Exception as exc:
            log.info("whether sessions have ended is looked up again: %s", exc)
            self._mirror.request_reconcile()
            return
        for session in ended:
            self.end(session.sid, payload)
        if len(ended) < len(sessions):
            count = len(sessions) - len(ended)
            log.warning("the bus named sessions that have not ended: ignored, count=%d", count)

    async def _close(self, session: Session, payload: dict[str, Any]) -> None:
        try:
            if session.acked is not None:
                await asyncio.wait({session.acked}, timeout=ACK_S)
            self._bus.deliver(session.sid, ServerEvent.SESSION_ENDED, payload)
        finally:
            try:
                await self._disconnect(session.sid)
            finally:
                self._mirror.remove(session)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="session-ending")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a session could not be ended in order", exc_info=error)
