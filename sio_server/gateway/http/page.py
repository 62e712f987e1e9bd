"""The chat page: its files, and the policy under which browsers show it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from sio_server.protocol.errors import Unavailable

# In a wheel the page lies inside the package, in a clone beside it.
_PACKAGE = Path(__file__).resolve().parents[2]
WEB = _PACKAGE / "web" if (_PACKAGE / "web").is_dir() else _PACKAGE.parent / "web"
# The modules that come from npm, by the name they are served as under /vendor/; nothing else of theirs is served.
VENDORED = {
    "socket.io.esm.min.js": "socket.io-client/dist/socket.io.esm.min.js",
    "marked.esm.js": "marked/lib/marked.esm.js",
    "uqr.js": "uqr/dist/index.mjs",
}
FOLDERS = ("js", "css", "words", "sdk/src")
# A Host header that may be named in a policy; others could hold anything.
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_IMAGES = "img-src 'self' data: https: http:"  # a graph's answers have images, which are shown by their addresses
# The stage's frames connect through the local cluster's proxies, and to its controller.
_STAGE_HOSTS = "http://127.0.0.1:* ws://127.0.0.1:*"


class PageRoutes:
    """`GET /` and the page's files."""

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes; of the folders, those that exist."""
        return [
            web.get("/", self._page),
            web.get("/vendor/{name}", self._vendored),
            *(web.static(f"/{folder}/", WEB / folder) for folder in FOLDERS if (WEB / folder).is_dir()),
        ]

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


class PagePolicy:
    """The security headers of every answer: a page connects to its own node and to those that are listed."""

    def __init__(self, origins: Iterable[str], *, stage: bool) -> None:
        """`origins`: where the page may connect besides; it moves to another node when its own is gone.

        Of an address with a path its origin counts.
        """
        origins = list(dict.fromkeys("/".join(origin.split("/", 3)[:3]) for origin in origins))
        connect = [*origins, *(origin.replace("http", "ws", 1) for origin in origins)]
        if stage:
            connect.append(_STAGE_HOSTS)
        frames = "frame-src 'self'; " if stage else ""
        self._connect = " ".join(connect)
        self._policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; {_IMAGES}; {frames}"
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        )

    async def apply(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers to an answer, unless it has its own."""
        # 'self' does not cover websockets in every browser, so the own host is named as well.
        own = f"ws://{request.host} wss://{request.host}" if _HOST.fullmatch(request.host) else ""
        policy = f"{self._policy}; connect-src 'self' {own} {self._connect}"
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        # Ask again whether it has changed: modules of two versions do not go together.
        response.headers.setdefault("Cache-Control", "no-cache")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
