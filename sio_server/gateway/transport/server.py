"""The Socket.IO server of a node: python-socketio's, with frames checked before anything reads them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket as sockets
import struct
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Any

import engineio
import socketio
from aiohttp import WSMsgType, web
from engineio.async_drivers import aiohttp as engineio_aiohttp

from sio_server.gateway.transport.admission import Turnstile
from sio_server.gateway.transport.frames import MAX_DEPTH, is_too_deep
from sio_server.gateway.transport.outbound import Outbound
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.protocol.events import MAX_FRAME_BYTES
from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

# A frame above this closes the connection (websocket code 1009); between MAX_FRAME_BYTES and this one it
# is answered with an error, as clients expect of every event.
HARD_FRAME_BYTES = 1024 * 1024
PING_INTERVAL_S = 4  # a silent node is noticed within 8 s, for 5 % of a core for each 1,000 devices
PING_TIMEOUT_S = 4
CLOSE_TIMEOUT_S = 1.0
GOODBYE_S = 0.1
CONNECT_S = 5.0  # a connection without a session for so long is closed
WATCH_S = 0.5
# What the system may hold of a connection beyond what is on its way: the rest stays where it is counted.
UNSENT_BYTES = 64 * 1024
POLICY_VIOLATION = 1008
_NO_LINGER = struct.pack("ii", 1, 0)

# Engine.IO: close, ping, pong, or a message that is a text packet of Socket.IO: connect, disconnect, event, ack.
_FRAME = re.compile(r"[123]|4[0123]")
_EVENT_WITH_ACK = re.compile(r"2(?:/[^,]*,)?(\d{1,15})\[")
_RESERVED = frozenset({"connect", "disconnect", "connect_error"})


class DropReason(StrEnum):
    """Why the node has ended a connection at once."""

    TOO_FAR_BEHIND = "too_far_behind"  # more waits for the client than is kept for one
    NOT_READING = "not_reading"  # something waits for it, and it takes next to nothing
    NO_CONNECT = "no_connect"  # it has no session, and does not ask for one


class _MistakesOfOurs(logging.Filter):
    """Lets pass what has a traceback: the engine logs every mistake of a client as an error of its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


_engine_log = logging.getLogger(f"{__name__}.engine")
_engine_log.setLevel(logging.ERROR)
_engine_log.addFilter(_MistakesOfOurs())


class _WebSocket(engineio_aiohttp.WebSocket):  # type: ignore[misc]
    """A websocket without compression, which costs 90 kB a connection, that ends on what is no frame of ours."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        self._sock = web.WebSocketResponse(max_msg_size=self.server.max_http_buffer_size, compress=False)
        await self._sock.prepare(environ["aiohttp.request"])
        self._request = environ["aiohttp.request"]
        if self._request.transport is not None and hasattr(sockets, "TCP_NOTSENT_LOWAT"):
            connection = self._request.transport.get_extra_info("socket")
            connection.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        # The engine's socket does not know its websocket, but closing one for good needs both.
        socket = self.handler.__self__
        self._queue: Outbound = socket.queue
        socket.websocket = self
        try:
            await self.handler(self)
        finally:
            # The engine may hold on to the last socket that it looked at: it must not hold what a client
            # that did not read has left in its queue, and the two must not hold each other.
            socket.websocket = None
            self._queue.end()
        return self._sock

    def abort(self) -> None:
        """End the connection at once, also when the client does not read; forget what waits for it."""
        self._queue.end()
        transport = self._request.transport
        if transport is not None:
            # Otherwise the system would keep what it has, for minutes, for a client that does not take it.
            with contextlib.suppress(OSError):
                connection = transport.get_extra_info("socket")
                connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
            transport.abort()

    def stalled(self, now: float) -> bool:
        """Whether the client does not read what waits for it."""
        transport = self._request.transport
        return transport is not None and self._queue.stalled(transport.get_write_buffer_size(), now)

    async def refuse(self, reason: str) -> None:
        """Say in the close frame why the connection ends."""
        await self._sock.close(code=POLICY_VIOLATION, message=reason.encode())

    async def send(self, message: str | bytes) -> None:
        data = message if isinstance(message, bytes) else message.encode()
        await self._sock.send_frame(data, WSMsgType.TEXT)
        self._queue.sent(message)

    async def wait(self) -> str:
        data = await super().wait()
        if not isinstance(data, str) or not _FRAME.match(data):
            # The engine would raise outside of every handler; as a lost connection it ends in order.
            raise OSError("not a frame of Socket.IO")
        return data


def _is_gone(request: web.Request) -> bool:
    """Whether the client has closed the connection, also while nothing is read from it."""
    return request.transport is None or request.transport.is_closing()


def _opens_websocket(request: web.Request) -> bool:
    try:
        return bool(web.WebSocketResponse().can_prepare(request))
    except ValueError:  # a key that is not even text
        return False


class _Engine(engineio.AsyncServer):  # type: ignore[misc]
    """The engine, with a turnstile before it: nothing is done for a connection before its turn."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.turnstile = Turnstile()
        self.max_connections = 0
        self._connections = 0  # those that wait at the turnstile, too

    async def handle_request(self, request: web.Request) -> Any:
        """Serve a connection until it ends."""
        if self._connections >= self.max_connections:
            full = Unavailable("this node has as many connections as it takes: use another")
            return web.json_response({"ok": False, "error": full.to_wire()}, status=503)
        self._connections += 1
        try:
            await self.turnstile.enter()
            if _is_gone(request):
                return web.Response(status=503)  # nobody reads it
            if request.method == "GET" and not _opens_websocket(request):
                # The engine would begin a connection and fail over it: it looks at some of these headers only.
                return web.Response(status=400, text="this is served to websockets only")
            return await super().handle_request(request)
        finally:
            self._connections -= 1


