"""The SDK's errors: those of the protocol, and two that only a client can have.

RoomgraphError
├── Refused             the server said no; nothing was done
├── Unavailable         the outcome is unknown, and the SDK has given up repeating
├── NotConnected        there is no connection, and no node could be reached in time
└── ConversationReset   what was seen is not the log any more: drop it and read on from a snapshot
"""

from __future__ import annotations

from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable, from_wire

__all__ = [
    "ConversationReset",
    "ErrorCode",
    "NotConnected",
    "Refused",
    "RoomgraphError",
    "Unavailable",
    "from_wire",
]


class NotConnected(RoomgraphError):
    """No node could be reached in time, or the client is closed."""

    def __init__(self, message: str) -> None:
        super().__init__("not_connected", message)


class ConversationReset(RoomgraphError):
    """Raised once by `Conversation.entries()`: begin again with an empty view; the next entries are a snapshot."""

    def __init__(self, reason: str) -> None:
        super().__init__("conversation_reset", f"the log is not the one that was seen before: {reason}")
        self.reason = reason
