"""One connection to one node, as cheap as it gets: websocket, Engine.IO 4 and Socket.IO 5 in one asyncio protocol.

python-socketio and aiohttp cost a client some 100 kB and several tasks. This one costs a few kB and no task, since
it does no more than a Roomgraph node asks for: text frames, no compression, the namespace `/`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

PATH = "/socket.io/?EIO=4&transport=websocket"
MAX_HEAD_BYTES = 16 * 1024
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


class WireError(Exception):
    """The node does not speak as it should, or has refused the connection."""


class Refusal(WireError):
    """The node has refused the handshake; `error` is what it said: `{code, message, retryable}`.

    `certain` says that the request was not carried out: false when an earlier try of it may have been.
    """

    certain = True

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", "")))
        self.error = error


class Wire(asyncio.Protocol):
    """A live connection. `on_event(frame)` is called for every event, in order; `on_lost()` once, at the end."""

    def __init__(self, on_event: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.heard_at = loop.time()
        self._loop = loop
        self._on_event = on_event
        self._on_lost = on_lost
        self._request = b""
        self._connect = b""
        self._transport: asyncio.Transport | None = None
        self._upgraded = False
        self._rest = b""
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._lost = False

    async def open(self, url: str, auth: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Connect; return the payload of `session:opened`. Raises Refusal, WireError, OSError or TimeoutError."""
        at = urlsplit(url)
        host, secure = at.hostname or "127.0.0.1", at.scheme == "https"
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {at.path.rstrip('/')}{PATH} HTTP/1.1\r\nHost: {at.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._request = head.encode()
        self._connect = b"40" + json.dumps(auth, ensure_ascii=False).encode()
        try:
            async with asyncio.timeout(timeout_s):
                await self._loop.create_connection(
                    lambda: self,
                    host,
                    at.port or (443 if secure else 80),
                    ssl=ssl.create_default_context() if secure else None,
                )
                return await self.ready
        except BaseException:
            self.abort()
            raise

    def request(self, event: str, payload: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Send an event; the future gets its ack as it came, or WireError when the connection ends before."""
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        if self._lost:
            answer.set_exception(WireError("the connection is lost"))
            return answer
        self._last_id += 1
        self._waiting[self._last_id] = answer
        self._say(f"42{self._last_id}{json.dumps([event, payload], ensure_ascii=False)}".encode())
        return answer

    def close(self) -> None:
        """Say goodbye and close."""
        if self._transport is not None and not self._lost:
            self._say(b"41")
            self._frame(_CLOSE, b"\x03\xe8")
            self._transport.close()
        self._end()

    def abort(self) -> None:
        """End the connection without a goodbye, as a network does that goes away."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        if self._rest:
            data = self._rest + data
        try:
            if not self._upgraded:
                end = data.find(b"\r\n\r\n")
                if end < 0 and len(data) <= MAX_HEAD_BYTES:
                    self._rest = data
                    return
                if data.startswith(b"HTTP/1.1 503"):
                    raise Refusal({"code": "unavailable", "message": "no room", "retryable": True})
                if not data.startswith(b"HTTP/1.1 101"):
                    raise WireError(data[: max(data.find(b"\r\n"), 0)].decode("latin-1") or "not HTTP")
                self._upgraded = True
                data = data[end + 4 :]
            self._rest = self._frames(data)
        except (WireError, ValueError, KeyError, IndexError, TypeError) as exc:
            self._fail(exc if isinstance(exc, WireError) else WireError(f"not understood: {exc}"))
            self.abort()

    # Frames

    def _frames(self, data: bytes) -> bytes:
        """Take all whole frames; return what is left. A node sends whole messages, without a mask."""
        at, size = 0, len(data)
        while size - at >= 2 and not self._lost:
            length, body = data[at + 1], at + 2
            if length == 126:
                body += 2
                length = int.from_bytes(data[at + 2 : body])
            elif length == 127:
                body += 8
                length = int.from_bytes(data[at + 2 : body])
            end = body + length
            if size < end or size < body:
                break
            kind = data[at]
            at = end
            if kind == _TEXT:
                self._message(data[body:end])
            elif kind == _PING:
                self._frame(_PONG, data[body:end])
            elif kind == _CLOSE:
                self.abort()
            elif kind != _PONG:
                raise WireError(f"a frame of kind {kind:#x}")
        return data[at:]

    def _message(self, message: bytes) -> None:
        kind = message[:2]
        if kind == b"42":
            if not self.ready.done() and message.startswith(b'42["session:opened",'):
                self.ready.set_result(json.loads(message[2:])[1])
            else:
                self._on_event(message)
        elif kind == b"43":
            start = message.index(b"[")
            answer = self._waiting.pop(int(message[2:start]), None)
            if answer is not None and not answer.done():
                answer.set_result(json.loads(message[start:])[0])
        elif message == b"2":
            self._say(b"3")
        elif kind == b"40":
            pass  # `session:opened` comes next
        elif kind == b"44":
            said = json.loads(message[2:])
            self._fail(Refusal(said.get("data") or {"message": said.get("message", ""), "retryable": True}))
        elif kind[:1] == b"0":
            self._say(self._connect)
        elif kind == b"41" or message == b"1":
            self.abort()

    def _say(self, text: bytes) -> None:
        self._frame(_TEXT, text)

    def _frame(self, kind: int, body: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        size, mask = len(body), os.urandom(4)
        if size < 126:
            head = bytes((kind, 0x80 | size))
        elif size < 65536:
            head = bytes((kind, 0xFE)) + size.to_bytes(2)
        else:
            head = bytes((kind, 0xFF)) + size.to_bytes(8)
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(body) ^ int.from_bytes(repeated)).to_bytes(size)
        self._transport.write(head + mask + masked)

    def _fail(self, error: WireError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # whoever waits gets it; if nobody waits any more, that is no error

    def _end(self) -> None:
        if self._lost:
            return
        self._lost = True
        self._fail(WireError("the connection ended before it was ready"))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(WireError("the connection ended before the answer"))
                answer.exception()
        self._waiting.clear()
        self._on_lost()
