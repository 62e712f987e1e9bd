"""The Engine.IO server of the direct transport: its sockets are our connections."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sio_server.gateway.transport.engine import Engine, refusal
from sio_server.protocol.errors import Unavailable


class DirectEngine(Engine):
    """The engine. Openings in order are taken before aiohttp sees them: it answers those that are refused."""

    async def serve_opening(self, request: web.Request) -> Any:
        """Refuse an opening that was in the way of another request, or for which there was no room just now."""
        return refusal(Unavailable("this opening could not be served: open another connection"), 503)
