"""What a node serves over HTTP: health, metrics, guests' tokens, the status, the chat page and the stage."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from aiohttp import ClientConnectionError, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.auth import Tokens, guest_user_id
from sio_server.gateway.sessions.limits import GUEST_HANDSHAKES, Limits
from sio_server.protocol.errors import ErrorCode, RateLimited, Refused, RoomgraphError, Unavailable
from sio_server.protocol.validation import explain
from sio_server.trace.contract import HELLO, opens
from sio_server.trace.feed import TraceFeed
from sio_server.users.devices import Devices

# In a wheel the page lies inside the package, in a clone beside it.
_PACKAGE = Path(__file__).resolve().parents[2]
WEB = _PACKAGE / "web" if (_PACKAGE / "web").is_dir() else _PACKAGE.parent / "web"
# The modules that come from npm, by the name they are served as under /vendor/; nothing else of theirs is served.
VENDORED = {
    "socket.io.esm.min.js": "socket.io-client/dist/socket.io.esm.min.js",
    "marked.esm.js": "marked/lib/marked.esm.js",
}
FOLDERS = ("js", "css", "words")
MAX_BODY_BYTES = 16 * 1024
READ_TIMEOUT_S = 10.0  # a reader of the trace that takes nothing for so long is dropped
TRACE_PATH = "/api/trace"
# A Host header that may be named in a policy; a stranger's could hold anything.
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
# The stage's frames connect through the local cluster's proxies, and to its controller.
_STAGE_HOSTS = "http://127.0.0.1:* ws://127.0.0.1:*"

_STATUS = {
    ErrorCode.TOKEN_MISSING: 401,
    ErrorCode.TOKEN_INVALID: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.TOKEN_REVOKED: 401,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.RATE_LIMITED: 429,
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
        later = {"Retry-After": str(-(-exc.retry_after_ms // 1000))} if isinstance(exc, RateLimited) else None
        return web.json_response({"ok": False, "error": exc.to_wire()}, status=status, headers=later)


@dataclass(frozen=True)
class Stage:
    """What a node with a stage knows of it."""

    key: str
    control: str | None  # address of the local cluster's controller
    nodes: tuple[str, ...]
    feed: TraceFeed


class HttpApi:
    """The routes of a node."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        devices: Devices,
        limits: Limits,
        trusted_proxies: int,
        guests: bool,
        token_ttl_s: int,
        metrics: Metrics,
        node_name: str,
        readiness: Callable[[], dict[str, Any]],
        status: Callable[[], Awaitable[dict[str, Any]]],
        page_origins: tuple[str, ...],
        node_urls: tuple[str, ...] = (),
        stage: Stage | None = None,
    ) -> None:
        self._tokens = tokens
        self._devices = devices
        self._limits = limits
        self._trusted_proxies = trusted_proxies
        self._guests = guests
        self._token_ttl_s = token_ttl_s
        self._metrics = metrics
        self._node_name = node_name
        self._readiness = readiness
        self._status = status
        self._page_origins = page_origins
        self._stage = stage
        # The page may move to another node of the list when its own is gone.
        others = dict.fromkeys((*page_origins, *node_urls))
        connect = [*others, *(origin.replace("http", "ws", 1) for origin in others)]
        if stage is not None:
            connect.append(_STAGE_HOSTS)
        frames = "frame-src 'self'; " if stage is not None else ""
        self._connect = " ".join(connect)
        self._policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; {frames}"
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
                web.get("/vendor/{name}", self._vendored),
            ]
        )
        if self._stage is not None:
            app.add_routes(
                [
                    web.get("/stage", self._stage_page),
                    web.get(TRACE_PATH, self._trace),
                    web.options(TRACE_PATH, self._before_trace),
                ]
            )
        for folder in FOLDERS:
            if (WEB / folder).is_dir():
                app.router.add_static(f"/{folder}/", WEB / folder)
        app.on_response_prepare.append(self._secure)
        return app

    async def _secure(self, request: web.Request, response: web.StreamResponse) -> None:
        # 'self' does not cover websockets in every browser, so the own host is named as well.
        own = f"ws://{request.host} wss://{request.host}" if _HOST.fullmatch(request.host) else ""
        policy = f"{self._policy}; connect-src 'self' {own} {self._connect}"
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        # Ask again whether it has changed: modules of two versions do not go together.
        response.headers.setdefault("Cache-Control", "no-cache")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        if request.path == TRACE_PATH:
            response.headers["Vary"] = "Origin"
            if request.headers.get("Origin") in self._page_origins:
                response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"ok": True, "node": self._node_name})

    async def _ready(self, request: web.Request) -> web.Response:
        """200 when clients may be sent here: Redis answers, the node hears itself on the bus, and it stays."""
        body = self._readiness()
        return web.json_response(body, status=200 if body["ready"] else 503)

    async def _prometheus(self, request: web.Request) -> web.Response:
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _guest(self, request: web.Request) -> web.Response:
        """Hand a name a token: `{user_id, name, token, expires_in}`."""
        if not self._guests:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server takes no guests: AUTH_MODE is not guest")
        self._count(request, GUEST_HANDSHAKES)
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
        self._count(request)
        identity = self._tokens.check(token.strip())
        await self._devices.check(identity.user_id, identity.issued_ms)
        return web.json_response(await self._status())

    def _count(self, request: web.Request, cost: int = 1) -> None:
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        self._limits.spend_address(client_address(request.remote, forwarded_for, self._trusted_proxies), cost)

    async def _page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / "index.html")

    async def _vendored(self, request: web.Request) -> web.FileResponse:
        """A module from npm, of those that are listed."""
        path = VENDORED.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        if not (WEB / "node_modules" / path).is_file():
            raise Unavailable(f"{path.partition('/')[0]} is not installed: run `npm ci` in web/")
        return web.FileResponse(WEB / "node_modules" / path)

    # The stage; without a key there are no such routes

    async def _stage_page(self, request: web.Request) -> web.FileResponse:
        if not (WEB / "stage.html").is_file():
            raise web.HTTPNotFound
        return web.FileResponse(WEB / "stage.html")

    async def _before_trace(self, request: web.Request) -> web.Response:
        """What a browser asks before a page of another node may read the trace."""
        allowed = {"Access-Control-Allow-Methods": "GET", "Access-Control-Allow-Headers": "Authorization"}
        return web.Response(status=204, headers=allowed)

    async def _trace(self, request: web.Request) -> web.StreamResponse:
        """The trace events of all nodes, one JSON object a line, until the reader leaves or the node stops."""
        stage = self._stage
        assert stage is not None
        authorization = request.headers.get("Authorization")
        if authorization is None:
            raise Refused(ErrorCode.TOKEN_MISSING, "no key: send the stage's as `Authorization: Bearer ...`")
        if not opens(stage.key, authorization):
            raise Refused(ErrorCode.TOKEN_INVALID, "this is not the stage's key")
        hello = {"kind": HELLO, "node": self._node_name, "control": stage.control, "nodes": list(stage.nodes)}
        response = web.StreamResponse(
            headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}
        )

        def drop() -> None:
            if request.transport is not None:
                request.transport.abort()

        # Before the answer begins: what happens after the reader has it, the reader hears.
        with stage.feed.reading(drop) as reader:
            await response.prepare(request)
            lines = json.dumps(hello).encode() + b"\n"
            try:
                while lines:
                    async with asyncio.timeout(READ_TIMEOUT_S):
                        await response.write(lines)
                    lines = await reader.next()
                await response.write_eof()
            except (ClientConnectionError, OSError, TimeoutError):  # it has left, or does not read
                drop()
        return response
