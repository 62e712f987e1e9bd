"""Errors over HTTP: JSON `{ok: false, error}` with the status that fits the code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sio_server.protocol.errors import ErrorCode, RateLimited, RoomgraphError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS = {
    ErrorCode.TOKEN_MISSING: 401,
    ErrorCode.TOKEN_INVALID: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.TOKEN_REVOKED: 401,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.HOST_NOT_ALLOWED: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
}


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a RoomgraphError that a handler raises."""
    try:
        return await handler(request)
    except RoomgraphError as exc:
        status = _STATUS.get(ErrorCode(exc.code), 400)
        later = {"Retry-After": str(-(-exc.retry_after_ms // 1000))} if isinstance(exc, RateLimited) else None
        return web.json_response({"ok": False, "error": exc.to_wire()}, status=status, headers=later)
