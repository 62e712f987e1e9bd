"""The Socket.IO server on the stock transport."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import socketio

from sio_server.gateway.transport.client_connection import ClientConnection
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.gateway.transport.engine import ConnectionLimits
from sio_server.gateway.transport.inbound import Fault
from sio_server.gateway.transport.socket_server import SocketServer
from sio_server.gateway.transport.stock.engine import StockEngine
from sio_server.gateway.transport.stock.outbound import Outbound, event_frame
from sio_server.gateway.transport.stock.watchdog import Watchdog
from sio_server.gateway.transport.stock.websocket import ClientWebSocket


class StockServer(SocketServer):
    """Each connection has a writer task, a queue and a ping task, which the library runs."""

    engine_class = StockEngine

    def __init__(
        self,
        manager: socketio.AsyncRedisManager,
        limits: ConnectionLimits,
        on_dropped: Callable[[str | None, DropReason], None],
    ) -> None:
        super().__init__(
            manager,
            limits,
            on_dropped,
            on_fault=self._end_faulty,
            on_queue_full=self._on_queue_full,
        )
        self.eio.admission = self.admission
        self.watchdog = Watchdog(
            self.eio.sockets,
            on_stalled=partial(self._drop, reason=DropReason.NOT_READING),
            on_no_session=self.close_without_session,
        )

    def recipient(self, eio_sid: str) -> Outbound:
        queue: Outbound = self.eio.sockets[eio_sid].queue
        return queue

    def event_frame(self, text: bytes) -> Any:
        return event_frame(text[1:].decode())

    def close_without_session(self, eio_sid: str) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and self._connection(eio_sid) is None:
            self._spawn(socket.close(wait=False, abort=True))  # its websocket was never opened
        super().close_without_session(eio_sid)

    def _connection(self, eio_sid: str) -> ClientConnection | None:
        websocket: ClientWebSocket | None = getattr(self.eio.sockets.get(eio_sid), "websocket", None)
        return websocket

    def _peer(self, eio_sid: str) -> Any:
        return self.environ[eio_sid]["aiohttp.request"]

    def _on_queue_full(self, queue: Outbound) -> None:
        self._drop(queue.eio_sid, DropReason.TOO_FAR_BEHIND)

    def _drop(self, eio_sid: str, reason: DropReason) -> None:
        connection = self._connection(eio_sid)
        if connection is not None:
            self.drop(connection, reason)

    def _end_faulty(self, websocket: ClientWebSocket, fault: Fault) -> None:
        self.on_fault(websocket, fault)
        self._spawn(websocket.end(fault))

    # What python-socketio calls

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self.eio.sockets[eio_sid].queue.eio_sid = eio_sid
        self.watchdog.watch_for_session(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self.watchdog.forget(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)
        self.watchdog.forget(eio_sid)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        socket = self.eio.sockets.get(eio_sid)
        while socket is not None and not socket.closed and socket.queue.unread:
            await socket.queue.change()  # a client that does not read its answers is not read from either
        if socket is not None and socket.queue.ended:
            return  # it was disconnected for that: its requests need no answer any more
        await super()._handle_eio_message(eio_sid, data)
