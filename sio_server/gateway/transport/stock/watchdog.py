"""Ends the connections of clients that do not read, and those without a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sio_server.gateway.transport.stock.websocket import ClientWebSocket

CONNECT_S = 5.0  # a connection without a session for so long is closed
CHECK_S = 0.5


class Watchdog:
    """Checks all connections twice a second."""

    def __init__(
        self,
        sockets: Mapping[str, Any],
        *,
        on_stalled: Callable[[str], None],
        on_no_session: Callable[[str], None],
    ) -> None:
        """`sockets`: the engine's, by their ids, with which both callbacks are called."""
        self._sockets = sockets
        self._on_stalled = on_stalled
        self._on_no_session = on_no_session
        self._without_session: dict[str, float] = {}  # engine's id -> since when

    def watch_for_session(self, eio_sid: str) -> None:
        """The connection has no session: it must ask for one in time."""
        self._without_session[eio_sid] = asyncio.get_running_loop().time()

    def forget(self, eio_sid: str) -> None:
        """The connection has asked for a session, or has ended: it is not waited for any more."""
        self._without_session.pop(eio_sid, None)

    async def run(self) -> None:
        """Check, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_S)
            self._check(loop.time())

    def _check(self, now: float) -> None:
        for eio_sid, socket in list(self._sockets.items()):
            websocket: ClientWebSocket | None = getattr(socket, "websocket", None)
            if websocket is not None and websocket.stalled(now):
                self._on_stalled(eio_sid)
        for eio_sid, since in list(self._without_session.items()):
            if now - since >= CONNECT_S - CHECK_S:
                del self._without_session[eio_sid]
                self._on_no_session(eio_sid)
