"""The ceiling for a server in Python: sockets on uvloop, Redis' pub/sub through hiredis, and nothing else.

No log, no names, no limits, no pings. A message is published as the frame that its members get, and every node
writes what it has received to each socket of the room.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections import defaultdict
from urllib.parse import urlsplit

import hiredis
import uvloop

rooms: defaultdict[bytes, list[asyncio.Transport]] = defaultdict(list)


def frame(text: bytes) -> bytes:
    size = len(text)
    return (bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2)) + text


class Redis(asyncio.Protocol):
    """One connection; it is also where the channels of the rooms are subscribed to."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._reader = hiredis.Reader()
        self._waiting: list[bytes] = []

    def send(self, *command: bytes) -> None:
        """What is sent in one turn of the loop is written at once."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(hiredis.pack_command(command))

    def _flush(self) -> None:
        self.transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, list) and reply[0] == b"smessage":
                text = reply[2]
                for client in rooms[reply[1]]:
                    client.write(text)


redis: Redis
redis_listener: Redis


class Client(asyncio.Protocol):
    """A websocket of the load generator: it sends whole frames of less than 64 kB."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._rest = b""
        self._upgraded = False
        self._rooms: list[bytes] = []

    def connection_lost(self, exc: Exception | None) -> None:
        for room in self._rooms:
            rooms[room].remove(self.transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._upgraded:
            self._answer_request(data)
            return
        while len(data) >= 6:
            size, at = data[1] & 0x7F, 2
            if size == 126:
                size, at = int.from_bytes(data[2:4]), 4
            end = at + 4 + size
            if len(data) < end:
                break
            mask = int.from_bytes((data[at : at + 4] * (size // 4 + 1))[:size])
            text = (int.from_bytes(data[at + 4 : end]) ^ mask).to_bytes(size)
            if data[0] == 0x81:
                self._on_message(text)
            elif data[0] == 0x88:
                self.transport.close()
                return
            data = data[end:]
        self._rest = data

    def _answer_request(self, data: bytes) -> None:
        if not data.endswith(b"\r\n\r\n"):
            self._rest = data
        else:
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            self.transport.write(head + b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n" + frame(b"40{}"))
            self._upgraded, self._rest = True, b""

    def _on_message(self, text: bytes) -> None:
        start = text.index(b"[")
        if text.startswith(b'["send",{"room":"', start):
            room = text[start + 17 : text.index(b'"', start + 17)]
            redis.send(b"SPUBLISH", room, frame(b'42["message"' + text[start + 7 :]))
        else:
            room = text[start + 9 : -2]  # ["join","..."]
            if room not in rooms:
                redis_listener.send(b"SSUBSCRIBE", room)
            rooms[room].append(self.transport)
            self._rooms.append(room)
        self.transport.write(frame(b"43" + text[2:start] + b'[{"ok":true}]'))


async def main() -> None:
    global redis, redis_listener
    loop = asyncio.get_running_loop()
    at = urlsplit(os.environ["REDIS_URL"])
    _, redis = await loop.create_connection(Redis, at.hostname, at.port)
    _, redis_listener = await loop.create_connection(Redis, at.hostname, at.port)
    server = await loop.create_server(Client, "127.0.0.1", int(os.environ["PORT"]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
