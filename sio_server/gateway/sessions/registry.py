"""Sessions: the live connections of devices, on this node and, in Redis, on all of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.log import Author
from sio_server.gateway.metrics import Metrics
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.store.connection import redis_errors
from sio_server.store.keys import node_sessions, user_room
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace
from sio_server.users.devices import Devices, LiveSession, SignedOut

_COMPARED_AT_ONCE = 500
_CLEARED_S = 2.0  # what has not been removed by then when the node stops, it buries, or others do
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
    expires_at: float = inf  # when its token does, in seconds since 1970
    address: str = ""  # to which it is counted; '' for none
    ends_at: float = inf  # when its token expires, by the monotonic clock
    since: str = field(default_factory=_now)
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
        self,
        redis: Redis,
        devices: Devices,
        node_id: str,
        node_name: str,
        metrics: Metrics,
        trace: Trace,
        *,
        per_user: int = 0,
        per_address: int = 0,
    ) -> None:
        self._redis = redis
        self._devices = devices
        self._node_id = node_id
        self._node_name = node_name
        self._metrics = metrics
        self._trace = trace
        self._per_user = per_user  # how many sessions there may be; 0: any number
        self._per_address = per_address
        self._at = Counter[str]()  # how many there are of an address; those that are opening, too
        self._sessions: dict[str, Session] = {}
        self._opening: dict[str, Session] = {}  # being written: the bus may have news of it before the reply
        self._of_user: dict[str, set[Session]] = {}  # by the user's room; those that are opening, too
        self._unremoved: dict[str, str] = {}  # session id -> user id, for when Redis is back
        # When thousands end at once, what others ask for shall not wait behind them for a connection to Redis.
        self._clear_turns = asyncio.Semaphore(CLEARED_AT_ONCE)
        self._in_doubt = False
        self._clearing: set[asyncio.Task[None]] = set()
        self._comparison: asyncio.Task[None] | None = None
        self.on_signed_out: Callable[[Session, dict[str, str] | None], None] = lambda session, by: None

    def get(self, sid: str) -> Session | None:
        """The session, while it lives."""
        return self._sessions.get(sid)

    def find(self, sid: str) -> Session | None:
        """The session, also while it is opening."""
        return self._sessions.get(sid) or self._opening.get(sid)

    def all(self) -> list[Session]:
        """This node's sessions."""
        return list(self._sessions.values())

    async def open(self, session: Session) -> None:
        """Begin a session. Raises SignedOut, Refused or Unavailable, and then there is none."""
        if session.address and 0 < self._per_address <= self._at[session.address]:
            what = "this address has as many connections to this node as one may have; try again later"
            raise Refused(ErrorCode.TOO_MANY_CONNECTIONS, what)
        self._at[session.address] += 1
        self._opening[session.sid] = session
        self._of_user.setdefault(user_room(session.user_id), set()).add(session)
        try:
            await self._write(session, new=True)
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

    def close(self, sid: str) -> None:
        """End a session, here at once; in Redis beside, or when `tidy` finds Redis back.

        Whoever ends its connection must not wait for Redis: it may be away, and be the reason.
        """
        session = self.withdraw(sid)
        if session is not None:
            task = asyncio.create_task(self.clear(session), name="session-clearing")
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)

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
            async with self._clear_turns:
                await self._remove(self._node_id, session.sid, session.user_id)
        except BaseException as exc:
            self._unremoved[session.sid] = session.user_id
            if not isinstance(exc, Unavailable):  # who closes a connection has its time, too
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
        """Compare nothing any more, and finish what is being removed, if that takes no time."""
        await end_tasks([self._comparison])
        if self._clearing:
            await asyncio.wait(self._clearing, timeout=_CLEARED_S)
        await end_tasks(list(self._clearing))

    async def tidy(self) -> None:
        """Remove from Redis the ended sessions that could not be removed when they ended."""
        for sid, user_id in list(islice(self._unremoved.items(), TIDIED_AT_ONCE)):
            try:
                await self._remove(self._node_id, sid, user_id)
            except Unavailable:
                return
            self._unremoved.pop(sid, None)

    async def unknown(self, sids: Iterable[str]) -> list[str]:
        """Those of this node's sessions, opening or open, that Redis does not know. Raises Unavailable."""
        sessions = [session for sid in sids if (session := self.find(sid)) is not None]
        names = await self._devices.names((s.user_id, s.sid, s.device_id) for s in sessions)
        return [session.sid for session, name in zip(sessions, names, strict=True) if name is None]

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

    async def _write(self, session: Session, *, new: bool = False) -> None:
        own_name = session.device_name
        with redis_errors():
            await self._redis.hset(node_sessions(self._node_id), session.sid, session.user_id)
        name, now_ms = await self._devices.open(
            LiveSession(
                session_id=session.sid,
                user_id=session.user_id,
                device_id=session.device_id,
                device_name=session.device_name,
                node=self._node_name,
                since=session.since,
                issued_ms=session.issued_ms,
            ),
            # One that is written anew was let in before; of its kind there may be too many for a moment.
            max_sessions=self._per_user if new else 0,
        )
        # By Redis' clock, on which the nodes agree.
        session.ends_at = time.monotonic() + session.expires_at - now_ms / 1000
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
        self._at[session.address] -= 1
        if not self._at[session.address]:
            del self._at[session.address]
