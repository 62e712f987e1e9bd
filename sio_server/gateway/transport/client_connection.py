"""What both transports offer of one client's connection, and the times of its end."""

from __future__ import annotations

from typing import Protocol

from sio_server.gateway.transport.close_codes import CloseCode
from sio_server.gateway.transport.inbound import Fault

CLOSE_TIMEOUT_S = 1.0  # for a client to answer a close frame
FAULT_NOTICE_S = 0.2  # between the close frame and the end of a connection that is not read from any more


class ClientConnection(Protocol):
    """The websocket of one client. `sid` is that of its session, if it has one: the Socket.IO server sets it."""

    sid: str | None

    @property
    def eio_sid(self) -> str:
        """The engine's id of the connection."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        ...

    def abort(self) -> None:
        """End the connection at once, also when the client does not read; forget what waits for it."""
        ...

    def fail(self, fault: Fault) -> None:
        """Read nothing more from the client, and have the connection ended, with the reason in the close frame."""
        ...

    async def goodbye(self, code: CloseCode, reason: str) -> None:
        """End the session and the connection in order, with the engine's own goodbye."""
        ...

    async def refuse(self, reason: str) -> None:
        """End a connection without a session, with the reason in the close frame."""
        ...
