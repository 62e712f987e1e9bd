"""One connection to one node: the only module of the SDK that knows python-socketio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import socketio

from sio_clients.errors import NotConnected, RateLimited, RoomgraphError, Unavailable, from_wire
from sio_server.protocol.events import ServerEvent

CONNECT_TIMEOUT_S = 5.0
GOODBYE_TIMEOUT_S = 1.0

# The engine logs lost connections as errors, by names of its own; here they are told by exceptions.
_engine_log = logging.getLogger(f"{__name__}.engine")
_engine_log.setLevel(logging.CRITICAL)


class ConnectionLost(Exception):
    """The connection ended before the answer came: the outcome is unknown."""


class Transport:
    """A live connection. `on_event(event, payload)` is called in order; `on_lost()` once, at the end."""

    def __init__(self, on_event: Callable[[str, Any], None], on_lost: Callable[[], None]) -> None:
        self._on_event = on_event
        self._on_lost = on_lost
        self._http: aiohttp.ClientSession | None = None
        self._sio: socketio.AsyncClient | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._lost = False
        self._heard_at = 0.0

    async def connect(self, url: str, auth: dict[str, Any]) -> dict[str, Any]:
        """Connect; return the payload of `session:opened`. Raises Refused, also RateLimited, or NotConnected."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        )
        self._sio = socketio.AsyncClient(
            reconnection=False, http_session=self._http, handle_sigint=False, engineio_logger=_engine_log
        )
        refusal: list[Any] = []
        self._sio.on("*", self._receive)
        self._sio.on("disconnect", lambda reason=None: self._end())
        self._sio.on("connect_error", refusal.append)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._sio.connect(
                    url,
                    auth=auth,
                    transports=["websocket"],
                    wait_timeout=CONNECT_TIMEOUT_S,
                    namespaces=["/"],
                    socketio_path=socket_path(url),
                )
                return await self._ready
        except (
            socketio.exceptions.SocketIOError,
            aiohttp.ClientError,
            OSError,
            TimeoutError,
            ConnectionLost,
        ) as exc:
            await self.close()
            raise _refusal(refusal) or NotConnected(f"{url}: {exc or 'no answer'}") from None
        except BaseException:
            await self.close()
            raise

    async def request(self, event: str, payload: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send an event and return its ack without `ok`.

        Raises Refused or Unavailable as the server says, ConnectionLost or TimeoutError without an answer.
        A node that has said nothing at all meanwhile is silent: the connection is given up.
        """
        if self._sio is None or self._lost:
            raise ConnectionLost
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.add(answer)
        asked_at = loop.time()

        def acked(*args: Any) -> None:
            self._heard_at = loop.time()
            if not answer.done():
                answer.set_result(args[0] if args else None)

        try:
            async with asyncio.timeout(timeout):
                try:
                    await self._sio.emit(event, payload, callback=acked)
                except socketio.exceptions.SocketIOError:
                    raise ConnectionLost from None
                ack = await answer
        except TimeoutError:
            if self._heard_at < asked_at:
                await self.cut()
            raise
        finally:
            self._waiting.discard(answer)
        if not isinstance(ack, dict) or "ok" not in ack:
            raise Unavailable("the server's answer was not understood")
        if not ack["ok"]:
            raise from_wire(ack.get("error"))
        return {name: value for name, value in ack.items() if name != "ok"}

    async def close(self) -> None:
        """Say goodbye and close. All is closed also when this is cancelled meanwhile."""
        try:
            await self._say_goodbye()
        finally:
            self._end()
            if self._http is not None:
                await self._http.close()

    async def _say_goodbye(self) -> None:
        if self._sio is None:
            return
        # In a task of its own that is left alone after its time: the library catches cancellations in
        # places, and a close that waits for ever would keep a program from ending.
        goodbye = asyncio.ensure_future(self._sio.disconnect())
        try:
            await asyncio.wait({goodbye}, timeout=GOODBYE_TIMEOUT_S)
        finally:
            goodbye.cancel()
            goodbye.add_done_callback(_drop_error)  # it is closed either way

    async def cut(self) -> None:
        """End the connection without a goodbye, as a network does that goes away."""
        if self._sio is not None:
            with contextlib.suppress(AttributeError):
                self._sio.eio.ws._writer.transport.abort()
        await self.close()

    def _receive(self, event: str, *args: Any) -> None:
        payload = args[0] if args else None
        self._heard_at = asyncio.get_running_loop().time()
        ready = self._ready
        if (
            event == ServerEvent.SESSION_OPENED
            and isinstance(payload, dict)
            and ready is not None
            and not ready.done()
        ):
            ready.set_result(payload)
        if not self._lost:
            self._on_event(event, payload)

    def _end(self) -> None:
        if self._lost:
            return
        self._lost = True
        for answer in [*self._waiting, self._ready]:
            if answer is not None and not answer.done():
                answer.set_exception(ConnectionLost())
                answer.exception()  # whoever waits gets it; if nobody waits any more, that is no error
        self._on_lost()


def _drop_error(task: asyncio.Future[None]) -> None:
    if not task.cancelled():
        task.exception()


def socket_path(url: str) -> str:
    """Where a node serves its sockets: below the path of its address, which python-socketio does not look at."""
    return f"{urlsplit(url).path.strip('/')}/socket.io"


def _refusal(data: list[Any]) -> RoomgraphError | None:
    """The server's reason for a refused handshake, if it gave one that holds, or says when to come again."""
    for item in data:
        error = item.get("data") if isinstance(item, dict) else None
        if isinstance(error, dict) and "code" in error:
            refused = from_wire(error)
            return refused if isinstance(refused, RateLimited) or not refused.retryable else None
    return None
