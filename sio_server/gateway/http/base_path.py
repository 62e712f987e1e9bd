"""The path below which a node serves everything: the page, the API, the sockets, health and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from aiohttp import web

from sio_server.gateway.http.errors import Handler
from sio_server.gateway.http.hosts import UNCHECKED_PATHS
from sio_server.gateway.transport.engine import PATH
from sio_server.gateway.transport.refusal_log import RefusalLog
from sio_server.protocol.errors import ErrorCode, Refused

log = logging.getLogger(__name__)

# A client that asks for one of these means this server; others try any path.
OURS = frozenset({"/", PATH, *UNCHECKED_PATHS})


class BasePath:
    """Puts routes below BASE_PATH, and tells requests outside of it where this node is."""

    def __init__(self, path: str) -> None:
        """`path`: such as /chat; "": everything is served from / on."""
        self._path = path
        self._refusals = RefusalLog(
            log,
            f"a request for %s was refused, since this node serves below BASE_PATH={path}: let the proxy pass "
            "paths as they are, or unset BASE_PATH where it removes them",
        )

    def below(self, routes: Iterable[web.AbstractRouteDef]) -> Iterator[web.AbstractRouteDef]:
        """The same routes, below the path."""
        for route in routes:
            if isinstance(route, web.RouteDef):
                yield web.RouteDef(route.method, self._path + route.path, route.handler, route.kwargs)
            elif isinstance(route, web.StaticDef):
                yield web.StaticDef(self._path + route.prefix, route.path, route.kwargs)
            else:
                raise TypeError(f"a route of a kind that cannot be moved: {route!r}")

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request outside of the path; the path itself, without its /, leads to the page."""
        if not self._path or request.path.startswith(f"{self._path}/"):
            return await handler(request)
        if request.path == self._path:
            # The page names its files relative to its address.
            query = request.rel_url.raw_query_string
            raise web.HTTPTemporaryRedirect(f"{self._path}/{query and '?'}{query}")
        if request.path in OURS:
            self._refusals.warn(request.path)
        raise Refused(ErrorCode.NOT_FOUND, f"this server is reached below {self._path}/ (BASE_PATH)")
