"""The handshake: which user connects, from which address, and whether there is room."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.authentication import Authentication
from sio_server.gateway.sessions.limits import Limits
from sio_server.gateway.sessions.refusals import HandshakeRefusals
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import HandshakeAuth
from sio_server.protocol.names import AgentNames
from sio_server.protocol.validation import explain
from sio_server.store.clock import iso_time
from sio_server.tasks import is_being_cancelled


class Handshakes:
    """Checks handshakes and begins sessions."""

    def __init__(
        self,
        authentication: Authentication,
        sessions: Sessions,
        limits: Limits,
        *,
        agents: AgentNames,
        trusted_proxies: int,
        admit: Callable[[], None],
        settle: Callable[[str, str], Awaitable[None]],
        now: Callable[[], float],
        on_refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        """`admit` raises Unavailable while this node takes no sessions. `now` returns the time by Redis' clock.

        `settle(user_id, device_id)` waits until Redis knows what this node knows of the device's last session.
        A user whose token has the name of one of `agents` is shown with the user id. `on_refused` is called with
        the code of each refusal.
        """
        self._authentication = authentication
        self._sessions = sessions
        self._limits = limits
        self._agents = agents
        self._trusted_proxies = trusted_proxies
        self._admit = admit
        self._settle = settle
        self._now = now
        self._refusals = HandshakeRefusals()
        self._on_refused = on_refused

    async def open(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        """Begin the session `sid`. Raises RoomgraphError, whatever goes wrong, and then there is none."""
        try:
            self._admit()
            await self._open(sid, environ, auth)
        except RoomgraphError as exc:
            self._on_refused(exc.code)
            self._refusals.add(exc, time.monotonic())
            raise
        except BaseException as exc:
            if is_being_cancelled():
                raise
            error = Unavailable("the server made a mistake; try again", ErrorCode.INTERNAL)
            self._on_refused(error.code)
            self._refusals.add(error, time.monotonic(), cause=exc)
            raise error from None

    async def _open(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        request = environ["aiohttp.request"]
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        address = client_address(request.remote, forwarded_for, self._trusted_proxies)
        self._limits.spend_address(address)
        if auth is None and not self._authentication.needs_token:
            auth = {}
        if isinstance(auth, dict) and not self._authentication.needs_token:
            auth = {"token": "", **auth}
        elif not isinstance(auth, dict) or not auth.get("token"):
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: put one into the handshake's auth as `token`")
        try:
            handshake = HandshakeAuth.model_validate(auth)
        except ValidationError as exc:
            raise explain(exc) from None
        identity = await self._authentication.identify(handshake.token, request.headers)
        self._limits.spend_handshake(identity.user_id)
        session = Session(
            sid=sid,
            user_id=identity.user_id,
            name=identity.user_id if self._agents.include(identity.name) else identity.name,
            device_id=handshake.device_id or f"d-{secrets.token_hex(8)}",
            device_name=handshake.device_name,
            issued_ms=identity.issued_ms,
            expires_at=identity.expires_at,
            since=iso_time(self._now(), "seconds"),
            address=address,
            claims=identity.claims,
            is_guest=identity.guest_device is not None,
            is_operator=identity.is_operator,
        )
        await self._settle(identity.user_id, session.device_id)
        await self._sessions.open(session)
