"""Which pages of other origins may read the answers of `/api/*`: those of ALLOWED_ORIGINS."""

from __future__ import annotations

from aiohttp import hdrs, web

from sio_server.gateway.http.errors import Handler
from sio_server.gateway.transport.origins import AllowedOrigins

API = "/api/"  # below BASE_PATH
GUESTS = "/api/guest"  # below BASE_PATH: what a browser may be remembered at
PREFLIGHT_S = "600"  # so long a browser remembers the answer


class Cors:
    """Answers what browsers ask before a request (preflights), and marks answers that a page may read."""

    def __init__(self, origins: AllowedOrigins, base_path: str = "") -> None:
        self._origins = origins
        self._api = base_path + API
        self._guests = base_path + GUESTS

    @web.middleware
    async def answer_preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a preflight, whatever the origin: without the mark of `allow` the browser goes no further."""
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method != hdrs.METH_OPTIONS or not asked or not request.path.startswith(self._api):
            return await handler(request)
        allowed = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type",
            hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_S,
        }
        return web.Response(status=204, headers=allowed)

    async def allow(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a page of a listed origin read the answer, errors included."""
        if request.path.startswith(self._api):
            response.headers[hdrs.VARY] = "Origin"
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is not None and self._origins.is_listed(origin):
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Retry-After"
                if request.path.startswith(self._guests) and self._origins.is_named(origin):
                    # A page whose own node is gone asks another one of the same host.
                    response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
