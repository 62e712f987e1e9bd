"""What a node serves over HTTP: health, metrics, guests' tokens, the cluster's status and the chat page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from sio_server.gateway.auth import Tokens, guest_user_id
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.namespace import explain
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable

# In a wheel the page lies inside the package, in a clone beside it.
_PACKAGE = Path(__file__).resolve().parents[1]
WEB = _PACKAGE / "web" if (_PACKAGE / "web").is_dir() else _PACKAGE.parent / "web"
SOCKET_IO_CLIENT = WEB / "node_modules" / "socket.io-client" / "dist" / "socket.io.esm.min.js"
MAX_BODY_BYTES = 16 * 1024

_STATUS = {
    ErrorCode.TOKEN_MISSING: 401,
    ErrorCode.TOKEN_INVALID: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.TOKEN_REVOKED: 401,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
}


class GuestRequest(BaseModel):
    """The body of `POST /api/guest`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors of ours as JSON `{ok: false, error}`, with the HTTP status that fits."""
    try:
        return await handler(request)
    except RoomgraphError as exc:
        status = _STATUS.get(ErrorCode(exc.code), 400)
        return web.json_response({"ok": False, "error": exc.to_wire()}, status=status)


class HttpApi:
    """The routes of a node."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        guests: bool,
        token_ttl_s: int,
        metrics: Metrics,
        node_name: str,
        serving: Callable[[], bool],
        redis_reachable: Callable[[], bool],
        bus_heard: Callable[[], bool],
        status: Callable[[], Awaitable[dict[str, Any]]],
        page_origins: tuple[str, ...],
    ) -> None:
        self._tokens = tokens
        self._guests = guests
        self._token_ttl_s = token_ttl_s
        self._metrics = metrics
        self._node_name = node_name
        self._serving = serving
        self._redis_reachable = redis_reachable
        self._bus_heard = bus_heard
        self._status = status
        # The page may move to another node of the list when its own is gone.
        others = [origin.replace("http", "ws", 1) for origin in page_origins] + list(page_origins)
        self._policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' ws: {' '.join(others)}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        )

    def application(self) -> web.Application:
        """The aiohttp application, to which the Socket.IO server is attached."""
        app = web.Application(middlewares=[_errors], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/ready", self._ready),
                web.get("/metrics", self._prometheus),
                web.post("/api/guest", self._guest),
                web.get("/api/status", self._cluster_status),
                web.get("/", self._page),
                web.get("/vendor/socket.io.esm.min.js", self._socket_io_client),
            ]
        )
        for folder in ("js", "css"):
            app.router.add_static(f"/{folder}/", WEB / folder)
        app.on_response_prepare.append(self._secure)
        return app

    async def _secure(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault("Content-Security-Policy", self._policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"ok": True, "node": self._node_name})

    async def _ready(self, request: web.Request) -> web.Response:
        """200 when clients may be sent here: Redis answers, the node hears itself on the bus, and it stays."""
        redis, bus = self._redis_reachable(), self._bus_heard()
        ready = redis and bus and self._serving()
        body = {"ready": ready, "node": self._node_name, "redis": redis, "bus": bus}
        return web.json_response(body, status=200 if ready else 503)

    async def _prometheus(self, request: web.Request) -> web.Response:
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _guest(self, request: web.Request) -> web.Response:
        """Hand a name a token: `{user_id, name, token, expires_in}`."""
        if not self._guests:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server takes no guests: AUTH_MODE is not guest")
        try:
            body = await request.text()
            guest = GuestRequest.model_validate_json(body)
        except ValidationError as exc:
            raise explain(exc) from None
        except (ValueError, LookupError):  # not UTF-8, or a charset that does not exist
            raise Refused(ErrorCode.INVALID_PAYLOAD, "the body is not text in UTF-8") from None
        user_id = guest_user_id(guest.name)
        token = self._tokens.issue(user_id, guest.name, self._token_ttl_s)
        answer = {"user_id": user_id, "name": guest.name, "token": token, "expires_in": self._token_ttl_s}
        return web.json_response(answer)

    async def _cluster_status(self, request: web.Request) -> web.Response:
        """The cluster's figures, for anyone who has a token (`Authorization: Bearer ...`)."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: send it as `Authorization: Bearer ...`")
        self._tokens.check(token.strip())
        return web.json_response(await self._status())

    async def _page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})

    async def _socket_io_client(self, request: web.Request) -> web.FileResponse:
        if not SOCKET_IO_CLIENT.is_file():
            raise Unavailable("socket.io-client is not installed: run `npm ci` in web/")
        return web.FileResponse(SOCKET_IO_CLIENT)
