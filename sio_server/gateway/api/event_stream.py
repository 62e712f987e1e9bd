"""The events of a conversation as server-sent events: a follower of the node's fan-out without a socket."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from typing import Any

from aiohttp import ClientConnectionError, hdrs, web

from sio_server.gateway.api.service_keys import DEVICE, Service
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.transport.http_connections import abort_connection, uncounted
from sio_server.gateway.transport.packets import write_json
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import ID_PATTERN, MAX_PAGE_BYTES, STREAM_EVENTS, ServerEvent
from sio_server.protocol.position import Position

MAX_STREAMS = 500  # of a node
MAX_WAITING_BYTES = 1024 * 1024  # for a client that reads slowly; one that is further behind is disconnected
WRITE_S = 10.0  # in which a client must take something
BEAT_S = 5.0  # of silence, after which a comment is sent: proxies end what is silent, and a dead client is noticed
AGAIN_MS = 1000  # after which a client connects again
BEAT = b":\n\n"

_TOLD = {str(event).encode() for event in STREAM_EVENTS | {ServerEvent.CONVERSATION_SYNCED}}
_RESET = str(ServerEvent.CONVERSATION_RESET).encode()
# Nothing before these members is text of a user: they are the first ones with these names.
_POSITION = re.compile(rb'"epoch":"([^"\\]*)","seq":(\d+)')
_NUMBER = re.compile(rb'"n":(\d+)')


class EventStream:
    """What waits for one client, beginning with what comes while it is caught up. No I/O but the waiting."""

    def __init__(self, service: Service) -> None:
        # As catch-up and fan-out know the sessions of devices.
        self.sid = f"stream-{secrets.token_hex(8)}"
        self.user_id = service.author.user_id
        self.device_id = DEVICE
        self.too_far_behind = False
        self._over = False
        self._kept: list[bytes] | None = []  # packets, until the client has been caught up
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of what is kept, or waits
        self._came = asyncio.Event()

    def on_packet(self, packet: bytes) -> None:
        """An event for the conversation's room, as the packet that devices get."""
        if self._over:
            return
        name, data = _parts(packet)
        if name == _RESET:
            self.end()  # the client comes back, and is told what has become of it
        elif name in _TOLD:
            if self._kept is not None:
                self._kept.append(packet)
                self._count(packet)
            else:
                self._put(to_event(name, data))

    def on_caught_up(self, n: int) -> None:
        """The client has been told all up to the event `n` of the conversation's stream."""
        kept, self._kept, self._size = self._kept or [], None, 0
        for packet in kept:
            name, data = _parts(packet)
            number = _NUMBER.search(data)
            if number is not None and int(number[1]) > n:
                self._put(to_event(name, data))

    def end(self) -> None:
        """Nothing more comes after what waits."""
        self._over = True
        self._came.set()

    async def next(self) -> bytes:
        """What is to be written next; empty when the stream is over."""
        try:
            async with asyncio.timeout(BEAT_S):
                while not self._waiting and not self._over:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return BEAT
        written = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return written

    def _put(self, event: bytes) -> None:
        self._waiting.append(event)
        self._count(event)
        self._came.set()

    def _count(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_WAITING_BYTES:
            self.too_far_behind = True
            self._waiting.clear()
            self._kept = []
            self.end()


class EventStreams:
    """The streams of a node. Each begins with what was missed, told as `conversation:synced`."""

    def __init__(self, bus: Bus, catch_up: CatchUp, fanout: Fanout) -> None:
        self._bus = bus
        self._catch_up = catch_up
        self._fanout = fanout
        self._open: dict[str, EventStream] = {}
        self._stopped = False

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)

    def close(self) -> None:
        """End all streams: their clients connect again, to another node."""
        self._stopped = True
        for stream in self._open.values():
            stream.end()

    async def serve(self, request: web.Request, service: Service, conversation_id: str) -> web.StreamResponse:
        """Answer with the events of a conversation, from `Last-Event-ID` on, until the client leaves."""
        position = _position(request.headers.get("Last-Event-ID", ""))
        if len(self._open) >= MAX_STREAMS:
            raise Refused(ErrorCode.TOO_MANY_CONNECTIONS, "this node has as many event streams as it may have")
        stream = EventStream(service)
        self._open[stream.sid] = stream
        self._bus.add_listener(stream.sid, stream.on_packet)
        if self._stopped:
            stream.end()
        try:
            # What is refused is refused before the answer begins.
            missed = await self._missed(stream, conversation_id, position)
            response = web.StreamResponse(
                headers={
                    hdrs.CONTENT_TYPE: "text/event-stream",
                    hdrs.CACHE_CONTROL: "no-store",
                    "X-Accel-Buffering": "no",  # nginx passes on each event
                }
            )
            with uncounted(request):
                await response.prepare(request)
                await self._write(request, response, stream, conversation_id, missed)
            return response
        finally:
            self._fanout.leave_all(stream.sid)
            self._bus.remove_listener(stream.sid)
            del self._open[stream.sid]

    async def _write(
        self,
        request: web.Request,
        response: web.StreamResponse,
        stream: EventStream,
        conversation_id: str,
        missed: dict[str, Any],
    ) -> None:
        name = str(ServerEvent.CONVERSATION_SYNCED).encode()
        try:
            await write_in_time(response, b"retry: %d\n\n" % AGAIN_MS + to_event(name, write_json(missed)))
            while missed["more"]:
                missed = await self._missed(stream, conversation_id, Position(**missed["position"]))
                await write_in_time(response, to_event(name, write_json(missed)))
            stream.on_caught_up(missed["n"])
            while events := await stream.next():
                await write_in_time(response, events)
            if stream.too_far_behind:
                abort_connection(request.transport)
            else:
                await response.write_eof()
        except (ClientConnectionError, OSError, TimeoutError):  # it has left, or does not read
            abort_connection(request.transport)

    async def _missed(
        self, stream: EventStream, conversation_id: str, position: Position | None
    ) -> dict[str, Any]:
        missed, _ = await self._catch_up.follow(stream, conversation_id, position, MAX_PAGE_BYTES)
        return {name: value for name, value in missed.items() if name not in ("role", "draft")}

    def is_open(self, sid: str) -> bool:
        """Whether there is such a stream."""
        return sid in self._open


def to_event(name: bytes, data: bytes) -> bytes:
    """A server-sent event; its id is the position that the client has reached with it, where it reaches one."""
    identified = b""
    if name not in (b"run:changed", b"run:written") and (position := _POSITION.search(data)):
        identified = b"id: %b:%b\n" % (position[1], position[2])
    return b"event: %b\n%bdata: %b\n\n" % (name, identified, data)


def _parts(packet: bytes) -> tuple[bytes, bytes]:
    """The name and the data (JSON) of the packet `42["name",{...}]`."""
    name, _, rest = packet[4:].partition(b'",')
    return name, rest[:-1]


def _position(event_id: str) -> Position | None:
    if not event_id:
        return None
    epoch, _, seq = event_id.rpartition(":")
    if not re.fullmatch(ID_PATTERN, epoch) or not re.fullmatch(r"\d{1,15}", seq):
        raise Refused(ErrorCode.INVALID_PAYLOAD, "Last-Event-ID: should be the id of an event of this stream")
    return Position(epoch, int(seq))


async def write_in_time(response: web.StreamResponse, data: bytes) -> None:
    """Write a part of an answer. Raises TimeoutError for a client that does not read."""
    async with asyncio.timeout(WRITE_S):
        await response.write(data)
