"""The end of sessions whose device was signed out, or whose token is good no more, wherever that was found."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.sessions.registry import Session, Sessions
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent
from sio_server.store.keys import user_room
from sio_server.tasks import end_tasks
from sio_server.users.devices import Devices

log = logging.getLogger(__name__)

ACK_S = 1.0  # who signs itself out gets the ack before its end, if it comes within this time
LOOK_S = 1.0  # so often a node looks for expired and revoked tokens

EXPIRED: dict[str, Any] = {"reason": "token_expired", "by": None}


def signed_out(by: dict[str, str] | None) -> dict[str, Any]:
    """The payload of `session:ended` for what this device has signed out, or the operator revoked."""
    return {"reason": "signed_out" if by else "token_revoked", "by": by}


class Endings:
    """Ends this node's sessions: they get nothing more and are asked for nothing more, are told why, and closed.

    The bus may lose the news, and what it says may be false: the sessions that Redis does not know any more are
    those that have ended. After a revocation each node looks for them, whether the bus has told it or not.
    """

    def __init__(
        self,
        bus: Bus,
        sessions: Sessions,
        devices: Devices,
        fanout: Fanout,
        disconnect: Callable[[str], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._sessions = sessions
        self._devices = devices
        self._fanout = fanout
        self._disconnect = disconnect
        self._tasks: set[asyncio.Task[None]] = set()
        self._revocations: str | None = None  # at the last look
        sessions.on_signed_out = lambda session, by: self.end(session.sid, signed_out(by))

    def hear(self, payload: dict[str, Any], sids: Iterable[str]) -> None:
        """`session:ended` came over the bus, for sessions of any node."""
        ours = [sid for sid in sids if self._sessions.find(sid) is not None]
        if ours:
            self._spawn(self._end_unknown(payload, ours))

    def end(self, sid: str, payload: dict[str, Any]) -> None:
        """End a session of this node, and no other."""
        session = self._sessions.withdraw(sid)
        if session is None:
            return
        self._fanout.leave_all(sid)
        self._bus.basic_leave_room(sid, "/", user_room(session.user_id))
        self._spawn(self._close(session, payload))

    async def watch(self) -> None:
        """End the sessions whose token has expired or was revoked, within about a second, for ever."""
        while True:
            now = time.monotonic()
            for session in self._sessions.all():
                if session.ends_at <= now:
                    self.end(session.sid, EXPIRED)
            try:
                revocations = await self._devices.revocations()
            except Unavailable as exc:
                log.info("revocations could not be looked for: %s", exc)
            else:
                if revocations != self._revocations:
                    self._sessions.doubt()
                self._revocations = revocations
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Wait for nobody any more."""
        await end_tasks(self._tasks)

    async def _end_unknown(self, payload: dict[str, Any], sids: list[str]) -> None:
        try:
            ended = await self._sessions.unknown(sids)
        except Unavailable:
            self._sessions.doubt()
            return
        for sid in ended:
            self.end(sid, payload)
        if len(ended) < len(sids):
            log.warning("the bus named sessions that have not ended: ignored, count=%d", len(sids) - len(ended))

    async def _close(self, session: Session, payload: dict[str, Any]) -> None:
        if session.acked is not None:
            await asyncio.wait({session.acked}, timeout=ACK_S)
        self._bus.deliver(session.sid, ServerEvent.SESSION_ENDED, payload)
        await self._disconnect(session.sid)
        await self._sessions.clear(session)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="session-ending")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
