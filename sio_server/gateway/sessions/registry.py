"""The sessions of this node: which there are, and how each begins and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.store.keys import user_channel, user_room
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace


class Channels(Protocol):
    """The channels of the bus to which this node has subscribed."""

    async def subscribe(self, channel: str) -> None: ...

    def release(self, channel: str) -> None: ...


class Sessions:
    """This node's sessions, each of which begins when it has been written to Redis."""

    def __init__(
        self, bus: Channels, mirror: SessionMirror, metrics: Metrics, trace: Trace, *, per_address: int = 0
    ) -> None:
        """`per_address`: how many sessions of one address there may be; 0: any number."""
        self._mirror = mirror
        self._bus = bus
        self._trace = trace
        self._per_address = per_address
        self._of_address: dict[str, int] = {}  # with those that are opening
        self._sessions: dict[str, Session] = {}
        self._opening: dict[str, Session] = {}  # being written: the bus may name it before Redis' reply is here
        # By user id, with those that are opening. Most users have one session here, and it costs no list.
        self._of_user: dict[str, Session | list[Session]] = {}
        metrics.sessions.set_function(lambda: len(self._sessions))

    def get(self, sid: str) -> Session | None:
        """The session, from when it has begun until it ends."""
        return self._sessions.get(sid)

    def find(self, sid: str) -> Session | None:
        """The session, also while it is opening."""
        return self._sessions.get(sid) or self._opening.get(sid)

    def all(self) -> list[Session]:
        """The sessions that have begun and not ended."""
        return list(self._sessions.values())

    def user_ids(self) -> list[str]:
        """The users with sessions here, also those whose sessions are opening."""
        return list(self._of_user)

    async def open(self, session: Session) -> None:
        """Begin a session. Raises SignedOut, Refused or Unavailable, and then there is none.

        The node listens to the user's channel before the session is written: a sign-out comes before the writing,
        which then is refused, or after it, and is heard.
        """
        self._count_address(session)
        self._opening[session.sid] = session
        try:
            await self._bus.subscribe(user_channel(session.user_id))
        except BaseException:
            self._opening.pop(session.sid, None)
            self._uncount_address(session)
            raise
        self._add_to_user(session)
        try:
            await self._mirror.add(session)
            if session.sid not in self._opening:
                self._mirror.remove(session)
                raise Unavailable("the device was signed out at this moment")
        except BaseException:
            self._discard(session)
            raise
        finally:
            self._opening.pop(session.sid, None)
        self._sessions[session.sid] = session
        self._record(TraceKind.SESSION_OPENED, session)

    def close(self, sid: str) -> None:
        """The connection of a session has ended: end it here at once, and in Redis in the background."""
        session = self.withdraw(sid)
        if session is not None:
            self._mirror.remove(session)

    def withdraw(self, sid: str) -> Session | None:
        """From now on there is no such session here. Returns it, to be removed from Redis, if it had begun."""
        self._opening.pop(sid, None)
        session = self._sessions.pop(sid, None)
        if session is not None:
            self._mirror.forget(session)
            self._discard(session)
            self._record(TraceKind.SESSION_CLOSED, session)
        return session

    def rename_devices(self, room: str, devices: Sequence[Mapping[str, Any]]) -> None:
        """The devices of the user with this room are so now: their sessions are called as they are."""
        sessions = self._of_user.get(room.removeprefix(user_room("")))
        if sessions is None:
            return
        names = {device["device_id"]: device["device_name"] for device in devices}
        for session in sessions if isinstance(sessions, list) else (sessions,):
            session.device_name = names.get(session.device_id, session.device_name)
            session.on_devices_changed(devices)

    def _record(self, kind: TraceKind, session: Session) -> None:
        if self._trace.on:
            self._trace.record(
                kind,
                user_id=session.user_id,
                device_id=session.device_id,
                device_name=session.device_name,
                session_id=session.sid,
            )

    def _add_to_user(self, session: Session) -> None:
        others = self._of_user.setdefault(session.user_id, session)
        if isinstance(others, list):
            others.append(session)
        elif others is not session:
            self._of_user[session.user_id] = [others, session]

    def _discard(self, session: Session) -> None:
        sessions = self._of_user[session.user_id]
        if isinstance(sessions, list) and len(sessions) > 1:
            sessions.remove(session)
        else:
            del self._of_user[session.user_id]
        self._uncount_address(session)
        self._bus.release(user_channel(session.user_id))

    def _count_address(self, session: Session) -> None:
        count = self._of_address.get(session.address, 0)
        if session.address and 0 < self._per_address <= count:
            what = "this address has as many connections to this node as one may have; try again later"
            raise Refused(ErrorCode.TOO_MANY_CONNECTIONS, what)
        self._of_address[session.address] = count + 1

    def _uncount_address(self, session: Session) -> None:
        count = self._of_address.pop(session.address) - 1
        if count:
            self._of_address[session.address] = count
