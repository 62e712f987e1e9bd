"""The cluster's figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.auth import Tokens
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.users.sign_out import RefusedTokens


class StatusRoutes:
    """`GET /api/status`, for every client with a token."""

    def __init__(
        self,
        tokens: Tokens,
        refused_tokens: RefusedTokens,
        request_limits: RequestLimits,
        read_status: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._tokens = tokens
        self._refused_tokens = refused_tokens
        self._request_limits = request_limits
        self._read_status = read_status

    def routes(self) -> list[web.RouteDef]:
        """The route."""
        return [web.get("/api/status", self._status)]

    async def _status(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: send it as `Authorization: Bearer ...`")
        self._request_limits.count(request)
        identity = self._tokens.check(token.strip())
        await self._refused_tokens.check(identity.user_id, identity.issued_ms)
        return web.json_response(await self._read_status())
