"""The handshake: who connects, from where, and whether there is room."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import ValidationError

from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.limits import Limits
from sio_server.gateway.sessions.registry import Session, Sessions
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import HandshakeAuth
from sio_server.protocol.validation import explain


class Handshakes:
    """Checks a handshake and begins the session."""

    def __init__(self, tokens: Tokens, sessions: Sessions, limits: Limits, trusted_proxies: int) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._limits = limits
        self._trusted_proxies = trusted_proxies

    async def open(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        """Begin the session `sid`. Raises RoomgraphError, and then there is none."""
        request = environ["aiohttp.request"]
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        address = client_address(request.remote, forwarded_for, self._trusted_proxies)
        self._limits.spend_address(address)
        if not isinstance(auth, dict) or not auth.get("token"):
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: put one into the handshake's auth as `token`")
        try:
            handshake = HandshakeAuth.model_validate(auth)
        except ValidationError as exc:
            raise explain(exc) from None
        identity = self._tokens.check(handshake.token)
        self._limits.spend_handshake(identity.user_id)
        session = Session(
            sid=sid,
            user_id=identity.user_id,
            name=identity.name,
            device_id=handshake.device_id or f"d-{secrets.token_hex(8)}",
            device_name=handshake.device_name,
            issued_ms=identity.issued_ms,
            expires_at=identity.expires_at,
            address=address,
        )
        await self._sessions.open(session)