class _TextPacket(socketio.packet.Packet):  # type: ignore[misc]
    """A packet of JSON: the library would look through every payload, entry by entry, for bytes."""

    uses_binary_events = False


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """One client's events are handled one after another, websocket only, each with exactly one ack."""

    def __init__(
        self, manager: socketio.AsyncRedisManager, allowed_origins: list[str] | str | None, max_connections: int
    ) -> None:
        super().__init__(
            client_manager=manager,
            serializer=_TextPacket,
            async_mode="aiohttp",
            engineio_logger=_engine_log,
            # True, the default, would run one client's events at the same time and lose their order.
            async_handlers=False,
            transports=["websocket"],
            max_http_buffer_size=HARD_FRAME_BYTES,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            cors_allowed_origins=allowed_origins,
        )
        self.eio._async = {**self.eio._async, "websocket": _WebSocket}
        self.eio.max_connections = max_connections
        self.eio.create_queue = Outbound
        self.after_connect: Callable[[str], Awaitable[None]] | None = None
        # Called with the session, if the connection had one.
        self.on_dropped: Callable[[str | None, DropReason], None] = lambda sid, reason: None
        self._without_session: dict[str, float] = {}  # engine's id -> since when
        self._watching: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def close_all(self) -> None:
        """Close every connection now; without this a client notices a stopped node only by its missing pings."""
        await self.eio.turnstile.close()
        await asyncio.gather(*(self._close(eio_sid) for eio_sid in list(self.eio.sockets)), return_exceptions=True)

    async def close(self, sid: str) -> None:
        """Close the connection of a session as if the network had broken: its client comes again, anywhere."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if eio_sid is not None:
            await self._close(eio_sid)

    async def shutdown(self) -> None:
        """Stop what goes on by itself."""
        await end_tasks([self._watching, *self._closing])
        await super().shutdown()

    async def end_session(self, sid: str) -> None:
        """Close a session for good: say so, and give the client a moment to read it and to close by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if eio_sid is None:
            return
        await self._send_packet(eio_sid, self.packet_class(socketio.packet.DISCONNECT, namespace="/"))
        # A client may act on the end of the connection before it has looked at what came just before.
        await asyncio.sleep(GOODBYE_S)
        await self._close(eio_sid)

    async def _watch(self) -> None:
        """Drop who does not read, and who has connected for nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                self._look(loop.time())
            except Exception:
                log.exception("looking after the connections failed")

    def _look(self, now: float) -> None:
        for eio_sid, socket in list(self.eio.sockets.items()):
            websocket: _WebSocket | None = getattr(socket, "websocket", None)
            if websocket is not None and websocket.stalled(now):
                self._drop(eio_sid, DropReason.NOT_READING)
        for eio_sid, since in list(self._without_session.items()):
            if now - since >= CONNECT_S - WATCH_S:
                del self._without_session[eio_sid]
                self._spawn(self._turn_away(eio_sid))

    def _drop(self, eio_sid: str, reason: DropReason) -> None:
        """End a connection that cannot be told why: what was said would wait behind what is not read."""
        websocket: _WebSocket | None = getattr(self.eio.sockets.get(eio_sid), "websocket", None)
        if websocket is not None:
            websocket.abort()
            self.on_dropped(self.manager.sid_from_eio_sid(eio_sid, "/"), reason)

    async def _turn_away(self, eio_sid: str) -> None:
        """End a connection that has no session."""
        socket = self.eio.sockets.get(eio_sid)
        websocket: _WebSocket | None = getattr(socket, "websocket", None)
        if websocket is None:
            if socket is not None:
                await socket.close(wait=False, abort=True)  # its websocket has not come about
            return
        self.on_dropped(None, DropReason.NO_CONNECT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await websocket.refuse("no CONNECT within 5 s")
        websocket.abort()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work, name="connection-ending")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        loop = asyncio.get_running_loop()
        self.eio.sockets[eio_sid].queue.on_full = partial(self._drop, eio_sid, DropReason.TOO_FAR_BEHIND)
        self._without_session[eio_sid] = loop.time()
        if self._watching is None:
            self._watching = loop.create_task(self._watch(), name="connections-watch")

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._without_session.pop(eio_sid, None)
        await super()._handle_eio_disconnect(eio_sid, reason)

    async def _handle_disconnect(self, eio_sid: str, namespace: str, reason: str | None = None) -> None:
        await super()._handle_disconnect(eio_sid, namespace, reason)
        if eio_sid in self.environ:  # the connection is still there
            self._without_session[eio_sid] = asyncio.get_running_loop().time()

    def _engineio_server_class(self) -> type:
        return _Engine

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        self._without_session.pop(eio_sid, None)
        async with self.eio.turnstile.turn(lambda: _is_gone(self.environ[eio_sid]["aiohttp.request"])) as served:
            if served:
                await self._connect(eio_sid, namespace, data)

    async def _connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        if sid and self.after_connect is not None and self.manager.is_connected(sid, namespace or "/"):
            # Before the next frame of this client is read: its first event finds the session complete.
            await self.after_connect(sid)
        elif self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            # Refused: the connection serves nothing any more.
            await self._close(eio_sid)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if isinstance(data, str) and (len(data) > MAX_FRAME_BYTES or len(data.encode()) > MAX_FRAME_BYTES):
            what = f"a frame may hold {MAX_FRAME_BYTES} bytes at most"
            await self._refuse(eio_sid, data, ErrorCode.PAYLOAD_TOO_LARGE, what)
            return
        if isinstance(data, str) and is_too_deep(data):
            await self._refuse(eio_sid, data, ErrorCode.INVALID_PAYLOAD, f"nested deeper than {MAX_DEPTH} levels")
            return
        socket = self.eio.sockets.get(eio_sid)
        while socket is not None and not socket.closed and socket.queue.unread:
            await socket.queue.change()  # who asks without reading the answers is not read from either
        if socket is not None and socket.queue.ended:
            return  # it was broken off for that, and what it has asked for since is nobody's
        try:
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as exc:
            log.info("a malformed frame ends the connection: error=%s", type(exc).__name__)
            await self._close(eio_sid)

    async def _close(self, eio_sid: str) -> None:
        """End a connection, with the engine's goodbye when the client still reads."""
        socket = self.eio.sockets.get(eio_sid)
        if socket is None:
            return
        websocket: _WebSocket | None = getattr(socket, "websocket", None)
        if websocket is None:
            return  # it ends by itself at this moment
        # In a task of its own: what the session's end waits for may forget a cancellation, and whoever closes
        # many connections must not wait for one of them for ever.
        goodbye = asyncio.create_task(self._say_goodbye(socket, websocket))
        await asyncio.wait({goodbye}, timeout=CLOSE_TIMEOUT_S)
        websocket.abort()
        await end_tasks([goodbye], patience_s=CLOSE_TIMEOUT_S)

    async def _say_goodbye(self, socket: Any, websocket: _WebSocket) -> None:
        await socket.close(reason=self.eio.reason.SERVER_DISCONNECT)
        await websocket.close()

    async def _refuse(self, eio_sid: str, data: str, code: ErrorCode, why: str) -> None:
        """Answer an event that nothing has read."""
        event = _EVENT_WITH_ACK.match(data[:200])
        if event:
            await self._ack(eio_sid, int(event[1]), Refused(code, why))

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: Any) -> None:
        # A client may send any name, also those by which the library calls its own handlers.
        if not isinstance(data[0], str) or data[0] in _RESERVED:
            if id is not None:
                await self._ack(eio_sid, id, Refused(ErrorCode.UNKNOWN_EVENT, "there is no such event"))
            return
        await super()._handle_event(eio_sid, namespace, id, data)

    async def _ack(self, eio_sid: str, id: int, error: Refused) -> None:
        packet = self.packet_class(
            socketio.packet.ACK, namespace="/", id=id, data=[{"ok": False, "error": error.to_wire()}]
        )
        await self._send_packet(eio_sid, packet)
