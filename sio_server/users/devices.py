"""A user's devices and their sessions on all nodes: what they are called, and which of them were signed out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.log import Author
from sio_server.conversation.members import Members
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.store.connection import redis_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import (
    REVOCATIONS,
    conversation_room,
    user_devices,
    user_sessions,
    user_signed_out,
)
from sio_server.store.scripts import Reply, Scripts

# Who is told that a user came or went: the members of at most so many of the user's conversations.
PRESENCE_ROOMS = 200


ALL_DEVICES = "*"  # in the place of a device id


class SignedOut(Refused):
    """The token was issued before the device was signed out; `by` is the device that did it.

    Or, without `by`, before the operator has revoked the user's tokens.
    """

    def __init__(self, by: dict[str, str] | None) -> None:
        what = "this device was signed out" if by else "the token was revoked"
        super().__init__(ErrorCode.TOKEN_REVOKED, f"{what}: get a new one")
        self.by = by


@dataclass(frozen=True)
class LiveSession:
    """One session as it is written for all nodes."""

    session_id: str
    user_id: str
    device_id: str
    device_name: str
    node: str
    since: str
    issued_ms: int | None  # when its token was issued


class Devices:
    """The devices of all users.

    Every change is one step with its publication, so the last `device:updated` that a session hears is true.
    """

    def __init__(self, redis: Redis, scripts: Scripts, members: Members, *, users_kept_ms: int = 0) -> None:
        """`users_kept_ms`: what a user has is forgotten so long after the last session (0: never)."""
        self._redis = redis
        self._kept_ms = users_kept_ms
        self._scripts = scripts
        self._members = members

    async def open(self, session: LiveSession, *, max_sessions: int = 0) -> tuple[str, int]:
        """Write a session, or write it again; return the device's name, and Redis' time in milliseconds.

        Raises SignedOut, or Refused when the user has `max_sessions` already (0: as many as wanted).
        """
        described = {"since": session.since, "session_id": session.session_id, "node": session.node}
        reply = await self._scripts.user(
            "open_session",
            session.user_id,
            rooms=await self._rooms(session.user_id),
            session_id=session.session_id,
            session=to_json(described),
            device_id=session.device_id,
            device_name=session.device_name,
            issued_ms=session.issued_ms,
            max_sessions=max_sessions,
        )
        if reply.status == ErrorCode.TOKEN_REVOKED:
            raise SignedOut(json.loads(reply["by"]))
        return str(reply["device_name"]), int(reply["ms"])

    async def close(self, user_id: str, session_id: str) -> None:
        """Remove a session that has ended; one that is gone already changes nothing."""
        await self._scripts.user(
            "close_session",
            user_id,
            rooms=await self._rooms(user_id),
            session_id=session_id,
            user_kept_ms=self._kept_ms,
        )

    async def listed(self, user_id: str) -> list[dict[str, Any]]:
        """The user's devices, those online first: `{device_id, device_name, online, sessions, last_seen}`."""
        reply = await self._scripts.user("list_devices", user_id)
        devices: list[dict[str, Any]] = json.loads(reply["devices"])
        return devices

    async def names(self, sessions: Iterable[tuple[str, str, str]]) -> list[str | None]:
        """The names of the devices of sessions (user id, session id, device id); None for an unknown session."""
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for user_id, session_id, device_id in sessions:
                pipe.hexists(user_sessions(user_id), session_id)
                pipe.hget(user_devices(user_id), device_id)
            replies = await pipe.execute()
        # A device is stored as "<last seen> <named> <name>".
        return [
            str(value).split(" ", 2)[2] if there and value is not None else None
            for there, value in zip(replies[::2], replies[1::2], strict=True)
        ]

    async def rename(self, session_id: str, user_id: str, device_id: str, name: str) -> None:
        """Call a device of the user otherwise. Raises Refused with `unknown_device`."""
        _check(
            await self._scripts.user(
                "rename_device", user_id, session_id=session_id, device_id=device_id, device_name=name
            )
        )

    async def sign_out(self, session_id: str, by: Author, device_id: str) -> int:
        """End all sessions of a device of the user and refuse its old tokens; return how many sessions it had."""
        reply = await self._scripts.user(
            "sign_out",
            by.user_id,
            rooms=await self._rooms(by.user_id),
            session_id=session_id,
            device_id=device_id,
            by={"device_id": by.device_id, "device_name": by.device_name},
            user_kept_ms=self._kept_ms,
        )
        _check(reply)
        return int(reply["ended"])

    async def revoke(self, user_id: str, device_id: str = ALL_DEVICES) -> int:
        """Refuse all tokens of the user, or of a device, that were issued until now, and end the sessions.

        Returns how many sessions were ended. Nodes hear of it over the bus, and from the count of revocations.
        """
        reply = await self._scripts.user(
            "revoke",
            user_id,
            rooms=await self._rooms(user_id),
            device_id=device_id,
            user_kept_ms=self._kept_ms,
        )
        with redis_errors():
            await self._redis.incr(REVOCATIONS)
        return int(reply["ended"])

    async def revocations(self) -> str:
        """Another text after each revocation."""
        with redis_errors():
            return str(await self._redis.get(REVOCATIONS))

    async def check(self, user_id: str, issued_ms: int | None) -> None:
        """Raise SignedOut for a token that all of the user's devices are refused with."""
        with redis_errors():
            mark = await self._redis.hget(user_signed_out(user_id), ALL_DEVICES)
        since, _, by = str(mark or "0 null").partition(" ")
        if mark is not None and (issued_ms is None or issued_ms <= int(since)):
            raise SignedOut(json.loads(by))

    async def _rooms(self, user_id: str) -> list[Any]:
        ids = await self._members.ids(user_id, PRESENCE_ROOMS)
        return [conversation_room(conversation_id) for conversation_id in ids]


def _check(reply: Reply) -> None:
    if reply.status == "session_ended":
        raise Unavailable("the session has ended; connect again")
