"""The Socket.IO server of a node: python-socketio's, with packets checked before anything reads them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import socketio

from sio_server.gateway.transport.admission import AdmissionQueue
from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.engine import ConnectionLimits, Engine, engine_log, is_gone
from sio_server.gateway.transport.frames import MAX_DEPTH, is_too_deep, utf8_size
from sio_server.gateway.transport.inbound import Fault
from sio_server.gateway.transport.outbound import Outbound
from sio_server.gateway.transport.packets import NotJson, TextPacket
from sio_server.gateway.transport.watchdog import Watchdog
from sio_server.gateway.transport.websocket import CLOSE_TIMEOUT_S, ClientWebSocket, DropReason
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import MAX_FRAME_BYTES
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

GOODBYE_S = 0.1

_EVENT_WITH_ACK = re.compile(r"2(?:/,)?([0-9]{1,15})")
_CONNECT = re.compile(r"0(?![/])|0/,")
_RESERVED = frozenset({"connect", "disconnect", "connect_error"})


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """One client's events are handled one after another, websocket only, each with exactly one ack.

    The namespace that is registered for `/` has a coroutine `after_connect(sid)`. It is awaited when a session is
    connected, before the next packet of its client is read: the first event finds the session complete.

    `watchdog.run` and `admission.run` are for the caller to keep running.
    """

    def __init__(
        self,
        manager: socketio.AsyncRedisManager,
        limits: ConnectionLimits,
        on_dropped: Callable[[str | None, DropReason], None],
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
            admission=self.admission,
            on_fault=self._on_fault,
            on_queue_full=self._on_queue_full,
        )
        self.watchdog = Watchdog(
            self.eio.sockets,
            on_stalled=partial(self._drop, reason=DropReason.NOT_READING),
            on_no_session=lambda eio_sid: self._spawn(self._close_without_session(eio_sid)),
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

    # Ending connections

    def _on_queue_full(self, queue: Outbound) -> None:
        self._drop(queue.eio_sid, DropReason.TOO_FAR_BEHIND)

    def _on_fault(self, websocket: ClientWebSocket, fault: Fault) -> None:
        if fault.code == CloseCode.POLICY_VIOLATION:
            self._on_dropped(self.manager.sid_from_eio_sid(websocket.eio_sid, "/"), DropReason.FLOODING)
        self._spawn(websocket.end(fault))

    def _drop(self, eio_sid: str, reason: DropReason) -> None:
        """End a connection that cannot be told why: that would wait behind what is not read."""
        websocket = self._websocket(eio_sid)
        if websocket is not None:
            websocket.abort()
            self._on_dropped(self.manager.sid_from_eio_sid(eio_sid, "/"), reason)

    async def _close_without_session(self, eio_sid: str) -> None:
        socket = self.eio.sockets.get(eio_sid)
        websocket = self._websocket(eio_sid)
        if websocket is not None:
            self._on_dropped(None, DropReason.NO_CONNECT)
            await websocket.refuse("no CONNECT within 5 s")
        elif socket is not None:
            await socket.close(wait=False, abort=True)  # its websocket was never opened

    async def _send_away(self, eio_sid: str) -> None:
        await self._close(eio_sid, CloseCode.GOING_AWAY, "go to another node")

    async def _close(self, eio_sid: str, code: CloseCode = CloseCode.DONE, reason: str = "") -> None:
        """End a connection, with the engine's goodbye when the client still reads."""
        websocket = self._websocket(eio_sid)
        if websocket is None:
            return  # it ends by itself at this moment
        # In a task of its own: the end of a session may swallow a cancellation, and a caller that closes many
        # connections must not wait for one of them for ever.
        goodbye = asyncio.create_task(self._say_goodbye(self.eio.sockets[eio_sid], websocket, code, reason))
        await asyncio.wait({goodbye}, timeout=CLOSE_TIMEOUT_S)
        websocket.abort()
        await end_tasks([goodbye], patience_s=CLOSE_TIMEOUT_S)

    async def _say_goodbye(self, socket: Any, websocket: ClientWebSocket, code: CloseCode, reason: str) -> None:
        await socket.close(reason=self.eio.reason.SERVER_DISCONNECT)
        await websocket.close(code, reason)

    def _websocket(self, eio_sid: str) -> ClientWebSocket | None:
        websocket: ClientWebSocket | None = getattr(self.eio.sockets.get(eio_sid), "websocket", None)
        return websocket

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="connection-ending")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # What python-socketio calls

    def _engineio_server_class(self) -> type:
        return Engine

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self.eio.sockets[eio_sid].queue.eio_sid = eio_sid
        self.watchdog.watch_for_session(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self.watchdog.forget(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)

    async def _handle_disconnect(self, eio_sid: str, namespace: str, reason: str | None = None) -> None:
        websocket = self._websocket(eio_sid)
        if websocket is not None:
            websocket.has_session = False
        await super()._handle_disconnect(eio_sid, namespace, reason)
        if eio_sid in self.environ:  # the connection is still there
            self.watchdog.watch_for_session(eio_sid)

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        self.watchdog.forget(eio_sid)
        request = self.environ[eio_sid]["aiohttp.request"]
        async with self.admission.handshake(lambda: is_gone(request)) as served:
            if served:
                await self._connect(eio_sid, namespace, data)

    async def _connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        if namespace in (None, "/"):
            await super()._handle_connect(eio_sid, namespace, data)
        else:
            error = Refused(ErrorCode.NOT_SUPPORTED, "there is no such namespace: connect to /")
            await self._refuse_connect(eio_sid, error, namespace)
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if sid and self.manager.is_connected(sid, namespace or "/"):
            websocket = self._websocket(eio_sid)
            if websocket is not None:
                websocket.has_session = True
            await self.namespace_handlers["/"].after_connect(sid)
        elif self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            # Refused: the connection serves nothing any more.
            await self._close(eio_sid, reason="the handshake was refused")

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if isinstance(data, str) and utf8_size(data) > MAX_FRAME_BYTES:
            what = f"a frame may hold {MAX_FRAME_BYTES} bytes at most"
            await self._refuse_unread(eio_sid, data, ErrorCode.PAYLOAD_TOO_LARGE, what)
            return
        if isinstance(data, str) and is_too_deep(data):
            what = f"nested deeper than {MAX_DEPTH} levels"
            await self._refuse_unread(eio_sid, data, ErrorCode.INVALID_PAYLOAD, what)
            return
        socket = self.eio.sockets.get(eio_sid)
        while socket is not None and not socket.closed and socket.queue.unread:
            await socket.queue.change()  # a client that does not read its answers is not read from either
        if socket is not None and socket.queue.ended:
            return  # it was disconnected for that: its requests need no answer any more
        try:
            await super()._handle_eio_message(eio_sid, data)
        except NotJson:
            await self._refuse_unread(eio_sid, data, ErrorCode.INVALID_PAYLOAD, "the payload: should be JSON")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as exc:
            log.info("a malformed packet ends the connection: error=%s", type(exc).__name__)
            websocket = self._websocket(eio_sid)
            if websocket is not None:
                websocket.fail(Fault(CloseCode.PROTOCOL_ERROR, "not a packet of Socket.IO"))

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        if not isinstance(data, list) or not data:
            if id is not None:
                what = "the payload: should be a list of the event's name and one object"
                await self._ack(eio_sid, id, Refused(ErrorCode.INVALID_PAYLOAD, what))
            return
        # A client may send any name, also those by which the library calls its own handlers.
        if not isinstance(data[0], str) or data[0] in _RESERVED:
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
