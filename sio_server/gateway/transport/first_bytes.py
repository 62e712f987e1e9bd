"""The first bytes of a TCP connection: whether it becomes a websocket of ours, or aiohttp's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from sio_server.gateway.transport.http_connections import HttpConnection, HttpConnections


class Openings(Protocol):
    """What takes connections over that open a websocket."""

    def may_be(self, data: bytes) -> bool:
        """Whether a request that begins like this may be an opening; more of it is needed to know."""
        ...

    def take(self, data: bytes, transport: asyncio.Transport, remote: str | None) -> bool:
        """Take the connection over, if this is an opening that is in order and not refused."""
        ...


class FirstBytes(asyncio.Protocol):
    """A connection whose first request has not come: it costs little, and counts as an HTTP connection."""

    __slots__ = ("_connections", "_data", "_make", "_openings", "active_at", "peername", "transport")

    idle = True
    has_asked = False  # a whole header has come

    def __init__(
        self, connections: HttpConnections, openings: Openings, make: Callable[[], HttpConnection]
    ) -> None:
        """`make` makes aiohttp's connection, for what is no opening."""
        self._connections = connections
        self._openings = openings
        self._make = make
        self._data = b""
        self.transport: asyncio.Transport | None = None
        self.peername: object = None
        self.active_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.peername = transport.get_extra_info("peername")
        self.active_at = asyncio.get_running_loop().time()
        self._connections.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.release(self)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        data = self._data + data if self._data else data
        if self._openings.take(data, transport, remote_of(self.peername)):
            self._connections.release(self)
            self.transport = None
        elif self._openings.may_be(data):
            self._data = data
        else:
            self._connections.release(self)
            self.transport = None
            connection = self._make()
            transport.set_protocol(connection)
            connection.connection_made(transport)
            connection.active_at = self.active_at  # its first header has its time from the beginning
            connection.data_received(data)

    def overdue(self, now: float, idle_s: float) -> bool:
        """Whether the request takes too long."""
        return self._connections.is_late(now - self.active_at)

    def end(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.abort()


def remote_of(peername: object) -> str | None:
    """The address of a peer; None where it has none, such as at a Unix socket."""
    return str(peername[0]) if isinstance(peername, tuple) else None
