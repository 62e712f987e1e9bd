"""Sessions: the live connections of devices, on this node and, in Redis, on all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.connection import redis_errors
from sio_server.conversation.keys import BUS, conversation_room, node_sessions, user_room, user_sessions
from sio_server.conversation.log import Author, to_json
from sio_server.conversation.members import Members
from sio_server.conversation.scripts import Scripts
from sio_server.conversation.trace import Trace
from sio_server.gateway.metrics import Metrics
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.stage import TraceKind

# Who is told that a user came or went: the members of at most so many of the user's conversations.
PRESENCE_ROOMS = 200


@dataclass
class Session:
    """One live connection of a device of a user."""

    sid: str
    user_id: str
    name: str
    device_id: str
    device_name: str
    following: set[str] = field(default_factory=set)  # conversation ids

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
        scripts: Scripts,
        members: Members,
        node_id: str,
        node_name: str,
        metrics: Metrics,
        trace: Trace,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._members = members
        self._node_id = node_id
        self._node_name = node_name
        self._metrics = metrics
        self._trace = trace
        self._sessions: dict[str, Session] = {}
        self._unremoved: dict[str, str] = {}  # session id -> user id, for when Redis is back

    def get(self, sid: str) -> Session | None:
        """The session, while it lives."""
        return self._sessions.get(sid)

    def all(self) -> list[Session]:
        """This node's sessions."""
        return list(self._sessions.values())

    async def open(self, session: Session) -> None:
        """Begin a session. Raises Unavailable, and then there is none."""
        try:
            await self._write(session)
        except Unavailable:
            self._unremoved[session.sid] = session.user_id
            raise
        self._sessions[session.sid] = session
        self._metrics.sessions.set(len(self._sessions))
        self._tell(TraceKind.SESSION_OPENED, session)

    async def close(self, sid: str) -> None:
        """End a session; while Redis is away only here, and there when `tidy` finds it back."""
        session = self._sessions.pop(sid, None)
        self._metrics.sessions.set(len(self._sessions))
        if session is not None:
            self._tell(TraceKind.SESSION_CLOSED, session)
            try:
                await self._remove(self._node_id, sid, session.user_id)
            except Unavailable:
                self._unremoved[sid] = session.user_id

    async def tidy(self) -> None:
        """Remove from Redis the ended sessions that could not be removed when they ended."""
        for sid, user_id in list(self._unremoved.items()):
            try:
                await self._remove(self._node_id, sid, user_id)
            except Unavailable:
                return
            self._unremoved.pop(sid, None)

    async def register_again(self) -> None:
        """This node was taken for dead while it was paused: write its sessions anew."""
        for session in self.all():
            await self._write(session)
            if session.sid not in self._sessions:  # it ended during the writing
                await self._remove(self._node_id, session.sid, session.user_id)

    async def bury(self, node_id: str) -> None:
        """Remove the sessions of a dead node. Any number of nodes may do so at the same time."""
        with redis_errors():
            left_behind = await self._redis.hgetall(node_sessions(node_id))
        for sid, user_id in left_behind.items():
            await self._remove(node_id, str(sid), str(user_id))

    async def devices(self, user_id: str) -> list[dict[str, Any]]:
        """The user's sessions on all nodes: `{session_id, device_id, device_name, node, since}`."""
        with redis_errors():
            return [json.loads(value) for value in await self._redis.hvals(user_sessions(user_id))]

    def _tell(self, kind: TraceKind, session: Session) -> None:
        self._trace.tell(
            kind,
            user_id=session.user_id,
            device_id=session.device_id,
            device_name=session.device_name,
            session_id=session.sid,
        )

    async def _write(self, session: Session) -> None:
        with redis_errors():
            await self._redis.hset(node_sessions(self._node_id), session.sid, session.user_id)
        described = {
            "session_id": session.sid,
            "device_id": session.device_id,
            "device_name": session.device_name,
            "node": self._node_name,
            "since": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        await self._announce(session.user_id, session.sid, to_json(described))

    async def _remove(self, node_id: str, sid: str, user_id: str) -> None:
        await self._announce(user_id, sid, "")
        with redis_errors():
            await self._redis.hdel(node_sessions(node_id), sid)

    async def _announce(self, user_id: str, sid: str, described: str) -> None:
        ids = await self._members.ids(user_id, PRESENCE_ROOMS)
        rooms = to_json([conversation_room(conversation_id) for conversation_id in ids])
        await self._scripts.user(
            "session", [user_sessions(user_id)], user_id, BUS, user_room(user_id), rooms, sid, described
        )
