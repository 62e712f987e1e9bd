"""The sessions of all nodes, as Redis keeps them under their users."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from sio_server.protocol.errors import ErrorCode
from sio_server.store.connection import redis_errors
from sio_server.store.keys import user_devices, user_keys, user_sessions
from sio_server.store.scripts import Argument, Command
from sio_server.users.sign_out import SignedOut
from sio_server.users.user_steps import UserSteps


class LiveSession(NamedTuple):
    """One session as it is written for all nodes."""

    session_id: str
    user_id: str
    device_id: str
    device_name: str
    node: str
    since: str
    issued_ms: int | None  # when its token was issued


class Opened(NamedTuple):
    """What Redis said to a session that was written."""

    device_name: str
    redis_ms: int  # Redis' time
    seen_in: Sequence[str]  # ids of conversations to tell that the user has come online; none: the user was
    devices: str = "[]"  # JSON; of a session that begins
    last_end: str = ""  # why the device's last session was disconnected, JSON; of a session that begins


class AfterEnd(NamedTuple):
    """How it is with a user after sessions have ended."""

    online: bool
    seen_in: Sequence[str]  # ids of conversations to tell of a user who is not online


class SessionRecords(UserSteps):
    """The records of live sessions; one that was signed out is refused in the step that would write it."""

    async def open(
        self, session: LiveSession, *, begins: bool = True, max_sessions: int = 0, before: Sequence[Command] = ()
    ) -> Opened:
        """Write a session that begins, or write it again, after the commands `before`, in one round trip.

        Raises SignedOut, or Refused when the user has `max_sessions` already (0: as many as wanted).
        """
        described = {"since": session.since, "session_id": session.session_id, "node": session.node}
        reply = await self._scripts.user(
            "open_session",
            session.user_id,
            None,
            before,
            session_id=session.session_id,
            session=orjson.dumps(described).decode(),
            device_id=session.device_id,
            device_name=session.device_name,
            issued_ms=session.issued_ms,
            max_sessions=max_sessions,
            begins=begins,
        )
        if reply.status == ErrorCode.TOKEN_REVOKED:
            raise SignedOut(json.loads(reply["by"]))
        name, ms, seen_in = str(reply["device_name"]), int(reply["ms"]), reply["seen_in"]
        return Opened(name, ms, seen_in, *((reply["devices"], reply["last_end"]) if begins else ()))

    async def close(
        self, ended: Mapping[str, Sequence[str]], grace_ms: Mapping[str, int] | None = None
    ) -> dict[str, AfterEnd]:
        """Remove sessions that have ended (user id -> session ids) in one round trip; return how each user is.

        A user who opens a session within `grace_ms` has not been away: nobody is told. Sessions that are gone
        already change nothing. Raises Unavailable when one could not be removed: others may have been.
        """
        calls: list[tuple[list[str], dict[str, Argument]]] = [
            (
                user_keys(user_id),
                {
                    "session_ids": list(session_ids),
                    "user_kept_ms": self._kept_ms,
                    "grace_ms": (grace_ms or {}).get(user_id, 0),
                },
            )
            for user_id, session_ids in ended.items()
        ]
        replies = await self._scripts.many("close_session", calls)
        return {
            user_id: AfterEnd(reply["online"] == "1", reply["seen_in"])
            for user_id, reply in zip(ended, replies, strict=True)
        }

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
