"""The Engine.IO server of a node: websockets only, with a check of origins and an admission queue before it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engineio
from aiohttp import web

from sio_server.gateway.transport.admission import AdmissionQueue
from sio_server.gateway.transport.http_connections import uncounted
from sio_server.gateway.transport.inbound import Fault, InboundLimits
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.gateway.transport.outbound import Outbound
from sio_server.gateway.transport.websocket import ClientWebSocket
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable

# A frame above this closes the connection (websocket code 1009); between MAX_FRAME_BYTES of the protocol and this
# one it is answered with an error, as clients expect of every event.
HARD_FRAME_BYTES = 1024 * 1024
PING_INTERVAL_S = 4  # a silent node is noticed within 8 s, for 5 % of a core for each 1,000 devices
PING_TIMEOUT_S = 4


class _OurMistakes(logging.Filter):
    """Lets records with a traceback pass: the engine logs every mistake of a client as an error of its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


engine_log = logging.getLogger(__name__)
engine_log.setLevel(logging.ERROR)
engine_log.addFilter(_OurMistakes())


@dataclass(frozen=True)
class ConnectionLimits:
    """How many clients this node serves, from which pages, and what each may send."""

    max_connections: int
    origins: AllowedOrigins
    inbound: InboundLimits


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """The engine: refused pages and surplus connections are answered first, and the others wait for their turn."""

    def __init__(
        self,
        *,
        limits: ConnectionLimits,
        admission: AdmissionQueue,
        on_fault: Callable[[ClientWebSocket, Fault], None],
        on_queue_full: Callable[[Outbound], None],
        **options: Any,
    ) -> None:
        super().__init__(
            **options,
            async_mode="aiohttp",
            transports=["websocket"],
            max_http_buffer_size=HARD_FRAME_BYTES,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            cors_allowed_origins=[],  # not checked by the library, which tells neither the page nor the operator
        )
        self._async: dict[str, Any] = {**self._async, "websocket": ClientWebSocket}
        self._limits = limits
        self._admission = admission
        self._on_queue_full = on_queue_full
        self._connections = 0  # those in the admission queue, too
        self.inbound_limits = limits.inbound
        self.on_fault = on_fault

    def create_queue(self) -> Outbound:
        """The queue of one connection."""
        return Outbound(self._on_queue_full)

    async def handle_request(self, request: web.Request) -> Any:
        """Serve a connection until it ends."""
        try:
            self._limits.origins.check(request)
        except Refused as exc:
            response = _refusal(exc, 403)
            # The page itself may read why, and there is nothing else to read.
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Vary"] = "Origin"
            return response
        if self._connections >= self._limits.max_connections:
            return _refusal(Unavailable("this node has as many connections as it may: use another"), 503)
        if wrong := _not_served(request):
            return _refusal(Refused(ErrorCode.NOT_SUPPORTED, wrong), 400)
        self._connections += 1
        try:
            with uncounted(request):  # it is counted here
                await self._admission.enter()
                if is_gone(request):
                    return web.Response(status=503)  # its client has gone
                return await super().handle_request(request)
        finally:
            self._connections -= 1


def is_gone(request: web.Request) -> bool:
    """Whether the client has closed the connection, also while nothing is read from it."""
    return request.transport is None or request.transport.is_closing()


def _refusal(error: RoomgraphError, status: int) -> web.Response:
    return web.json_response({"ok": False, "error": error.to_wire()}, status=status)


def _not_served(request: web.Request) -> str:
    """What is wrong with a request that is not the opening of a websocket for this engine; '' if nothing is.

    The engine checks some of it only, and would begin a connection and fail over it.
    """
    if request.query.get("transport") != "websocket":
        return (
            "Socket.IO is served here over websockets only: connect a client with `transports: ['websocket']`, "
            "which asks for /socket.io/?EIO=4&transport=websocket"
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
