"""Signing out a device, and revoking tokens: sessions end on all nodes, and older tokens are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sio_server.conversation.author import Author
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.store.connection import redis_errors
from sio_server.store.keys import REVOCATIONS, user_signed_out
from sio_server.store.scripts import Request
from sio_server.users.user_steps import UserSteps, check_session

ALL_DEVICES = "*"  # in the place of a device id


class SignedOut(Refused):
    """The token was issued before the device was signed out; `by` is the device that did it.

    Or, without `by`, before the operator has revoked the user's tokens.
    """

    def __init__(self, by: dict[str, str] | None) -> None:
        what = "this device was signed out" if by else "the token was revoked"
        super().__init__(ErrorCode.TOKEN_REVOKED, f"{what}: get a new one")
        self.by = by


class RefusedTokens(UserSteps):
    """Which tokens are refused, by the time of their issue: those of a device, or all of a user."""

    async def sign_out(self, session_id: str, by: Author, device_id: str, request: Request | None = None) -> int:
        """End all sessions of a device of the user and refuse its old tokens; return how many sessions it had."""
        reply = await self._scripts.user(
            "sign_out",
            by.user_id,
            request or Request.unrepeated(by.user_id),
            session_id=session_id,
            device_id=device_id,
            by={"device_id": by.device_id, "device_name": by.device_name},
            user_kept_ms=self._kept_ms,
        )
        check_session(reply)
        return int(reply["ended"])

    async def revoke(self, user_id: str, device_id: str = ALL_DEVICES) -> int:
        """Refuse all tokens of the user, or of a device, that were issued until now, and end the sessions.

        Returns how many sessions were ended. Nodes learn of it over the bus, and from the count of revocations.
        """
        reply = await self._scripts.user("revoke", user_id, device_id=device_id, user_kept_ms=self._kept_ms)
        with redis_errors():
            await self._redis.incr(REVOCATIONS)
        return int(reply["ended"])

    async def revocations(self) -> str:
        """Another text after each revocation."""
        with redis_errors():
            return str(await self._redis.get(REVOCATIONS))

    async def check(self, user_id: str, issued_ms: int | None, device_ids: Sequence[str] = ()) -> None:
        """Raise SignedOut for a token that all of the user's devices are refused with, or one of `device_ids`."""
        with redis_errors():
            marks = await self._redis.hmget(user_signed_out(user_id), [ALL_DEVICES, *device_ids])
        for mark in marks:
            since, _, by = str(mark or "0 null").partition(" ")
            if mark is not None and (issued_ms is None or issued_ms <= int(since)):
                raise SignedOut(json.loads(by))
