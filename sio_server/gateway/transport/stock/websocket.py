"""The websocket of one client: uncompressed, checked before it is parsed, and ended for good when it must be."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from typing import Any

from aiohttp import WSMsgType, web
from engineio.async_drivers import aiohttp as engineio_aiohttp

from sio_server.gateway.transport.client_connection import CLOSE_TIMEOUT_S, FAULT_NOTICE_S
from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.frames import utf8_size
from sio_server.gateway.transport.http_connections import abort_connection, bound_unsent, check_frames
from sio_server.gateway.transport.inbound import Fault, Inbound
from sio_server.gateway.transport.stock.frame_heads import FrameHeads
from sio_server.gateway.transport.stock.outbound import Outbound

# Engine.IO: close, ping, pong, or a message that is a text packet of Socket.IO: connect, disconnect, event, ack.
_PACKET = re.compile(r"[123]|4[0123]")
_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})


class ClientWebSocket(engineio_aiohttp.WebSocket):  # type: ignore[misc]
    """The engine's websocket, without compression (90 kB a connection), that ends on what is no packet of ours.

    `sid`, the session's, is set by the Socket.IO server: more is accepted then.
    """

    sid: str | None = None
    _ended = False

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        self._request: web.Request = environ["aiohttp.request"]
        self._loop = asyncio.get_running_loop()
        # The engine's socket does not know its websocket, but closing one for good needs both.
        self._socket = self.handler.__self__
        self._queue: Outbound = self._socket.queue
        self._inbound = Inbound(self.server.inbound_limits)
        self._heads = FrameHeads()
        # Pings are answered here and not by aiohttp, which would answer any number of them without yielding.
        self._sock = web.WebSocketResponse(
            max_msg_size=self.server.max_http_buffer_size, compress=False, autoping=False
        )
        check_frames(self._request, self._received)
        await self._sock.prepare(self._request)
        if self._request.transport is not None:
            bound_unsent(self._request.transport.get_extra_info("socket"))
        self._socket.websocket = self
        try:
            await self.handler(self)
        finally:
            # The engine may keep the last socket that it checked: it must not keep what a client that did not
            # read has left in its queue, and the two must not keep each other.
            self._socket.websocket = None
            self._queue.end()
        return self._sock

    @property
    def eio_sid(self) -> str:
        """The engine's id of the connection."""
        return str(self._socket.sid)

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        return self._request.transport is None or self._request.transport.is_closing()

    async def goodbye(self, code: CloseCode, reason: str) -> None:
        """End the session and the connection in order, with the engine's own goodbye."""
        await self._socket.close(reason=self.server.reason.SERVER_DISCONNECT)
        await self.close(code, reason)

    def abort(self) -> None:
        """End the connection at once, also when the client does not read; forget what waits for it."""
        self._ended = True
        self._queue.end()
        abort_connection(self._request.transport)

    def stalled(self, now: float) -> bool:
        """Whether the client does not read what waits for it."""
        transport = self._request.transport
        return transport is not None and self._queue.stalled(transport.get_write_buffer_size(), now)

    async def refuse(self, reason: str) -> None:
        """End the connection, with the reason in the close frame, which a client is given time to answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.close(CloseCode.POLICY_VIOLATION, reason)
        self.abort()

    def fail(self, fault: Fault) -> None:
        """Read nothing more from the client, and have the connection ended."""
        if not self._ended:
            self._ended = True
            self.server.on_fault(self, fault)

    async def end(self, fault: Fault) -> None:
        """End the connection of a client that is not read from any more, with the reason in the close frame."""
        transport = self._request.transport
        if transport is not None:
            # uvloop raises RuntimeError for a connection that has just ended.
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                transport.pause_reading()
                async with asyncio.timeout(FAULT_NOTICE_S):
                    closing = struct.pack("!H", fault.code) + fault.reason.encode()
                    await self._sock.send_frame(closing, WSMsgType.CLOSE)
            # A reset that overtakes the close frame would take it from the client.
            await asyncio.sleep(FAULT_NOTICE_S)
        self.abort()

    async def send(self, message: str | bytes) -> None:
        data = message if isinstance(message, bytes) else message.encode()
        await self._sock.send_frame(data, WSMsgType.TEXT)
        self._queue.sent(message)

    async def close(self, code: CloseCode = CloseCode.DONE, reason: str = "") -> None:
        await self._sock.close(code=code, message=reason.encode())

    async def wait(self) -> str:
        """The next packet of the client. Raises OSError at the end, and then the engine ends in order."""
        while True:
            message = await self._sock.receive()
            if message.type in _ENDS:
                raise OSError("the websocket has ended")
            if message.type is WSMsgType.TEXT and not self._ended:
                fault = _no_packet(message.data) or self._inbound.message(
                    utf8_size(message.data),
                    event=message.data.startswith("42"),
                    session=self.sid is not None,
                    now=self._loop.time(),
                )
                if fault is None:
                    return str(message.data)
                self.fail(fault)
            elif message.type is WSMsgType.PING and not self._ended:
                await self._sock.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                self.fail(Fault(CloseCode.UNSUPPORTED_DATA, "binary frames are not supported"))
            await asyncio.sleep(0)  # one buffer may hold many, and then nothing else would yield

    def _received(self, data: bytes) -> bool:
        """Bytes have arrived: whether they are to be parsed."""
        if self._ended:
            return False
        fault = self._inbound.heads(self._heads.feed(data), self._loop.time())
        if fault is not None:
            self.fail(fault)
        return fault is None


def _no_packet(text: str) -> Fault | None:
    # The engine would raise outside of every handler.
    return None if _PACKET.match(text) else Fault(CloseCode.PROTOCOL_ERROR, "not a text packet of Socket.IO")
