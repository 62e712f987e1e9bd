"""The end of sessions whose device was signed out, wherever that was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sio_server.conversation.keys import user_room
from sio_server.gateway.bus import Bus
from sio_server.gateway.fanout import Fanout
from sio_server.gateway.sessions import Session, Sessions
from sio_server.protocol.events import ServerEvent
from sio_server.tasks import end_tasks

ACK_S = 1.0  # who signs itself out gets the ack before its end, if it comes within this time


def signed_out(device_id: str, device_name: str) -> dict[str, Any]:
    """The payload of `session:ended` for what this device has signed out."""
    return {"reason": "signed_out", "by": {"device_id": device_id, "device_name": device_name}}


class Endings:
    """Ends this node's sessions: they get nothing more and are asked for nothing more, are told why, and closed.

    The bus may lose the news: what this node missed it finds by the sessions that Redis does not know any more.
    """

    def __init__(
        self, bus: Bus, sessions: Sessions, fanout: Fanout, disconnect: Callable[[str], Awaitable[None]]
    ) -> None:
        self._bus = bus
        self._sessions = sessions
        self._fanout = fanout
        self._disconnect = disconnect
        self._tasks: set[asyncio.Task[None]] = set()
        sessions.on_signed_out = lambda session, by: self.end(session.sid, signed_out(**by))

    def hear(self, payload: dict[str, Any], sids: Iterable[str]) -> None:
        """`session:ended` came over the bus, for sessions of any node."""
        for sid in sids:
            self.end(sid, payload)

    def end(self, sid: str, payload: dict[str, Any]) -> None:
        """End a session of this node, and no other."""
        session = self._sessions.withdraw(sid)
        if session is None:
            return
        for conversation_id in list(session.following):
            self._fanout.leave(sid, conversation_id)
        self._bus.basic_leave_room(sid, "/", user_room(session.user_id))
        task = asyncio.create_task(self._close(session, payload), name="session-ending")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for nobody any more."""
        await end_tasks(self._tasks)

    async def _close(self, session: Session, payload: dict[str, Any]) -> None:
        if session.acked is not None:
            await asyncio.wait({session.acked}, timeout=ACK_S)
        self._bus.deliver(session.sid, ServerEvent.SESSION_ENDED, payload)
        await self._disconnect(session.sid)
        await self._sessions.clear(session)
