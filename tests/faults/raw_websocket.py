"""A websocket client that reads only when it is told to, and sends whatever bytes it is given."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import select
import socket
import struct
from typing import Any, Self

PATH = "/socket.io/?EIO=4&transport=websocket"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PROBE_S = 1  # how soon the system finds out of itself that the other side has gone


def upgrade_request(port: int, path: str = PATH) -> bytes:
    """The HTTP request that begins a websocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(
    payload: bytes, opcode: int = TEXT, *, final: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """One frame as a client sends it; the mask is zero, so that the payload stands there as it is."""
    size = len(payload)
    first = (0x80 if final else 0) | (reserved << 4) | opcode
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


class RawWebSocket:
    """One TCP connection to a node, without any buffer or task of its own."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.port = port
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # The system ignores a reset beyond what fits into a full buffer. The answer to a probe tells it then
            # that the connection has ended.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
        self._poll = select.poll()
        self._poll.register(self._socket, 0)
        self._data = b""
        self._acks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def connect(self) -> None:
        """TCP only."""
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", self.port))

    async def open(self, token: str, device_id: str) -> dict[str, Any]:
        """Connect, begin a session and return the payload of `session:opened`."""
        await self.connect()
        await self.upgrade()
        await self.say("40" + json.dumps({"token": token, "device_id": device_id}))
        while not (text := await self.hear()).startswith('42["session:opened"'):
            assert not text.startswith("44"), text
        ready: dict[str, Any] = json.loads(text[2:])[1]
        return ready

    async def upgrade(self) -> None:
        """Begin the websocket."""
        await self.write(upgrade_request(self.port))
        while b"\r\n\r\n" not in self._data:
            await self._more()
        head, self._data = self._data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101"), head

    async def call(self, event: str, payload: dict[str, Any]) -> Any:
        """Send an event and return its ack."""
        self._acks += 1
        await self.say(f"42{self._acks}" + json.dumps([event, payload]))
        while not (text := await self.hear()).startswith(f"43{self._acks}["):
            pass
        return json.loads(text[2 + len(str(self._acks)) :])[0]

    async def say(self, text: str) -> None:
        """Send a text frame."""
        await self.write(frame(text.encode()))

    async def hear(self) -> str:
        """The next text; pings of the engine are answered. Raises ConnectionError at the end."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                raise ConnectionError(f"closed: {payload!r}")
            if opcode == TEXT:
                if payload == b"2":
                    await self.say("3")
                else:
                    return payload.decode()

    async def receive(self) -> tuple[int, bytes]:
        """The next frame."""
        while True:
            if len(self._data) >= 2:
                size, at = self._data[1] & 0x7F, 2
                if size == 126 and len(self._data) >= 4:
                    size, at = struct.unpack("!H", self._data[2:4])[0], 4
                elif size == 127 and len(self._data) >= 10:
                    size, at = struct.unpack("!Q", self._data[2:10])[0], 10
                elif size >= 126:
                    size = 1 << 62
                if len(self._data) >= at + size:
                    opcode, payload = self._data[0] & 0xF, self._data[at : at + size]
                    self._data = self._data[at + size :]
                    return opcode, payload
            await self._more()

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def read(self, size: int) -> bytes:
        """Take up to `size` bytes off the line; empty at its end."""
        return await asyncio.get_running_loop().sock_recv(self._socket, size)

    @property
    def disconnected(self) -> bool:
        """Whether the other side has ended the connection; seen without reading."""
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in self._poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    async def _more(self) -> None:
        data = await self.read(65536)
        if not data:
            raise ConnectionError("the connection has ended")
        self._data += data
