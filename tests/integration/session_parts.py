"""The parts of a node that hold its sessions, around a real Redis, without its sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.members import Members
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.sign_out import SignOuts, signed_out
from sio_server.store.scripts import Scripts
from sio_server.trace.recording import Trace
from sio_server.users.devices import Devices
from sio_server.users.session_records import SessionRecords
from sio_server.users.sign_out import RefusedTokens


def session_of(user_id: str, name: str = "Phone") -> Session:
    return Session(f"s-{user_id}", user_id, "Ann", "phone", name, issued_ms=1)


class Edge:
    """The bus, the rooms and the socket of a node, as far as an ending session meets them.

    `fails` names sessions with which nothing can be done.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: set[str] = set()

    def deliver(self, sid: str, event: str, payload: Any) -> int:
        self._fail(sid)
        self.done.append(event)
        return 1

    def leave(self, sid: str, room: str) -> None:
        self._fail(sid)
        self.done.append(f"left {room}")

    def leave_all(self, sid: str) -> None:
        self.done.append("left its conversations")
        self._fail(sid)

    async def disconnect(self, sid: str) -> None:
        self.done.append("closed")
        self._fail(sid)

    def _fail(self, name: str) -> None:
        if name in self.fails:
            raise RuntimeError(f"nothing can be done with {name}")


class SessionParts:
    """One node's sessions, their copy in Redis, and what ends them."""

    def __init__(
        self,
        redis: Redis,
        members: Members,
        node_id: str,
        make_records: Callable[..., Any] = SessionRecords,
        make_refused_tokens: Callable[..., Any] = RefusedTokens,
    ) -> None:
        self.edge = Edge()
        self.devices = Devices(redis, Scripts(redis), members)
        self.records = make_records(redis, Scripts(redis), members)
        self.refused_tokens = make_refused_tokens(redis, Scripts(redis), members)
        self.mirror = SessionMirror(
            redis,
            self.records,
            node_id,
            "n",
            on_signed_out=lambda session, by: self.sign_outs.end(session.sid, signed_out(by)),
        )
        self.sessions = Sessions(self.mirror, Metrics(), Trace("n"))
        edge: Any = self.edge
        self.sign_outs = SignOuts(edge, self.sessions, self.mirror, self.refused_tokens, edge, edge.disconnect)

    async def stop(self) -> None:
        await self.sign_outs.stop()
        await self.mirror.stop()
