"""The parts of a node that hold its sessions, around a real Redis, without its sockets."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import Redis

from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.ends import SessionEnds
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.presence import PresenceNews
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.sign_out import SignOuts, signed_out
from sio_server.store.scripts import Scripts
from sio_server.trace.recording import Trace
from sio_server.users.devices import Devices
from sio_server.users.presence import PresenceRecords
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
        self.emitted: list[tuple[str, Any, str]] = []
        self.channels = Counter[str]()  # to which the node has subscribed
        self.fails: set[str] = set()

    def deliver(self, sid: str, event: str, payload: Any) -> int:
        self._fail(sid)
        self.done.append(event)
        return 1

    def deliver_frame(self, sid: str, frame: bytes) -> int:
        return self.deliver(sid, json.loads(frame[2:])[0], json.loads(frame[2:])[1])

    def emit_soon(self, events: Iterable[tuple[str, Any, str]]) -> None:
        self.emitted += events

    async def subscribe(self, channel: str) -> None:
        self.channels[channel] += 1

    def release(self, channel: str) -> None:
        self.channels[channel] -= 1

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


GRACE_S = 1.0  # from a user's last session until others are told


class SessionParts:
    """One node's sessions, their copy in Redis, and what ends them."""

    def __init__(
        self,
        redis: Redis,
        node_id: str,
        make_records: Callable[..., Any] = SessionRecords,
        make_refused_tokens: Callable[..., Any] = RefusedTokens,
    ) -> None:
        self.edge = Edge()
        self.devices = Devices(redis, Scripts(redis))
        self.records = make_records(redis, Scripts(redis))
        self.refused_tokens = make_refused_tokens(redis, Scripts(redis))
        self.news = PresenceNews(PresenceRecords(redis), self.edge.emit_soon, time.time, GRACE_S)
        self.ends = SessionEnds(redis, self.records, node_id, self.news)
        self.mirror = SessionMirror(
            self.records,
            self.ends,
            self.news,
            node_id,
            "n",
            on_signed_out=lambda session, by: self.sign_outs.end(session.sid, signed_out(by)),
        )
        edge: Any = self.edge
        self.sessions = Sessions(edge, self.mirror, Metrics(), Trace("n"))
        self.sign_outs = SignOuts(edge, self.sessions, self.mirror, self.refused_tokens, edge, edge.disconnect)

    async def stop(self) -> None:
        await self.sign_outs.stop()
        await self.ends.stop()
