"""The sessions of this node: which there are, and how each begins and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.store.keys import user_channel, user_room
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace


class Sessions:
    """This node's sessions, each of which begins when it has been written to Redis."""

    def __init__(
        self, bus: Bus, mirror: SessionMirror, metrics: Metrics, trace: Trace, *, per_address: int = 0
    ) -> None:
        """`per_address`: how many sessions of one address there may be; 0: any number."""
        self._bus = bus
        self._mirror = mirror
        self._metrics = metrics
        self._trace = trace
        self._per_address = per_address
        self._of_address = Counter[str]()  # with those that are opening
        self._sessions: dict[str, Session] = {}
        self._opening: dict[str, Session] = {}  # being written: the bus may name it before Redis' reply is here
        self._of_user: dict[str, set[Session]] = {}  # by the user's room; with those that are opening

    def get(self, sid: str) -> Session | None:
        """The session, from when it has begun until it ends."""
        return self._sessions.get(sid)

    def find(self, sid: str) -> Session | None:
        """The session, also while it is opening."""
        return self._sessions.get(sid) or self._opening.get(sid)

    def all(self) -> list[Session]:
        """The sessions that have begun and not ended."""
        return list(self._sessions.values())

    async def open(self, session: Session) -> None:
        """Begin a session. Raises SignedOut, Refused or Unavailable, and then there is none."""
        if session.address and 0 < self._per_address <= self._of_address[session.address]:
            what = "this address has as many connections to this node as one may have; try again later"
            raise Refused(ErrorCode.TOO_MANY_CONNECTIONS, what)
        self._of_address[session.address] += 1
        self._opening[session.sid] = session
        self._bus.hold(user_channel(session.user_id))
        self._of_user.setdefault(user_room(session.user_id), set()).add(session)
        try:
            # What is told to the user once the session is in Redis is heard here.
            async with self._bus.subscribed(user_channel(session.user_id)):
                await self._mirror.add(session)
            if session.sid not in self._opening:
                raise Unavailable("the device was signed out at this moment")
        except BaseException:
            self._discard(session)
            self._mirror.remove_later(session)
            raise
        finally:
            self._opening.pop(session.sid, None)
        self._sessions[session.sid] = session
        self._metrics.sessions.set(len(self._sessions))
        self._record(TraceKind.SESSION_OPENED, session)

    def close(self, sid: str) -> None:
        """The connection of a session has ended: end it here at once, and in Redis in the background.

        Nothing that ends a connection may wait for Redis: it may be away, and be the reason.
        """
        session = self.withdraw(sid)
        if session is not None:
            self._mirror.remove_soon(session)

    def withdraw(self, sid: str) -> Session | None:
        """From now on there is no such session here. Returns it, to be removed from Redis, if it had begun."""
        self._opening.pop(sid, None)
        session = self._sessions.pop(sid, None)
        self._metrics.sessions.set(len(self._sessions))
        if session is not None:
            self._mirror.forget(session)
            self._discard(session)
            self._record(TraceKind.SESSION_CLOSED, session)
        return session

    def rename_devices(self, room: str, devices: Iterable[Mapping[str, Any]]) -> None:
        """The devices of the user with this room are called so now: their sessions are, too."""
        sessions = self._of_user.get(room)
        if not sessions:
            return
        names = {device["device_id"]: device["device_name"] for device in devices}
        for session in sessions:
            session.device_name = names.get(session.device_id, session.device_name)

    def _record(self, kind: TraceKind, session: Session) -> None:
        self._trace.record(
            kind,
            user_id=session.user_id,
            device_id=session.device_id,
            device_name=session.device_name,
            session_id=session.sid,
        )

    def _discard(self, session: Session) -> None:
        self._bus.unsubscribe(user_channel(session.user_id))
        room = user_room(session.user_id)
        sessions = self._of_user.get(room)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._of_user[room]
        self._of_address[session.address] -= 1
        if not self._of_address[session.address]:
            del self._of_address[session.address]
