"""The Engine.IO server of the stock transport: an admission queue before it, and bounded queues behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from sio_server.gateway.transport.admission import AdmissionQueue
from sio_server.gateway.transport.engine import ConnectionLimits, Engine
from sio_server.gateway.transport.http_connections import uncounted
from sio_server.gateway.transport.inbound import Fault
from sio_server.gateway.transport.stock.outbound import Outbound
from sio_server.gateway.transport.stock.websocket import ClientWebSocket


class StockEngine(Engine):
    """The library's engine, on websockets of ours: connections wait for their turn."""

    admission: AdmissionQueue  # the server's, which sets it

    def __init__(
        self,
        *,
        limits: ConnectionLimits,
        on_fault: Callable[[ClientWebSocket, Fault], None],
        on_queue_full: Callable[[Outbound], None],
        **options: Any,
    ) -> None:
        super().__init__(limits=limits, **options)
        self._async: dict[str, Any] = {**self._async, "websocket": ClientWebSocket}
        self._on_queue_full = on_queue_full
        self.inbound_limits = limits.inbound
        self.on_fault = on_fault

    def create_queue(self) -> Outbound:
        """The queue of one connection."""
        return Outbound(self._on_queue_full)

    async def serve_opening(self, request: web.Request) -> Any:
        """Serve a connection until it ends."""
        self.connections += 1
        try:
            with uncounted(request):  # it is counted here
                await self.admission.enter()
                if is_gone(request):
                    return web.Response(status=503)  # its client has gone
                return await super(Engine, self).handle_request(request)
        finally:
            self.connections -= 1


def is_gone(request: web.Request) -> bool:
    """Whether the client has closed the connection, also while nothing is read from it."""
    return request.transport is None or request.transport.is_closing()
