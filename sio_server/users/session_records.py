"""The sessions of all nodes, as Redis keeps them under their users."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from sio_server.protocol.errors import ErrorCode
from sio_server.store.connection import redis_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import user_devices, user_sessions
from sio_server.users.sign_out import SignedOut
from sio_server.users.user_steps import UserSteps


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


class SessionRecords(UserSteps):
    """The records of live sessions; one that was signed out is refused in the step that would write it."""

    async def open(self, session: LiveSession, *, max_sessions: int = 0) -> tuple[str, int]:
        """Write a session, or write it again; return the device's name, and Redis' time in milliseconds.

        Raises SignedOut, or Refused when the user has `max_sessions` already (0: as many as wanted).
        """
        described = {"since": session.since, "session_id": session.session_id, "node": session.node}
        reply = await self._scripts.user(
            "open_session",
            session.user_id,
            session_id=session.session_id,
            session=to_json(described),
            device_id=session.device_id,
            device_name=session.device_name,
            issued_ms=session.issued_ms,
            max_sessions=max_sessions,
        )
        if reply.status == ErrorCode.TOKEN_REVOKED:
            raise SignedOut(json.loads(reply["by"]))
        if reply["first"] == "1":
            await self._tell_presence(session.user_id, online=True)
        return str(reply["device_name"]), int(reply["ms"])

    async def close(self, user_id: str, session_id: str) -> None:
        """Remove a session that has ended; one that is gone already changes nothing."""
        reply = await self._scripts.user(
            "close_session", user_id, session_id=session_id, user_kept_ms=self._kept_ms
        )
        if reply["online"] == "0":
            await self._tell_presence(user_id, online=False)

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
