"""Connections that do not say what they want: bounded time for a request's header and for its body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

HEADER_S = 5.0  # from the connection to the end of its first request's header
BODY_S = 5.0
IDLE_S = 75  # between two requests of one connection; more than browsers and proxies keep one
LINGER_S = 1.0  # for the rest of a body that is not wanted
WATCH_S = 0.5


class Strangers:
    """Closes the connections of an HTTP server that have not made a whole request in time."""

    def __init__(self) -> None:
        self._known: set[RequestHandler] = set()

    @web.middleware
    async def greet(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """A whole header has come: take the body as well, where there is one."""
        self._known.add(request.protocol)
        if request.can_read_body:
            try:
                async with asyncio.timeout(BODY_S):
                    await request.read()
            except TimeoutError:
                raise web.HTTPRequestTimeout(text="the body did not come") from None
        return await handler(request)

    async def watch(self, server: web.Server) -> None:
        """Look again and again, for ever."""
        loop = asyncio.get_running_loop()
        since: dict[RequestHandler, float] = {}
        while True:
            await asyncio.sleep(WATCH_S)
            now = loop.time()
            connections = set(server.connections)
            self._known &= connections
            since = {connection: since.get(connection, now) for connection in connections - self._known}
            for connection, first_seen in since.items():
                if now - first_seen >= HEADER_S - WATCH_S:
                    connection.force_close()
