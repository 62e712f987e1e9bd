"""`POST /api/device`: a device signs in with a code that another one of its user has made."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from sio_server.gateway.http.guest import GuestTokens, private, read_body
from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.limits import GUEST_HANDSHAKES
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.protocol.events import DeviceName, LinkCode
from sio_server.users.device_links import DeviceLinks


class DeviceRequest(BaseModel):
    """The body: the code, and what the device is called."""

    model_config = ConfigDict(strict=True, extra="forbid")

    code: LinkCode
    device_name: DeviceName | None = None


class DeviceRoutes:
    """`POST /api/device`."""

    def __init__(
        self,
        links: DeviceLinks,
        guests: GuestTokens,
        request_limits: RequestLimits,
        origins: AllowedOrigins,
        *,
        token_ttl_s: int,
        now: Callable[[], float],
    ) -> None:
        """`now` returns the time in seconds since 1970."""
        self._links = links
        self._guests = guests
        self._request_limits = request_limits
        self._origins = origins
        self._token_ttl_s = token_ttl_s
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """The route."""
        return [web.post("/api/device", self._sign_in)]

    async def _sign_in(self, request: web.Request) -> web.Response:
        """Issue a token of the code's user: `{user_id, name, token, expires_in, device_id}`."""
        self._origins.check(request)
        self._request_limits.count(request, GUEST_HANDSHAKES)
        asked = await read_body(request, DeviceRequest)
        device_id = f"d-{secrets.token_hex(8)}"
        user_id, link = await self._links.take(asked.code, device_id, asked.device_name or "")
        if link.is_guest:
            return self._guests.answer(request, user_id, link.name, [device_id], device_id=device_id)
        # The issuer has said how long the user may be here: not longer on another device.
        ttl_s = max(0, min(self._token_ttl_s, int(link.expires_at - self._now())))
        token = self._guests.tokens.issue(user_id, link.name, ttl_s, more=link.claims)
        answer = {"user_id": user_id, "name": link.name, "token": token, "expires_in": ttl_s}
        return private({**answer, "device_id": device_id})
