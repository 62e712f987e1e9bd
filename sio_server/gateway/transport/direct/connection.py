"""One client's connection on the direct transport: frames come from the transport and go straight to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from engineio.packet import Packet as EnginePacket

from sio_server.gateway.transport.client_connection import CLOSE_TIMEOUT_S, FAULT_NOTICE_S
from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.direct.client_frames import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    ClientFrames,
    WrongFrame,
    check_close,
    close_frame,
    pong_frame,
    text_frame,
)
from sio_server.gateway.transport.direct.opening import EARLY_BYTES, Opening, Peer
from sio_server.gateway.transport.direct.outbound import Outbound, accept_nothing
from sio_server.gateway.transport.drop_reasons import DropReason
from sio_server.gateway.transport.engine import PING_TIMEOUT_S
from sio_server.gateway.transport.frames import MAX_DEPTH
from sio_server.gateway.transport.http_connections import abort_connection
from sio_server.gateway.transport.inbound import SMALL_FRAGMENT, Fault, Inbound
from sio_server.gateway.transport.libraries import apply_mask
from sio_server.gateway.transport.packets import NotJson, read_json, write_json
from sio_server.gateway.transport.socket_server import RESERVED
from sio_server.protocol.events import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from sio_server.gateway.transport.direct.server import DirectServer

log = logging.getLogger(__name__)

INBOX_FRAMES = 32  # of a client whose events wait for one that is being handled; then it is not read from
INBOX_BYTES = 256 * 1024

_PING = text_frame(b"2")
_ENGINE_CLOSE = text_frame(b"1")
_NO_PACKET = Fault(CloseCode.PROTOCOL_ERROR, "not a text packet of Socket.IO")
_NOT_UTF8 = Fault(CloseCode.INVALID_TEXT, "not UTF-8")
_SILENT = Fault(CloseCode.DONE, "a ping was not answered")
_PONG_BYTE = ord("3")
_COUNT_AGAIN = -1.0


class Connection(Outbound, asyncio.Protocol):
    """A websocket of the engine, which is also what python-socketio knows as the engine's socket.

    A task runs only while a packet of the client is being handled; others wait in order.
    """

    __slots__ = (
        *("eio_sid", "sid", "peer", "gone", "bucket"),
        *("_server", "_opening", "_goodbye", "_pinged_at"),
        *("_frames", "_inbox", "_inbox_bytes", "_inbound", "_task", "_reading"),
    )

    def __init__(self, server: DirectServer, transport: asyncio.Transport, opening: Opening) -> None:
        super().__init__(transport, server.held)
        self.eio_sid = ""
        self.sid: str | None = None
        self.peer: Peer | None = None
        self.gone = False
        self.bucket = 0
        self._server = server
        self._opening: Opening | None = opening  # until it is answered
        self._goodbye: asyncio.Future[None] | None = None  # done when the client has answered, or is gone
        self._pinged_at = 0.0  # 0: the last ping was answered; _COUNT_AGAIN: its time counts from the next turn
        self._frames: ClientFrames | None = None  # while a frame is not complete, or others wait behind it
        self._inbox: deque[bytearray] | None = None
        self._inbox_bytes = 0
        self._inbound = Inbound(server.eio.limits.inbound)
        self._task: asyncio.Task[None] | None = None  # while packets are handled
        self._reading = True

    # Opening

    def admit(self) -> bool:
        """Answer the opening; False when the client has gone meanwhile."""
        opening, self._opening = self._opening, None
        if self.gone or opening is None:
            return False
        self.peer = Peer(opening, keep_headers=self._server.eio.limits.keep_headers)
        self._begin_sending()
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {opening.accept}\r\n\r\n"
        )
        self._write(answer.encode() + self._server.on_opened(self))
        if opening.early:
            self.data_received(opening.early)
        return True

    # The transport

    def data_received(self, data: bytes) -> None:
        size = len(data)
        if self._frames is None and not self._ended and size > 6 and data[0] == 0x81:
            # Nearly always: one whole small text.
            if data[1] == size + 122 and size < 132:
                content = bytearray(data)
                del content[:6]
                apply_mask(data[2:6], content)
                self._on_text(content)
                return
            if data[1] == 0xFE and data[2] << 8 | data[3] == size - 8:
                content = bytearray(data)
                del content[:8]
                apply_mask(data[4:8], content)
                self._on_text(content)
                return
        if self._opening is not None:
            self._keep_early(data)
        elif not self._ended or self._goodbye is not None:
            if self._frames is None:
                self._frames = ClientFrames()
            self._frames.feed(data)
            self._read_frames()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._inbox and self._task is None and not self._unread:
            self._start_handling(self._next_of_inbox(self._inbox))

    def connection_lost(self, exc: BaseException | None) -> None:
        self.gone = True
        self._stop()
        self._forget_unsent()
        self._write = accept_nothing
        self._opening = None
        self._server.on_closed(self)
        if self._goodbye is not None and not self._goodbye.done():
            self._goodbye.set_result(None)
        if self._task is None and self.sid is not None:
            self._task = asyncio.create_task(self._end_session(), name="connection")

    def _keep_early(self, data: bytes) -> None:
        opening = self._opening
        assert opening is not None
        opening.early += data
        if len(opening.early) > EARLY_BYTES:
            self.abort()

    # Frames of the client

    def _read_frames(self) -> None:
        """Take the frames that are complete, as long as there is room for what waits."""
        frames = self._frames
        now = time.monotonic()
        try:
            while frames is not None and (self._goodbye is not None or self._has_room()):
                frame = frames.next()
                if frame is None:
                    break
                opcode, content = frame
                if opcode == TEXT:
                    self._on_text(content)
                elif opcode == CLOSE:
                    check_close(content)
                    self._on_close(content)
                elif opcode != CONTINUATION or len(content) < SMALL_FRAGMENT:
                    fault = self._inbound.control(now)
                    if fault is not None:
                        self.fail(fault)
                    elif opcode == PING and not self._paused and not self._ended:
                        self.write_held()
                        self._write(pong_frame(content))
                frames = self._frames
        except WrongFrame as exc:
            self.fail(exc.fault)
        if frames is not None and frames.is_empty:
            self._frames = None
        self._pause_or_resume_reading()

    def _has_room(self) -> bool:
        inbox = self._inbox
        return inbox is None or (len(inbox) < INBOX_FRAMES and self._inbox_bytes < INBOX_BYTES)

    def _pause_or_resume_reading(self) -> None:
        if self._has_room() != self._reading and not self.gone and (not self._ended or self._goodbye is not None):
            self._reading = not self._reading
            if self._reading:
                if self._pinged_at:
                    self._pinged_at = _COUNT_AGAIN  # the pong may be in what is only read now
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _on_text(self, content: bytearray) -> None:
        if self._ended:
            return
        if content and content[0] == _PONG_BYTE:
            self._pinged_at = 0.0
            self._judge(content)
            return
        if self._task is None and not self._inbox and not self._unread:
            self._start_handling(content)
            return
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = deque()
        inbox.append(content)
        self._inbox_bytes += len(content)
        self._pause_or_resume_reading()

    def _on_close(self, content: bytearray) -> None:
        """The client closes, or answers our close."""
        if self._paused:
            self.abort()  # close() would wait until it has read everything
            return
        if self._goodbye is None:
            self.write_held()
            self._stop()
            code = int.from_bytes(content[:2], "big") if content else CloseCode.DONE
            self._write(close_frame(code, ""))
            # For a client that does not read the rest; it does nothing once the connection is gone.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.abort)
        self._transport.close()

    # Packets of the client, one after the other

    def _start_handling(self, content: bytearray) -> None:
        self._task = asyncio.get_running_loop().create_task(self._handle_all(content), name="connection")
        self._hold_events()

    def _next_of_inbox(self, inbox: deque[bytearray]) -> bytearray:
        content = inbox.popleft()
        self._inbox_bytes -= len(content)
        return content

    async def _handle_all(self, content: bytearray) -> None:
        """Handle a packet, and those that come meanwhile."""
        try:
            while not self._ended:
                try:
                    await self._handle(content)
                except Exception:
                    log.exception("a packet of a client could not be handled")
                if self._frames is not None:
                    self._read_frames()
                if not self._inbox:
                    return
                await asyncio.sleep(0)  # one buffer may hold many, and then nothing else would yield
                if not self._inbox or self._unread:
                    return
                content = self._next_of_inbox(self._inbox)
        finally:
            self._task = None
            self._hold_no_events()
            if not self._inbox:
                self._inbox = None
            if not self._reading:
                self._pause_or_resume_reading()
            if self.gone and self.sid is not None:
                self._task = asyncio.create_task(self._end_session(), name="connection")

    async def _handle(self, content: bytearray) -> None:
        if not self._judge(content):
            return
        try:
            kind = content[:2]
            if kind == b"42" and await self._handle_event(content):
                return
            if kind == b"40" and await self._handle_connect(content):
                return
            await self._handle_packet(content.decode())
        except UnicodeDecodeError:
            self.fail(_NOT_UTF8)

    def _judge(self, content: bytearray) -> bool:
        """Count a message; False when it is one too many."""
        fault = self._inbound.message(
            len(content),
            event=content.startswith(b"42"),
            session=self.sid is not None,
            now=time.monotonic(),
        )
        if fault is not None:
            self.fail(fault)
        return fault is None

    async def _handle_event(self, content: bytearray) -> bool:
        """The short way of an ordinary event of a session; False when there is anything to say about its form."""
        start = content.find(b"[", 2, 18)
        number = content[2:start]
        if (
            start < 2
            or (number and not number.isdigit())
            or self.sid is None
            or len(content) > MAX_FRAME_BYTES
            or content.count(b"[") + content.count(b"{") > MAX_DEPTH
        ):
            return False
        try:
            event, *arguments = read_json(content[start:])
        except (NotJson, ValueError):
            return False
        if not isinstance(event, str) or event in RESERVED:
            return False
        answer = await self._server.namespace.trigger_event(event, self.sid, *arguments)
        if number:
            self.put(text_frame(b"43" + number + write_json([answer])))
        return True

    async def _handle_connect(self, content: bytearray) -> bool:
        """The short way of a CONNECT with `auth`; False when there is anything to say about its form."""
        if content[2:3] != b"{" or len(content) > MAX_FRAME_BYTES:
            return False
        if content.count(b"[") + content.count(b"{") > MAX_DEPTH:
            return False
        try:
            auth = read_json(content[2:])
        except (NotJson, ValueError):
            return False
        await self._server.on_connect(self.eio_sid, auth)
        return True

    async def _handle_packet(self, text: str) -> None:
        """Any other packet, as python-socketio handles it."""
        kind = text[:1]
        if kind == "1":  # the engine's close
            self._on_close(bytearray())
        elif kind == "4" and text[1:2] in ("0", "1", "2", "3") and len(text) > 1:
            await self._server.on_message(self.eio_sid, text[1:])
        elif kind not in ("2", "3"):  # a client does not ping, and a ping of its own asks for nothing
            self.fail(_NO_PACKET)

    async def _end_session(self) -> None:
        try:
            await self._server.on_session_lost(self)
        finally:
            self._task = None

    # The wheel

    def on_turn(self, now: float) -> None:
        if self._ended:
            return
        if not self._pinged_at:
            self._pinged_at = now
            self.put(_PING)
        elif not self._reading or self._pinged_at == _COUNT_AGAIN:
            self._pinged_at = now
        elif now - self._pinged_at >= PING_TIMEOUT_S - 0.1:
            if self._paused or self._transport.get_write_buffer_size():
                self._server.drop(self, DropReason.NOT_READING)
            else:
                self.fail(_SILENT)

    # What waits for the client

    def _set_blocked(self, blocked: bool) -> None:
        if blocked:
            self._server.watchdog.blocked.add(self)
        else:
            self._server.watchdog.blocked.discard(self)

    def _drop(self, reason: DropReason) -> None:
        self._server.drop(self, reason)

    # The end

    def _stop(self) -> None:
        """Handle nothing more of the client, and accept nothing more for it."""
        self._stop_sending()
        self._frames = None
        if self._inbox is not None:
            self._inbox.clear()
            self._inbox_bytes = 0

    def abort(self) -> None:
        """End the connection at once, also when the client does not read; forget what waits for it."""
        self._stop()
        self._forget_unsent()
        if not self.gone:
            abort_connection(self._transport)

    def fail(self, fault: Fault) -> None:
        """Read nothing more from the client, and end the connection with the reason in the close frame."""
        if self._goodbye is not None:
            self.abort()
        if self._ended:
            return
        self.write_held()
        self._stop()
        self._forget_unsent()
        self._server.on_fault(self, fault)
        with contextlib.suppress(RuntimeError):  # it is closing by itself
            self._transport.pause_reading()
        self._write(close_frame(fault.code, fault.reason))
        # A reset that overtakes the close frame would take it from the client.
        asyncio.get_running_loop().call_later(FAULT_NOTICE_S, self.abort)

    async def goodbye(self, code: CloseCode, reason: str) -> None:
        """End the session and the connection in order, with the engine's own goodbye."""
        if not self._ended:
            await self._server.on_session_lost(self)
            await self._close(_ENGINE_CLOSE + close_frame(code, reason))

    async def refuse(self, reason: str) -> None:
        """End a connection without a session, with the reason in the close frame."""
        if not self._ended:
            await self._close(close_frame(CloseCode.POLICY_VIOLATION, reason))
        self.abort()

    async def _close(self, last: bytes) -> None:
        """Send the last frames, and wait for the client's answer to them."""
        if self.gone:
            return
        self.put(last)
        frames = self._frames
        self._stop()
        self._frames = frames  # its frame may be under way: what follows can only be read after the rest of it
        self._goodbye = asyncio.get_running_loop().create_future()
        self._pause_or_resume_reading()
        if frames is not None:
            self._read_frames()
        await asyncio.wait({self._goodbye}, timeout=CLOSE_TIMEOUT_S)

    # What python-socketio knows of an engine's socket

    @property
    def closed(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._ended

    async def send(self, packet: EnginePacket) -> None:
        """Send a packet of the engine."""
        encoded: Any = packet.encode()
        self.put(text_frame(encoded.encode() if isinstance(encoded, str) else encoded))
