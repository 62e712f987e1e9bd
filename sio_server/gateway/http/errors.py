"""Errors over HTTP: JSON `{ok: false, error}` with the status that fits the code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sio_server.protocol.errors import ErrorCode, RateLimited, Refused, RoomgraphError, Unavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS = {
    ErrorCode.TOKEN_MISSING: 401,
    ErrorCode.TOKEN_INVALID: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.TOKEN_REVOKED: 401,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.UNKNOWN_CONVERSATION: 404,
    ErrorCode.UNKNOWN_INTERRUPT: 404,
    ErrorCode.CONVERSATION_EXISTS: 409,
    ErrorCode.OUT_OF_ORDER: 409,
    ErrorCode.RUN_IN_PROGRESS: 409,
    ErrorCode.NOT_LATEST: 409,
    ErrorCode.ALREADY_RESOLVED: 409,
    ErrorCode.REQUEST_ID_REUSED: 422,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.NOT_A_MEMBER: 403,
    ErrorCode.QUOTA_EXCEEDED: 403,
    ErrorCode.HOST_NOT_ALLOWED: 403,
    ErrorCode.ORIGIN_NOT_ALLOWED: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.TOO_MANY_CONNECTIONS: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
}


# What the HTTP library refuses by itself; its other refusals are those of a wrong request.
_REFUSALS = {
    404: (ErrorCode.NOT_FOUND, "there is nothing under this path"),
    405: (ErrorCode.METHOD_NOT_ALLOWED, "this path is served to other methods"),
    408: (ErrorCode.INVALID_PAYLOAD, "the body did not come in time"),
    413: (ErrorCode.PAYLOAD_TOO_LARGE, "the body is too large"),
}


def status_of(error: RoomgraphError) -> int:
    """The status that fits the code of an error."""
    return _STATUS.get(ErrorCode(error.code), 400)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a RoomgraphError that a handler raises, and what the HTTP library refuses."""
    try:
        return await handler(request)
    except RoomgraphError as exc:
        later = {"Retry-After": str(-(-exc.retry_after_ms // 1000))} if isinstance(exc, RateLimited) else None
        return web.json_response({"ok": False, "error": exc.to_wire()}, status=status_of(exc), headers=later)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        allow = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else None
        return web.json_response(failure(exc.status), status=exc.status, headers=allow)


def failure(status: int) -> dict[str, Any]:
    """The body of an answer for which there is a status only."""
    if status >= 500:
        error: RoomgraphError = Unavailable("the server made a mistake; try again", ErrorCode.INTERNAL)
    else:
        error = Refused(*_REFUSALS.get(status, (ErrorCode.INVALID_PAYLOAD, "the request is not understood")))
    return {"ok": False, "error": error.to_wire()}
