"""The HTTP connections of a node: bounded in number, and in the time that each step of a request may take."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar, cast

from aiohttp import hdrs, web

from sio_server.gateway.transport.first_bytes import FirstBytes, Openings, remote_of
from sio_server.gateway.transport.libraries import detach, listening_sockets
from sio_server.gateway.transport.outbound_limits import UNSENT_BYTES
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable

HEADER_S = 5.0  # from the connection, or the first byte of a later request, to the end of the request's header
BODY_S = 5.0
REQUEST_S = 60.0  # until the client has read the answer
IDLE_S = 75  # between two requests of one connection; longer than browsers and proxies keep one
BUSY_IDLE_S = 5.0  # the same when many connections are open
BUSY_FROM = 0.75  # of the limit
ADDRESS_SHARE = 4  # an address may have a quarter of the limit
LINGER_S = 1.0  # for the rest of a body that is not wanted
CHECK_S = 0.5
_NO_LINGER = struct.pack("ii", 1, 0)


class HttpConnections:
    """Bounds the connections that are no websockets: kept-alive ones that are idle make room for new ones.

    Without room for a new connection, the one that has been idle for longest is closed; then one that has not made
    its first request yet; if all are busy, the new one. So idle connections shut out no new one.
    """

    def __init__(self, limit: int, address_of: Callable[[str | None], str] = lambda peer: "") -> None:
        """`address_of`: the address to which a peer is counted; "" if it must not be limited by it."""
        self.openings: Openings | None = None  # what takes over the connections that open a websocket
        self._limit = limit
        self._address_limit = max(1, limit // ADDRESS_SHARE)
        self._address_of = address_of
        self._open: dict[AnyConnection, str] = {}  # with the address, oldest first
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: AnyConnection) -> None:
        """Count a connection from now on; close it, or another one, when there are too many."""
        peer = connection.peername
        address = self._address_of(peer[0] if isinstance(peer, tuple) else None)
        self._open[connection] = address
        self._of_address[address] += 1
        if address and self._of_address[address] > self._address_limit:
            self._make_room([one for one, its in self._open.items() if its == address])
        elif len(self._open) > self._limit:
            self._make_room(list(self._open))

    def release(self, connection: AnyConnection) -> None:
        """Count a connection no longer."""
        address = self._open.pop(connection, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    @staticmethod
    def is_late(seconds: float) -> bool:
        """Whether a request's header has taken too long."""
        return seconds >= HEADER_S - CHECK_S

    async def run(self) -> None:
        """Close connections that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_S)
            now = loop.time()
            idle_s = BUSY_IDLE_S if len(self._open) > BUSY_FROM * self._limit else IDLE_S
            for connection in list(self._open):
                if connection.overdue(now, idle_s):
                    self._end(connection)

    def _make_room(self, candidates: list[AnyConnection]) -> None:
        *others, newest = candidates
        idle = [one for one in others if one.idle]
        kept_alive = [one for one in idle if one.has_asked]
        self._end(min(kept_alive or idle or [newest], key=lambda one: one.active_at))

    def _end(self, connection: AnyConnection) -> None:
        self.release(connection)
        connection.end()


class HttpConnection(web.RequestHandler):
    """aiohttp's connection, which also knows what it waits for."""

    def __init__(self, server: web.Server, connections: HttpConnections, **options: Any) -> None:
        super().__init__(server, **options)
        self.connections = connections
        self.check_frames: Callable[[bytes], bool] | None = None
        self._request_since: float | None = None
        self._header_since: float | None = None
        self._body: Any = None  # of the last request that has come; its end may not have
        self._begun = b""  # of a header that may open a websocket
        self.active_at = self._loop.time()
        self.has_asked = False  # a whole header has come

    @property
    def idle(self) -> bool:
        """Whether no request is being served: it waits for one, or for the rest of a header."""
        return not self._messages and not self._request_in_progress

    @property
    def _expects_request(self) -> bool:
        """Whether a request comes next: it is idle, and not inside a body that no handler has read."""
        return self.idle and (self._body is None or self._body.is_eof())

    def overdue(self, now: float, idle_s: float) -> bool:
        """Whether a step of a request takes too long; `idle_s`: how long none needs to begin."""
        if not self.idle:
            self.active_at = now
            self._header_since = None
            self._request_since = self._request_since or now
            return now - self._request_since >= REQUEST_S
        self._request_since = None
        if not self.has_asked:
            return self.connections.is_late(now - self.active_at)
        if self._header_since is not None:
            return self.connections.is_late(now - self._header_since)
        return now - self.active_at >= idle_s

    def end(self) -> None:
        """Close the connection, also when its client does not read."""
        transport, serving = self.transport, self._task_handler
        if self.idle or serving is None:
            if transport is not None and transport.get_write_buffer_size():
                abort_connection(transport)
            self.force_close()
            return
        # The handler must end before its transport does: asyncio's sendfile would never end otherwise.
        serving.add_done_callback(lambda done: abort_connection(transport))
        serving.cancel()

    # What asyncio and aiohttp call

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be parsed, and what a handler did not expect, is answered as every other error."""
        super().handle_error(request, status, exc, message)  # it logs, and raises when an answer has begun
        if status >= 500:
            error: RoomgraphError = Unavailable("the server made a mistake; try again", ErrorCode.INTERNAL)
        else:
            error = Refused(ErrorCode.INVALID_PAYLOAD, "this is not a request of HTTP/1.1")
        response = web.json_response({"ok": False, "error": error.to_wire()}, status=status)
        response.force_close()
        return response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.connections.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        openings = self.connections.openings
        expected = self._expects_request
        between_requests = expected and self.has_asked and (self._begun or self._header_since is None)
        if openings is not None and between_requests:
            data, self._begun = self._begun + data, b""
            if self._became_websocket(data, openings):
                return
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]
        if not self.idle:
            self.has_asked = True
            self._header_since = None
            self.active_at = self._loop.time()
        elif expected and self.has_asked and data and self._header_since is None:
            self._header_since = self._loop.time()

    def _became_websocket(self, data: bytes, openings: Openings) -> bool:
        """Whether a later request is none of aiohttp's: proxies open websockets on connections that they keep."""
        transport = cast(asyncio.Transport, self.transport)
        if transport is None or transport.is_closing():
            return False
        if openings.take(data, transport, remote_of(self.peername)):
            detach(self)
            return True
        if openings.may_be(data):
            self._begun = data
            self._header_since = self._header_since or self._loop.time()
            return True
        return False

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        if self.check_frames is not None:
            parser = _CheckedParser(parser, self.check_frames)
        super().set_parser(parser, data_received_cb)


