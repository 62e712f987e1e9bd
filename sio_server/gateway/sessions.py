"""Sessions: the live connections of devices, on this node and, in Redis, on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.connection import redis_errors
from sio_server.conversation.devices import Devices, LiveSession, SignedOut
from sio_server.conversation.keys import node_sessions, user_room
from sio_server.conversation.log import Author
from sio_server.conversation.trace import Trace
from sio_server.gateway.metrics import Metrics
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.stage import TraceKind
from sio_server.tasks import end_tasks

_COMPARED_AT_ONCE = 500
CLEARED_AT_ONCE = 8
TIDIED_AT_ONCE = 200  # between two heartbeats, which must not wait for thousands


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(eq=False)
class Session:
    """One live connection of a device of a user."""

    sid: str
    user_id: str
    name: str
    device_id: str
    device_name: str
    issued_ms: int | None = None  # when its token was issued
    since: str = field(default_factory=_now)
    following: set[str] = field(default_factory=set)  # conversation ids
    acked: asyncio.Future[None] | None = None  # done when it has been told that it has signed itself out

    @property
    def author(self) -> Author:
        return Author(self.user_id, self.name, self.device_id, self.device_name)


class Sessions:
    """This node's sessions, mirrored in Redis so that presence and counts hold for the whole cluster.

    Each session is written under its node before it is written under its user: whoever finds the node
    dead knows what to remove.
    """

    def __init__(
        self, redis: Redis, devices: Devices, node_id: str, node_name: str, metrics: Metrics, trace: Trace
    ) -> None:
        self._redis = redis
        self._devices = devices
        self._node_id = node_id
        self._node_name = node_name
        self._metrics = metrics
        self._trace = trace
        self._sessions: dict[str, Session] = {}
        self._opening: dict[str, Session] = {}  # being written: the bus may have news of it before the reply
        self._of_user: dict[str, set[Session]] = {}  # by the user's room; those that are opening, too
        self._unremoved: dict[str, str] = {}  # session id -> user id, for when Redis is back
        # When thousands end at once, what others ask for shall not wait behind them for a connection to Redis.
        self._clearing = asyncio.Semaphore(CLEARED_AT_ONCE)
        self._in_doubt = False
        self._comparison: asyncio.Task[None] | None = None
        self.on_signed_out: Callable[[Session, dict[str, str]], None] = lambda session, by: None

    def get(self, sid: str) -> Session | None:
        """The session, while it lives."""
        return self._sessions.get(sid)

    def all(self) -> list[Session]:
        """This node's sessions."""
        return list(self._sessions.values())

    async def open(self, session: Session) -> None:
        """Begin a session. Raises SignedOut or Unavailable, and then there is none."""
        self._opening[session.sid] = session
        self._of_user.setdefault(user_room(session.user_id), set()).add(session)
        try:
            await self._write(session)
            if session.sid not in self._opening:
                raise Unavailable("the device was signed out at this moment")
        except BaseException:
            self._forget(session)
            self._unremoved[session.sid] = session.user_id
            raise
        finally:
            self._opening.pop(session.sid, None)
        self._sessions[session.sid] = session
        self._metrics.sessions.set(len(self._sessions))
        self._tell(TraceKind.SESSION_OPENED, session)

    async def close(self, sid: str) -> None:
        """End a session; while Redis is away only here, and there when `tidy` finds it back."""
        session = self.withdraw(sid)
        if session is not None:
            await self.clear(session)

    def withdraw(self, sid: str) -> Session | None:
        """From now on there is no such session here. Returns it, if it had begun."""
        self._opening.pop(sid, None)
        session = self._sessions.pop(sid, None)
        self._metrics.sessions.set(len(self._sessions))
        if session is not None:
            self._forget(session)
            self._tell(TraceKind.SESSION_CLOSED, session)
        return session

    async def clear(self, session: Session) -> None:
        """Remove an ended session from Redis, now or later."""
        try:
            async with self._clearing:
                await self._remove(self._node_id, session.sid, session.user_id)
        except (Unavailable, asyncio.CancelledError) as exc:
            self._unremoved[session.sid] = session.user_id
            if isinstance(exc, asyncio.CancelledError):
                raise

    def renamed(self, room: str, devices: Iterable[Mapping[str, Any]]) -> None:
        """A user's devices are these now: sessions are called what their devices are called."""
        sessions = self._of_user.get(room)
        if not sessions:
            return
        names = {device["device_id"]: device["device_name"] for device in devices}
        for session in sessions:
            session.device_name = names.get(session.device_id, session.device_name)

    def doubt(self) -> None:
        """Something may have been missed: compare the sessions with Redis, as soon as it answers."""
        self._in_doubt = True
        if self._comparison is None or self._comparison.done():
            self._comparison = asyncio.create_task(self._compare(), name="sessions-comparison")

    async def stop(self) -> None:
        """Compare nothing any more."""
        await end_tasks([self._comparison])

    async def tidy(self) -> None:
        """Remove from Redis the ended sessions that could not be removed when they ended."""
        for sid, user_id in list(islice(self._unremoved.items(), TIDIED_AT_ONCE)):
            try:
                await self._remove(self._node_id, sid, user_id)
            except Unavailable:
                return
            self._unremoved.pop(sid, None)

    async def register_again(self) -> None:
        """This node was taken for dead while it was paused: write its sessions anew."""
        for session in self.all():
            await self._write_again(session)

    async def bury(self, node_id: str) -> None:
        """Remove the sessions of a dead node. Any number of nodes may do so at the same time."""
        with redis_errors():
            left_behind = await self._redis.hgetall(node_sessions(node_id))
        for sid, user_id in left_behind.items():
            await self._remove(node_id, str(sid), str(user_id))

    async def _compare(self) -> None:
        """Take over the names, and write anew what Redis does not know; that ends what was signed out."""
        while self._in_doubt:
            self._in_doubt = False
            try:
                sessions = self.all()
                for start in range(0, len(sessions), _COMPARED_AT_ONCE):
                    batch = sessions[start : start + _COMPARED_AT_ONCE]
                    names = await self._devices.names((s.user_id, s.sid, s.device_id) for s in batch)
                    for session, name in zip(batch, names, strict=True):
                        if name is None:
                            await self._write_again(session)
                        else:
                            session.device_name = name
            except Unavailable:
                self._in_doubt = True
                await asyncio.sleep(0.5)

    async def _write_again(self, session: Session) -> None:
        if session.sid not in self._sessions:
            return
        try:
            await self._write(session)
        except SignedOut as exc:
            self.on_signed_out(session, exc.by)
            return
        if session.sid not in self._sessions:  # it ended during the writing
            await self._remove(self._node_id, session.sid, session.user_id)

    def _tell(self, kind: TraceKind, session: Session) -> None:
        self._trace.tell(
            kind,
            user_id=session.user_id,
            device_id=session.device_id,
            device_name=session.device_name,
            session_id=session.sid,
        )

    async def _write(self, session: Session) -> None:
        own_name = session.device_name
        with redis_errors():
            await self._redis.hset(node_sessions(self._node_id), session.sid, session.user_id)
        name = await self._devices.open(
            LiveSession(
                session_id=session.sid,
                user_id=session.user_id,
                device_id=session.device_id,
                device_name=session.device_name,
                node=self._node_name,
                since=session.since,
                issued_ms=session.issued_ms,
            )
        )
        if session.device_name == own_name:  # otherwise the bus has brought a newer one meanwhile
            session.device_name = name

    async def _remove(self, node_id: str, sid: str, user_id: str) -> None:
        await self._devices.close(user_id, sid)
        with redis_errors():
            await self._redis.hdel(node_sessions(node_id), sid)

    def _forget(self, session: Session) -> None:
        room = user_room(session.user_id)
        sessions = self._of_user.get(room)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._of_user[room]
