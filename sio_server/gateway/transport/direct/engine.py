"""The Engine.IO server of the direct transport: its sockets are our connections."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sio_server.gateway.transport.direct.opening import EARLY_BYTES, MAX_HEAD_BYTES
from sio_server.gateway.transport.engine import Engine, refusal
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable

_NOT_TAKEN = (
    "this opening is not served: it must be sent when every earlier request of its connection has been answered, "
    "without a body and without Expect, and with each header of RFC 6455 once; "
    f"it may have {MAX_HEAD_BYTES // 1024} kB, and frames that follow it {EARLY_BYTES // 1024} kB"
)


class DirectEngine(Engine):
    """The engine. Connections that open a websocket are taken over before aiohttp sees them.

    aiohttp gets the openings that were not taken over: those that are refused, and those in a form that is not
    served. The latter would be refused again, so the answer asks for no retry.
    """

    async def serve_opening(self, request: web.Request) -> Any:
        """Refuse an opening that the engine has nothing against, but whose connection was not taken over."""
        if self.has_turned_away:  # when it came, maybe, and not any more
            return refusal(Unavailable("this node took no connections a moment ago: try again"), 503)
        return refusal(Refused(ErrorCode.NOT_SUPPORTED, _NOT_TAKEN), 400)
