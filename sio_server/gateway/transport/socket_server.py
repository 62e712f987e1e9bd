"""The Socket.IO server of a node: python-socketio's, with packets checked before anything reads them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import socketio

from sio_server.gateway.transport.admin_ui import NAMESPACE as ADMIN_NAMESPACE
from sio_server.gateway.transport.admin_ui import AdminUi
from sio_server.gateway.transport.admission import AdmissionQueue
from sio_server.gateway.transport.client_connection import CLOSE_TIMEOUT_S, ClientConnection
from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.gateway.transport.engine import ConnectionLimits, engine_log
from sio_server.gateway.transport.first_bytes import Openings
from sio_server.gateway.transport.frames import MAX_DEPTH, is_too_deep, utf8_size
from sio_server.gateway.transport.inbound import Fault
from sio_server.gateway.transport.packets import NotJson, TextPacket
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import MAX_FRAME_BYTES
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

GOODBYE_S = 0.1

_EVENT_WITH_ACK = re.compile(r"2(?:/,)?([0-9]{1,15})")
_CONNECT = re.compile(r"0(?![/])|0/,")
RESERVED = frozenset({"connect", "disconnect", "connect_error"})  # the library calls its own handlers by these


class SessionWatch(Protocol):
    """Ends connections that wait too long for something; `run` is for the caller to keep running."""

    def watch_for_session(self, eio_sid: str) -> None:
        """The connection has no session: it must ask for one in time."""
        ...

    def forget(self, eio_sid: str) -> None:
        """The connection has asked for a session, or has ended."""
        ...

    async def run(self) -> None:
        """Watch, until cancelled."""
        ...


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """One client's events are handled one after another, websocket only, each with exactly one ack.

    The namespace that is registered for `/` has a coroutine `after_connect(sid)`. It is awaited when a session is
    connected, before the next packet of its client is read: the first event finds the session complete.

    `watchdog.run` and `admission.run` are for the caller to keep running. A transport is a subclass.
    """

    watchdog: SessionWatch
    engine_class: type
    admin_ui: AdminUi | None = None
    joins_writes = False  # whether frames of this transport may be joined as bytes

    def __init__(
        self,
        manager: socketio.AsyncRedisManager,
        limits: ConnectionLimits,
        on_dropped: Callable[[str | None, DropReason], None],
        **engine_options: Any,
    ) -> None:
        """`on_dropped` is called when the node has ended a connection, with its session if it had one."""
        self.admission = AdmissionQueue()
        super().__init__(
            client_manager=manager,
            serializer=TextPacket,
            engineio_logger=engine_log,
            # True, the default, would run one client's events at the same time and lose their order.
            async_handlers=False,
            limits=limits,
            **engine_options,
        )
        self._on_dropped = on_dropped
        self._closing: set[asyncio.Task[None]] = set()

    async def close_all(self) -> None:
        """Close every connection now; without this a client notices a stopped node only by its missing pings."""
        self.admission.close()
        ends = (self._send_away(eio_sid) for eio_sid in list(self.eio.sockets))
        await asyncio.gather(*ends, return_exceptions=True)

    async def close(self, sid: str) -> None:
        """Close the connection of a session without ending it on Socket.IO: its client comes again, anywhere."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if eio_sid is not None:
            await self._send_away(eio_sid)

    async def shutdown(self) -> None:
        """Stop everything that goes on by itself."""
        await end_tasks(self._closing)
        await super().shutdown()

    async def end_session(self, sid: str) -> None:
        """Close a session for good: say so, and give the client a moment to read it and to close by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if eio_sid is None:
            return
        await self._send_packet(eio_sid, self.packet_class(socketio.packet.DISCONNECT, namespace="/"))
        # A client may act on the end of the connection before it has read what came just before.
        await asyncio.sleep(GOODBYE_S)
        await self._close(eio_sid)

    # What a transport knows

    def recipient(self, eio_sid: str) -> Any:
        """Where events for a connection are put: an object with `eio_sid` and `put_event(frame)`."""
        raise NotImplementedError

    def event_frame(self, text: bytes) -> Any:
        """The frame of a text packet, such as `42["name",{}]`, once for all recipients."""
        raise NotImplementedError

    def openings(self, allows_host: Callable[[str], bool], base_path: str) -> Openings | None:
        """What takes connections over before aiohttp sees them; `allows_host` judges Host headers."""
        return None

    def _connection(self, eio_sid: str) -> ClientConnection | None:
        """The websocket of a connection, from its opening to its end."""
        raise NotImplementedError

    def _peer(self, eio_sid: str) -> Any:
        """Whose connection it is: an object with `remote` and `headers`, as of the request that opened it."""
        raise NotImplementedError

    # Ending connections

    def drop(self, connection: ClientConnection, reason: DropReason) -> None:
        """End a connection that cannot be told why: that would wait behind what is not read."""
        connection.abort()
        self._on_dropped(connection.sid, reason)

    def on_fault(self, connection: ClientConnection, fault: Fault) -> None:
        """A client has made a mistake for which its connection ends."""
        if fault.code == CloseCode.POLICY_VIOLATION:
            self._on_dropped(connection.sid, DropReason.FLOODING)

    def close_without_session(self, eio_sid: str) -> None:
        """End a connection whose client has not asked for a session in time."""
        connection = self._connection(eio_sid)
        if connection is not None:
            self._on_dropped(None, DropReason.NO_CONNECT)
            self._spawn(connection.refuse("no CONNECT within 5 s"))

    async def _send_away(self, eio_sid: str) -> None:
        await self._close(eio_sid, CloseCode.GOING_AWAY, "go to another node")

    async def _close(self, eio_sid: str, code: CloseCode = CloseCode.DONE, reason: str = "") -> None:
        """End a connection, with the engine's goodbye when the client still reads."""
        connection = self._connection(eio_sid)
        if connection is None:
            return  # it ends by itself at this moment
        # In a task of its own: the end of a session may swallow a cancellation, and a caller that closes many
        # connections must not wait for one of them for ever.
        goodbye = asyncio.create_task(connection.goodbye(code, reason))
        await asyncio.wait({goodbye}, timeout=CLOSE_TIMEOUT_S)
        connection.abort()
        await end_tasks([goodbye], patience_s=CLOSE_TIMEOUT_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="connection-ending")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # What python-socketio calls

    def _engineio_server_class(self) -> type:
        return self.engine_class

    async def _handle_disconnect(self, eio_sid: str, namespace: str, reason: str | None = None) -> None:
        connection = self._connection(eio_sid)
        if connection is not None:
            connection.sid = None
        await super()._handle_disconnect(eio_sid, namespace, reason)
        if self._connection(eio_sid) is not None:
            self.watchdog.watch_for_session(eio_sid)

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        self.watchdog.forget(eio_sid)
        connection = self._connection(eio_sid)
        if connection is None:
            return
        async with self.admission.handshake(lambda: connection.gone) as served:
            if served:
                await self._connect(connection, namespace, data)

    async def _connect(self, connection: ClientConnection, namespace: str, data: Any) -> None:
        eio_sid = connection.eio_sid
        if namespace in (None, "/"):
            await self._begin_session(eio_sid, data)
        elif namespace == ADMIN_NAMESPACE and self.admin_ui is not None:
            await self._begin_admin(self.admin_ui, eio_sid, data)
            return
        else:
            error = Refused(ErrorCode.NOT_SUPPORTED, "there is no such namespace: connect to /")
            await self._refuse_connect(eio_sid, error, namespace)
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if sid and self.manager.is_connected(sid, namespace or "/"):
            connection.sid = sid
            await self.namespace_handlers["/"].after_connect(sid)
        elif self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            # Refused: the connection serves nothing any more.
            await self._close(eio_sid, reason="the handshake was refused")

    async def _begin_admin(self, admin: AdminUi, eio_sid: str, auth: Any) -> None:
        try:
            admin.check(auth, self._peer(eio_sid))
        except Refused as exc:
            await self._refuse_connect(eio_sid, exc, ADMIN_NAMESPACE)
            # Also when it has a session: one connection is one attempt.
            await self._close(eio_sid, reason="the handshake was refused")
            return
        told = {"sid": self.eio.generate_id()}
        packet = self.packet_class(socketio.packet.CONNECT, data=told, namespace=ADMIN_NAMESPACE)
        await self._send_packet(eio_sid, packet)
        await admin.begin(eio_sid, self.tell_admin)

    async def tell_admin(self, eio_sid: str, event: str, payload: Any) -> bool:
        """Send an event to a connection of the Admin UI; returns whether it is still there."""
        if self._connection(eio_sid) is None:
            return False
        packet = self.packet_class(socketio.packet.EVENT, namespace=ADMIN_NAMESPACE, data=[event, payload])
        await self._send_packet(eio_sid, packet)
        return True

    async def _begin_session(self, eio_sid: str, data: Any) -> None:
        await super()._handle_connect(eio_sid, "/", data)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if isinstance(data, str) and utf8_size(data) > MAX_FRAME_BYTES:
            what = f"a frame may hold {MAX_FRAME_BYTES} bytes at most"
            await self._refuse_unread(eio_sid, data, ErrorCode.PAYLOAD_TOO_LARGE, what)
            return
        if isinstance(data, str) and is_too_deep(data):
            what = f"nested deeper than {MAX_DEPTH} levels"
            await self._refuse_unread(eio_sid, data, ErrorCode.INVALID_PAYLOAD, what)
            return
        try:
            await super()._handle_eio_message(eio_sid, data)
        except NotJson:
            await self._refuse_unread(eio_sid, data, ErrorCode.INVALID_PAYLOAD, "the payload: should be JSON")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as exc:
            log.info("a malformed packet ends the connection: error=%s", type(exc).__name__)
            connection = self._connection(eio_sid)
            if connection is not None:
                connection.fail(Fault(CloseCode.PROTOCOL_ERROR, "not a packet of Socket.IO"))

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        if not isinstance(data, list) or not data:
            if id is not None:
                what = "the payload: should be a list of the event's name and one object"
                await self._ack(eio_sid, id, Refused(ErrorCode.INVALID_PAYLOAD, what))
            return
        # A client may send any name, also those by which the library calls its own handlers.
        if not isinstance(data[0], str) or data[0] in RESERVED:
            if id is not None:
                await self._ack(eio_sid, id, Refused(ErrorCode.UNKNOWN_EVENT, "there is no such event"))
            return
        await super()._handle_event(eio_sid, namespace, id, data)

    # Refusing events

    async def _refuse_unread(self, eio_sid: str, data: str, code: ErrorCode, why: str) -> None:
        """Answer an event, or refuse a handshake, whose payload nothing has read."""
        event = _EVENT_WITH_ACK.match(data[:200])
        if event:
            await self._ack(eio_sid, int(event[1]), Refused(code, why))
        elif _CONNECT.match(data) and self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            await self._refuse_connect(eio_sid, Refused(code, why))
            await self._close(eio_sid, reason="the handshake was refused")

    async def _refuse_connect(self, eio_sid: str, error: Refused, namespace: str = "/") -> None:
        said = {"message": error.message, "data": error.to_wire()}
        packet = self.packet_class(socketio.packet.CONNECT_ERROR, data=said, namespace=namespace)
        await self._send_packet(eio_sid, packet)

    async def _ack(self, eio_sid: str, id: int, error: Refused) -> None:
        packet = self.packet_class(
            socketio.packet.ACK, namespace="/", id=id, data=[{"ok": False, "error": error.to_wire()}]
        )
        await self._send_packet(eio_sid, packet)
