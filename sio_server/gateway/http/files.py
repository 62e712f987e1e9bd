"""Uploads and downloads of files."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import quote

from aiohttp import ClientConnectionError, ClientPayloadError, web

from sio_server.files.files import Files
from sio_server.files.links import FileLinks
from sio_server.files.sniffing import IMAGES
from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.authentication import Authentication
from sio_server.gateway.sessions.limits import Limits
from sio_server.gateway.transport.http_connections import abort_connection, streams_body, uncounted
from sio_server.protocol.errors import ErrorCode, RateLimited, Refused, RoomgraphError
from sio_server.protocol.events import ID_PATTERN
from sio_server.users.sign_out import RefusedTokens

READ_BYTES = 64 * 1024
STEP_S = 10.0  # for the next bytes to come, or to be taken
UPLOAD_S = 280.0  # for all of them
MAX_UPLOADS = 16  # of a node at once; each may take about 12 MB of memory
MAX_DOWNLOADS = 64
CACHED_S = 300  # by the browser of a member only
# Whatever it is, a browser that opens it executes nothing of it on this origin.
POLICY = "default-src 'none'; sandbox"


class FileRoutes:
    """`POST /api/conversations/{id}/files` and `GET /api/files/{id}`."""

    def __init__(
        self,
        files: Files | None,
        links: FileLinks,
        authentication: Authentication,
        refused_tokens: RefusedTokens,
        request_limits: RequestLimits,
        limits: Limits,
        on_moved: Callable[[str, int], None] = lambda way, size: None,
    ) -> None:
        """`files` None: this server takes no files. `on_moved` is called with "up" or "down", and the bytes."""
        self._files = files
        self._links = links
        self._authentication = authentication
        self._refused_tokens = refused_tokens
        self._request_limits = request_limits
        self._limits = limits
        self._on_moved = on_moved
        self._running = {"up": 0, "down": 0}

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.post("/api/conversations/{conversation_id}/files", self._upload),
            web.get("/api/files/{file_id}", self._download),
        ]

    @streams_body
    async def _upload(self, request: web.Request) -> web.Response:
        """Store the body as a file: `{file_id, name, mime_type, size}`, of images with `width` and `height`."""
        files = self._on()
        user_id = await self._user_of(request)
        self._limits.spend_upload(user_id)
        conversation_id = _id(request.match_info["conversation_id"], ErrorCode.UNKNOWN_CONVERSATION)
        if (request.content_length or 0) > files.max_bytes:
            raise Refused(ErrorCode.PAYLOAD_TOO_LARGE, f"a file has at most {files.max_bytes / 1e6:.4g} MB here")
        with self._counted("up", MAX_UPLOADS), uncounted(request):
            try:
                async with asyncio.timeout(UPLOAD_S):
                    about = await files.upload(
                        conversation_id, user_id, request.query.get("name", ""), _body(request)
                    )
            except (TimeoutError, ClientPayloadError, ClientConnectionError):
                raise web.HTTPRequestTimeout(text="the body did not come") from None
        self._on_moved("up", about["size"])
        return web.json_response({"ok": True, **about}, status=201)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """The bytes, for members: by a token, or by an address that `file:link` has made."""
        files = self._on()
        file_id = _id(request.match_info["file_id"], ErrorCode.NOT_FOUND)
        conversation_id = _id(request.query.get("conversation_id", ""), ErrorCode.UNKNOWN_CONVERSATION)
        if "signature" in request.query:
            self._request_limits.count(request)
            user_id = request.query.get("user_id", "")
            signed = request.query.get("expires", ""), request.query["signature"]
            if not self._links.holds(conversation_id, file_id, user_id, *signed):
                raise Refused(ErrorCode.TOKEN_EXPIRED, "this address has expired, or was not made here")
        else:
            user_id = await self._user_of(request)
        about = await files.about(conversation_id, user_id, file_id)
        chunks = files.stream(conversation_id, file_id)
        with self._counted("down", MAX_DOWNLOADS):
            try:
                first = await anext(chunks, b"")
            except FileNotFoundError:
                raise Refused(ErrorCode.NOT_FOUND, "the bytes of this file are lost") from None
            response = web.StreamResponse(headers=_headers(about["name"], about["mime_type"]))
            response.content_length = about["size"]
            with uncounted(request):
                try:
                    await response.prepare(request)
                    if request.method != "HEAD":
                        await _write(response, first)
                        async for chunk in chunks:
                            await _write(response, chunk)
                        await response.write_eof()
                        self._on_moved("down", about["size"])
                except (RoomgraphError, ClientConnectionError, OSError, TimeoutError):
                    abort_connection(request.transport)  # half of a file is none
        return response

    def _on(self) -> Files:
        if self._files is None:
            raise Refused(ErrorCode.NOT_SUPPORTED, "this server takes no files: FILES_URL is empty")
        return self._files

    async def _user_of(self, request: web.Request) -> str:
        self._request_limits.count(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(ErrorCode.TOKEN_MISSING, "no token: send it as `Authorization: Bearer ...`")
        identity = await self._authentication.identify(token.strip(), request.headers)
        await self._refused_tokens.check(identity.user_id, identity.issued_ms)
        return identity.user_id

    @contextlib.contextmanager
    def _counted(self, way: str, limit: int) -> Iterator[None]:
        if self._running[way] >= limit:
            raise RateLimited("this node moves as many files as it may at once: try again in 1000 ms", 1000)
        self._running[way] += 1
        try:
            yield
        finally:
            self._running[way] -= 1


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(STEP_S):
            chunk = await request.content.read(READ_BYTES)
        if not chunk:
            return
        yield chunk


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(STEP_S):
        await response.write(chunk)


def _id(text: str, code: ErrorCode) -> str:
    if not re.fullmatch(ID_PATTERN, text):
        raise Refused(code, "there is nothing of this id")
    return text


def _headers(name: str, mime_type: str) -> dict[str, str]:
    """Images of four types are shown in a page; everything else is saved, whatever the browser makes of it."""
    shown = mime_type in IMAGES
    return {
        "Content-Type": f"{mime_type}; charset=utf-8" if mime_type == "text/plain" else mime_type,
        "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": f"private, max-age={CACHED_S}",
    }
