"""The SDK's errors: those of the protocol, and those that only a client can have.

RoomgraphError
├── Refused             the server said no; nothing was done
├── Unavailable         the outcome is unknown, and the SDK has given up repeating
├── SessionEnded        this device was signed out: the client is closed for good
├── NotConnected        there is no connection, and no node could be reached in time
└── ConversationReset   what was seen is not the log any more: drop it and read on from a snapshot
"""

from __future__ import annotations

from collections.abc import Mapping

from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable, from_wire

__all__ = [
    "ConversationReset",
    "ErrorCode",
    "NotConnected",
    "Refused",
    "RoomgraphError",
    "SessionEnded",
    "Unavailable",
    "from_wire",
]


class SessionEnded(RoomgraphError):
    """The server has ended this device's sessions for good; `by` is the device that asked for it.

    Its token is refused from now on (`token_revoked`): it takes a newer one.
    """

    def __init__(self, reason: str, by: Mapping[str, str]) -> None:
        where = by.get("device_name") or by.get("device_id", "")
        signed_out = f"this device was signed out on {where}"
        super().__init__("session_ended", signed_out if reason == "signed_out" else f"the server says: {reason}")
        self.reason = reason
        self.by = dict(by)


class NotConnected(RoomgraphError):
    """No node could be reached in time, or the client is closed."""

    def __init__(self, message: str) -> None:
        super().__init__("not_connected", message)


class ConversationReset(RoomgraphError):
    """Raised once by `Conversation.entries()`: begin again with an empty view; the next entries are a snapshot."""

    def __init__(self, reason: str) -> None:
        super().__init__("conversation_reset", f"the log is not the one that was seen before: {reason}")
        self.reason = reason
