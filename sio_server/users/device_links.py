"""Codes with which a user's next device signs in: short-lived, for one use, and kept as hashes only."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.store.scripts import Request, Scripts
from sio_server.users.user_steps import UserSteps, check_session

LINK_S = 120  # a code may be used for so long
_CODE_BYTES = 24


@dataclass(frozen=True)
class DeviceLink:
    """What a device gets that signs in with a code."""

    name: str
    expires_at: float  # when the token of the session ends that has made the code, in seconds since 1970
    is_guest: bool
    claims: Mapping[str, Any] = field(default_factory=dict)  # of that token, which graphs are told


class DeviceLinks(UserSteps):
    """Makes codes, withdraws them, and takes each once."""

    def __init__(self, redis: Redis, scripts: Scripts, secret: str) -> None:
        """`secret` makes the codes: a request that is repeated gets the same one, though it is kept nowhere."""
        super().__init__(redis, scripts)
        self._secret = secret.encode()

    async def make(self, session_id: str, by: Author, link: DeviceLink, request: Request) -> str:
        """A code for another device of the user; the same for the same request."""
        name = f"device link {request.user_id} {request.request_id}".encode()
        digest = hmac.new(self._secret, name, "sha256").digest()[:_CODE_BYTES]
        # It names the user, whose keys have a slot of their own.
        code = f"{by.user_id}.{urlsafe_b64encode(digest).decode()}"
        check_session(
            await self._scripts.user(
                "link_device",
                by.user_id,
                request,
                session_id=session_id,
                device_id=by.device_id,
                link_hash=_hash(code),
                link=asdict(link),
                kept_ms=LINK_S * 1000,
            )
        )
        return code

    async def withdraw(self, session_id: str, user_id: str, code: str, request: Request) -> bool:
        """Have a code of the user count no longer; return whether it still did."""
        reply = await self._scripts.user(
            "unlink_device", user_id, request, session_id=session_id, link_hash=_hash(code)
        )
        check_session(reply)
        return bool(int(reply["withdrawn"]))

    async def take(self, code: str, device_id: str, device_name: str) -> tuple[str, DeviceLink]:
        """Use a code for a device with a new id: the user id, and what it gets. Raises Refused (`not_found`)."""
        user_id = code.rpartition(".")[0]
        reply = await self._scripts.user(
            "take_device_link", user_id, link_hash=_hash(code), device_id=device_id, device_name=device_name
        )
        if reply.status != "ok":
            what = "this code was used or withdrawn, or has expired: make another one on that device"
            raise Refused(ErrorCode.NOT_FOUND, what)
        return user_id, DeviceLink(**json.loads(reply["link"]))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
