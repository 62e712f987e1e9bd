"""Events for clients whose request is being handled: they wait a moment, and are written with the answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)

HELD_S = 0.001  # an event waits no longer for the answer
HELD_BYTES = 16 * 1024  # nor when there are so many of them


class HoldingConnection(Protocol):
    """A connection with events that wait."""

    def write_held(self) -> None:
        """Write them, if they have not been written with something else."""
        ...


class Held:
    """The connections with events that wait, and one timer for all of them."""

    def __init__(self) -> None:
        self._connections: list[HoldingConnection] = []

    def add(self, connection: HoldingConnection) -> None:
        """Its first event waits: `write_held` is called in HELD_S."""
        if not self._connections:
            # On a busy loop the timer is due before the answers whose results have come: these are written first.
            loop = asyncio.get_running_loop()
            loop.call_later(HELD_S, loop.call_soon, self._write_all)
        self._connections.append(connection)

    def _write_all(self) -> None:
        connections, self._connections = self._connections, []
        for connection in connections:
            try:
                connection.write_held()
            except Exception:  # it has just broken
                log.exception("an event could not be sent to a connection")
