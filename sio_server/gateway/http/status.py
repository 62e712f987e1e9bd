"""The cluster's figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.authentication import Authentication
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.users.sign_out import RefusedTokens


class StatusRoutes:
    """`GET /api/status`, also as `/api/v1/status`: for services and operators, or `for_everybody` with a token."""

    def __init__(
        self,
        authentication: Authentication,
        refused_tokens: RefusedTokens,
        request_limits: RequestLimits,
        read_status: Callable[[], Awaitable[dict[str, Any]]],
        *,
        for_everybody: bool = False,
        is_service: Callable[[str], bool] = lambda key: False,
    ) -> None:
        """`is_service(key)`: whether a service has this key, within its own limit; raises RateLimited."""
        self._authentication = authentication
        self._for_everybody = for_everybody
        self._refused_tokens = refused_tokens
        self._request_limits = request_limits
        self._read_status = read_status
        self._is_service = is_service

    def routes(self) -> list[web.RouteDef]:
        """The routes, of which the second is that of backends."""
        return [web.get("/api/status", self._status), web.get("/api/v1/status", self._status)]

    async def _status(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: send it as `Authorization: Bearer ...`")
        if self._is_service(token.strip()):
            return web.json_response(await self._read_status())
        self._request_limits.count(request)
        identity = await self._authentication.identify(token.strip(), request.headers)
        await self._refused_tokens.check(identity.user_id, identity.issued_ms)
        if not (identity.is_operator or self._for_everybody):
            raise Refused(ErrorCode.NOT_ALLOWED, "only operators may ask for this: see OPERATOR_CLAIM")
        return web.json_response(await self._read_status())