AnyConnection = HttpConnection | FirstBytes
H = TypeVar("H", bound=Callable[..., Awaitable[web.StreamResponse]])


def streams_body(handler: H) -> H:
    """Mark a handler that reads the body itself, piece by piece, with limits of its own."""
    handler.streams_body = True  # type: ignore[attr-defined]
    return handler


@contextlib.contextmanager
def uncounted(request: web.Request) -> Iterator[None]:
    """Neither count the request's connection nor limit its time meanwhile: it becomes a websocket or a stream."""
    connection = _connection(request)
    if connection is None:
        yield
        return
    connection.connections.release(connection)
    try:
        yield
    finally:
        if connection.transport is not None and not connection.transport.is_closing():
            connection.connections.admit(connection)


def check_frames(request: web.Request, check: Callable[[bytes], bool]) -> None:
    """Call `check` with what the websocket receives that the request opens; it is parsed if that returns True."""
    connection = _connection(request)
    if connection is not None:
        connection.check_frames = check


UNSENT_IS_INHERITED = sys.platform == "linux"


def bound_unsent(connection: Any) -> None:
    """Bound what the system may hold of a connection's socket beyond what is on its way."""
    if hasattr(sockets, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def abort_connection(transport: asyncio.Transport | None) -> None:
    """End a connection with RST: otherwise the system would keep what a client does not read, for minutes."""
    if transport is None:
        return
    with contextlib.suppress(OSError, RuntimeError):  # what uvloop says of a connection that has ended
        connection = transport.get_extra_info("socket")
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _NO_LINGER)
    transport.abort()


def _connection(request: web.Request) -> HttpConnection | None:
    """The connection of a request; None where another server has it (a node that is embedded)."""
    connection = request.protocol
    return connection if isinstance(connection, HttpConnection) else None


class _CheckedParser:
    """The parser of a websocket, which gets only what was checked."""

    def __init__(self, parser: Any, check: Callable[[bytes], bool]) -> None:
        self._parser = parser
        self._check = check

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._check(data):
            end, rest = self._parser.feed_data(data)
            return bool(end), bytes(rest)
        return False, b""

    def feed_eof(self) -> None:
        self._parser.feed_eof()


class _Request(web.Request):
    """A request whose answers do not name the server's software and its versions."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        response.headers.pop(hdrs.SERVER, None)


class _Server(web.Server):
    """aiohttp's server, with connections of ours."""

    def __init__(self, server: web.Server, connections: HttpConnections, **options: Any) -> None:
        request_factory = partial(server.request_factory, _cls=_Request)  # type: ignore[call-arg]
        super().__init__(server.request_handler, request_factory=request_factory)
        self._bounds = connections
        self._make_connection = partial(HttpConnection, self, connections, loop=self._loop, **options)

    def __call__(self) -> Any:
        openings = self._bounds.openings
        if openings is None:
            return self._make_connection()
        return FirstBytes(self._bounds, openings, self._make_connection)


class HttpRunner(web.AppRunner):
    """Serves an application on bounded connections; `connections.run` is for the caller to keep running."""

    def __init__(self, app: web.Application, connections: HttpConnections, *, shutdown_timeout: float) -> None:
        app.middlewares.append(_read_body)  # the others answer what it raises
        super().__init__(
            app,
            handle_signals=False,
            shutdown_timeout=shutdown_timeout,
            access_log=None,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
        )
        self._connections = connections

    def bound_unsent(self) -> None:
        """Bound what the system holds of each connection, which on Linux it inherits from the listening socket."""
        if UNSENT_IS_INHERITED:
            for listening in listening_sockets(self):
                bound_unsent(listening)

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._connections, **self._kwargs)


@web.middleware
async def _read_body(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Read the body, where there is one, in bounded time."""
    if request.can_read_body and not getattr(request.match_info.handler, "streams_body", False):
        try:
            async with asyncio.timeout(BODY_S):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body did not come") from None
    return await handler(request)
