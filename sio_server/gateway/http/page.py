"""The chat page: its routes, and the policy under which browsers show it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from sio_server.gateway.http.assets import ASK_AGAIN, FOLDERS, FOR_EVER, MANIFEST, VENDORED, WORKER, Assets
from sio_server.protocol.errors import Unavailable

# A Host header that may be named in a policy; others could hold anything.
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_IMAGES = "img-src 'self' data: https: http:"  # a graph's answers have images, which are shown by their addresses
# The stage's frames connect through the local cluster's proxies, and to its controller.
_STAGE_HOSTS = "http://127.0.0.1:* ws://127.0.0.1:*"


class PageRoutes:
    """`GET /` and the page's files."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes: a page of this version asks for all of its files below its hash."""
        folders = "|".join((*FOLDERS, "vendor"))
        return [
            web.get("/", self._page),
            web.get(f"/{WORKER}", self._worker),
            web.get(f"/{MANIFEST}", self._manifest),
            web.get("/assets/{hash}/{path:.+}", self._asset),
            web.get(f"/{{path:(?:{folders})/.+}}", self._asset),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        return page_response(request, self._assets, "index.html")

    async def _worker(self, request: web.Request) -> web.Response:
        return self._assets.current().worker.response(request, ASK_AGAIN)

    async def _manifest(self, request: web.Request) -> web.Response:
        return self._assets.current().manifest.response(request, ASK_AGAIN)

    async def _asset(self, request: web.Request) -> web.Response:
        """A file of the page. One of another version is not here: this node's is better than none."""
        version, path = self._assets.current(), request.match_info["path"]
        asset = version.files.get(path)
        if asset is None:
            module = VENDORED.get(path.removeprefix("vendor/"))
            if module is None or not path.startswith("vendor/"):
                raise web.HTTPNotFound
            raise Unavailable(f"{module.partition('/')[0]} is not installed: run `npm ci` in web/")
        named = request.match_info.get("hash")
        return asset.response(request, FOR_EVER if named == version.hash else ASK_AGAIN)


def page_response(request: web.Request, assets: Assets, name: str) -> web.Response:
    """A page of the root folder. Raises HTTPNotFound."""
    page = assets.current().page(name)
    if page is None:
        raise web.HTTPNotFound
    return page.response(request, ASK_AGAIN)


class PagePolicy:
    """The security headers of every answer: a page connects to its own node and to those that are listed."""

    def __init__(self, origins: Iterable[str], assets: Assets, *, stage: bool) -> None:
        """`assets`: whose import map pages hold. `origins`: where the page may connect besides.

        It moves to another node when its own is gone. Of an address with a path its origin counts.
        """
        origins = list(dict.fromkeys("/".join(origin.split("/", 3)[:3]) for origin in origins))
        connect = [*origins, *(origin.replace("http", "ws", 1) for origin in origins)]
        if stage:
            connect.append(_STAGE_HOSTS)
        frames = "frame-src 'self'; " if stage else ""
        self._assets = assets
        self._connect = " ".join(connect)
        self._policy = (
            f"default-src 'none'; style-src 'self'; manifest-src 'self'; {_IMAGES}; {frames}"
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        )

    async def apply(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers to an answer, unless it has its own."""
        # 'self' does not cover websockets in every browser, so the own host is named as well.
        own = f"ws://{request.host} wss://{request.host}" if _HOST.fullmatch(request.host) else ""
        script = f"script-src 'self' {self._assets.version.script_source}"
        policy = f"{self._policy}; {script}; connect-src 'self' {own} {self._connect}"
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        # Ask again whether it has changed: modules of two versions do not go together.
        response.headers.setdefault("Cache-Control", "no-cache")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
