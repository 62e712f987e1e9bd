"""The ceiling for a server in Python: picows on uvloop, Redis' pub/sub through hiredis, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from urllib.parse import urlsplit

import hiredis
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

rooms: defaultdict[bytes, list[WSTransport]] = defaultdict(list)


class Redis(asyncio.Protocol):
    """A connection for commands, or one for the channels of the rooms."""

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
                    client.send(WSMsgType.TEXT, text)


redis: Redis
redis_listener: Redis


class Client(WSListener):  # type: ignore[misc]
    def on_ws_connected(self, transport: WSTransport) -> None:
        self._rooms: list[bytes] = []
        transport.send(WSMsgType.TEXT, b"40{}")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for room in self._rooms:
            rooms[room].remove(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            return
        text = frame.get_payload_as_bytes()
        start = text.index(b"[")
        if text.startswith(b'["send",{"room":"', start):
            room = text[start + 17 : text.index(b'"', start + 17)]
            redis.send(b"SPUBLISH", room, b'42["message"' + text[start + 7 :])
        else:
            room = text[start + 9 : -2]  # ["join","..."]
            if room not in rooms:
                redis_listener.send(b"SSUBSCRIBE", room)
            rooms[room].append(transport)
            self._rooms.append(room)
        transport.send(WSMsgType.TEXT, b"43" + text[2:start] + b'[{"ok":true}]')


async def main() -> None:
    global redis, redis_listener
    loop = asyncio.get_running_loop()
    at = urlsplit(os.environ["REDIS_URL"])
    _, redis = await loop.create_connection(Redis, at.hostname, at.port)
    _, redis_listener = await loop.create_connection(Redis, at.hostname, at.port)
    server = await ws_create_server(lambda request: Client(), "127.0.0.1", int(os.environ["PORT"]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
