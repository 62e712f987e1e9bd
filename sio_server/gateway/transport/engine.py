"""What the Engine.IO servers of both transports share: websockets only, and refusals before anything is begun."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engineio
from aiohttp import web

from sio_server.gateway.transport import lost_headers
from sio_server.gateway.transport.inbound import InboundLimits
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable

# A frame above this closes the connection (websocket code 1009); between MAX_FRAME_BYTES of the protocol and this
# one it is answered with an error, as clients expect of every event.
HARD_FRAME_BYTES = 1024 * 1024
PING_INTERVAL_S = 4  # a silent node is noticed within 8 s, for 5 % of a core for each 1,000 devices
PING_TIMEOUT_S = 4
PATH = "/socket.io/"  # below BASE_PATH
TURNED_AWAY_S = 10.0  # within which an opening that was turned away has been answered


class _OurMistakes(logging.Filter):
    """Lets records with a traceback pass: the engine logs every mistake of a client as an error of its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


engine_log = logging.getLogger(__name__)
engine_log.setLevel(logging.ERROR)
engine_log.addFilter(_OurMistakes())


@dataclass(frozen=True)
class ConnectionLimits:
    """How many clients this node serves, from which pages, and what each may send.

    `admit` raises Unavailable while clients are better off on another node: then it takes no connection.
    `on_refused` is called with the code of each opening that is refused for this, or since the node is full.
    """

    max_connections: int
    origins: AllowedOrigins
    inbound: InboundLimits
    admit: Callable[[], None]
    on_refused: Callable[[str], None]
    keep_headers: bool = False  # of openings, for the handshake


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """The engine: refused pages and surplus connections are answered first."""

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(
            **options,
            async_mode="aiohttp",
            transports=["websocket"],
            max_http_buffer_size=HARD_FRAME_BYTES,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            cors_allowed_origins=[],  # not checked by the library, which tells neither the page nor the operator
        )
        self.limits = limits
        self.connections = 0  # those in the admission queue, too
        self._turned_away_at = -math.inf

    def turn_away(self) -> Unavailable | None:
        """Why the node takes no further connection at present; None if it takes one."""
        try:
            if self.connections >= self.limits.max_connections:
                raise Unavailable("this node has as many connections as it may: use another")
            self.limits.admit()
        except Unavailable as exc:
            self._turned_away_at = time.monotonic()
            return exc
        return None

    @property
    def has_turned_away(self) -> bool:
        """Whether it has taken no connection of late: what was refused then may not be answered yet."""
        return time.monotonic() - self._turned_away_at < TURNED_AWAY_S

    async def handle_request(self, request: web.Request) -> Any:
        """Refuse a request, or serve the connection until it ends."""
        try:
            self.limits.origins.check(request)
        except Refused as exc:
            response = refusal(exc, 403)
            # The page itself may read why, and there is nothing else to read.
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Vary"] = "Origin"
            return response
        # Here, and not at the handshake on the websocket only: a proxy takes the next node for a 503.
        if error := self.turn_away():
            self.limits.on_refused(error.code)
            return refusal(error, 503)
        if wrong := _not_served(request):
            if lost := lost_headers.of_upgrade(request.headers, request.version):
                lost_headers.warn_of_upgrade(lost)
            return refusal(Refused(ErrorCode.NOT_SUPPORTED, wrong), 400)
        return await self.serve_opening(request)

    async def serve_opening(self, request: web.Request) -> Any:
        """Serve the opening of a websocket that is in order."""
        raise NotImplementedError


def refusal(error: RoomgraphError, status: int) -> web.Response:
    """The answer to an opening that is refused."""
    return web.json_response({"ok": False, "error": error.to_wire()}, status=status)


def _not_served(request: web.Request) -> str:
    """What is wrong with a request that is not the opening of a websocket for this engine; '' if nothing is.

    The engine checks some of it only, and would begin a connection and fail over it.
    """
    if request.query.get("transport") != "websocket":
        return (
            "Socket.IO is served here over websockets only: connect a client with `transports: ['websocket']`, "
            f"which asks for {request.path}?EIO=4&transport=websocket"
        )
    if request.query.getall("EIO", []) != ["4"]:
        return "Engine.IO 4 is served here (EIO=4): use a client of Socket.IO 3 or later"
    if "sid" in request.query or "j" in request.query or request.method != "GET" or not _opens_websocket(request):
        return "a new websocket is to be opened here: send GET with the headers of RFC 6455, and no `sid`"
    return ""


def _opens_websocket(request: web.Request) -> bool:
    try:
        return bool(web.WebSocketResponse().can_prepare(request))
    except ValueError:  # a key that is not even text
        return False
