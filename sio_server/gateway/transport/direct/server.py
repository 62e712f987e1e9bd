"""The Socket.IO server on the direct transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import socketio

from sio_server.gateway.transport.client_connection import ClientConnection
from sio_server.gateway.transport.direct.client_frames import text_frame
from sio_server.gateway.transport.direct.connection import Connection
from sio_server.gateway.transport.direct.engine import DirectEngine
from sio_server.gateway.transport.direct.held import Held
from sio_server.gateway.transport.direct.opening import OpeningReader, Peer
from sio_server.gateway.transport.direct.wheel import Wheel
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.gateway.transport.engine import (
    HARD_FRAME_BYTES,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    ConnectionLimits,
)
from sio_server.gateway.transport.packets import write_json
from sio_server.gateway.transport.socket_server import SocketServer


class DirectServer(SocketServer):
    """python-socketio's server, whose engine's sockets are connections that write to their transports."""

    engine_class = DirectEngine
    joins_writes = True
    eio: DirectEngine
    watchdog: Wheel

    def __init__(
        self,
        manager: socketio.AsyncRedisManager,
        limits: ConnectionLimits,
        on_dropped: Callable[[str | None, DropReason], None],
    ) -> None:
        super().__init__(manager, limits, on_dropped)
        self.watchdog = Wheel(self.close_without_session)
        self.held = Held()
        self.namespace: Any = None

    def register_namespace(self, namespace_handler: Any) -> None:
        """Register the namespace, of which there is one."""
        super().register_namespace(namespace_handler)
        self.namespace = namespace_handler

    def openings(self, allows_host: Callable[[str], bool], base_path: str) -> OpeningTaker:
        engine = self.eio
        reader = OpeningReader(
            allows_host, engine.limits.origins, lambda: engine.turn_away() is not None, base_path
        )
        return OpeningTaker(self, reader)

    def recipient(self, eio_sid: str) -> Connection:
        connection: Connection = self.eio.sockets[eio_sid]
        return connection

    def event_frame(self, text: bytes) -> bytes:
        return text_frame(text)

    def _connection(self, eio_sid: str) -> ClientConnection | None:
        connection: Connection | None = self.eio.sockets.get(eio_sid)
        return connection

    def _peer(self, eio_sid: str) -> Peer | None:
        connection: Connection = self.eio.sockets[eio_sid]
        return connection.peer

    # What connections call

    def on_opened(self, connection: Connection) -> bytes:
        """A connection is admitted: the engine's first packet for it, as a frame."""
        eio_sid = connection.eio_sid = self.eio.generate_id()
        self.eio.sockets[eio_sid] = connection
        self.watchdog.add(connection)
        self.watchdog.watch_for_session(eio_sid)
        opened = {
            "sid": eio_sid,
            "upgrades": [],
            "pingTimeout": PING_TIMEOUT_S * 1000,
            "pingInterval": PING_INTERVAL_S * 1000,
            "maxPayload": HARD_FRAME_BYTES,
        }
        return text_frame(b"0" + orjson.dumps(opened))

    def on_closed(self, connection: Connection) -> None:
        """A connection has ended, whether it was opened or not."""
        self.eio.connections -= 1
        self.watchdog.remove(connection)
        self.eio.sockets.pop(connection.eio_sid, None)

    async def on_message(self, eio_sid: str, text: str) -> None:
        """A packet of Socket.IO has come, for which there is no shorter way."""
        await self._handle_eio_message(eio_sid, text)

    async def on_connect(self, eio_sid: str, auth: Any) -> None:
        """A client asks for a session of `/`."""
        await self._handle_connect(eio_sid, "/", auth)

    async def on_session_lost(self, connection: Connection) -> None:
        """The connection of a session ends: end the session."""
        if connection.sid is not None:
            connection.sid = None
            await self._handle_disconnect(connection.eio_sid, "/", self.reason.TRANSPORT_CLOSE)

    # What python-socketio calls

    async def _begin_session(self, eio_sid: str, data: Any) -> None:
        """The same as the library does, for one namespace, without its packets and its look for handlers."""
        connection: Connection = self.eio.sockets[eio_sid]
        sid = await self.manager.pre_connect(eio_sid, "/")
        if sid is None:  # it has a session
            await super()._begin_session(eio_sid, data)
            return
        try:
            await self.namespace.on_connect(sid, {"aiohttp.request": connection.peer}, data)
        except socketio.exceptions.ConnectionRefusedError as exc:
            connection.put(text_frame(b"44" + write_json(exc.error_args)))
            await self.manager.disconnect(sid, "/", ignore_queue=True)
        else:
            connection.put(text_frame(b"40" + write_json({"sid": sid})))
            await self.manager.connect(sid, "/")


class OpeningTaker:
    """Looks at the beginning of each request, and takes over those connections that open a websocket."""

    def __init__(self, server: DirectServer, reader: OpeningReader) -> None:
        self._server = server
        self._reader = reader

    def may_be(self, data: bytes) -> bool:
        """Whether a request that begins like this may be an opening; more of it is needed to know."""
        return self._reader.may_be(data)

    def take(self, data: bytes, transport: asyncio.Transport, remote: str | None) -> bool:
        """Take the connection over if this is the opening of a websocket that is not refused."""
        opening = self._reader.read(data, remote)
        if opening is None:
            return False
        connection = Connection(self._server, transport, opening)
        self._server.eio.connections += 1
        transport.set_protocol(connection)
        self._server.admission.line_up(connection.admit)
        return True
