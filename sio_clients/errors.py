"""The SDK's errors: those of the protocol, and those that only a client can have.

RoomgraphError
├── Refused             the server refused; nothing was done
│   └── RateLimited         a rate limit was exceeded, and the SDK has given up waiting
├── Unavailable         the outcome is unknown, and the SDK has given up repeating
├── SessionEnded        this device was signed out, or its token is no longer accepted: the client is closed
├── NotConnected        no node could be reached in time, or the client is closed
└── ConversationReset   the entries seen before are no longer the log: drop them and continue from a snapshot
"""

from __future__ import annotations

from collections.abc import Mapping

from sio_server.protocol.errors import ErrorCode, RateLimited, Refused, RoomgraphError, Unavailable, from_wire

__all__ = [
    "ConversationReset",
    "ErrorCode",
    "NotConnected",
    "RateLimited",
    "Refused",
    "RoomgraphError",
    "SessionEnded",
    "Unavailable",
    "from_wire",
]


class SessionEnded(RoomgraphError):
    """The server has ended this session. Its token is refused from now on; a newer token is accepted.

    `reason`: `signed_out` (by the device `by`), `token_expired`, or `token_revoked` by the operator.
    """

    def __init__(self, reason: str, by: Mapping[str, str]) -> None:
        where = by.get("device_name") or by.get("device_id", "")
        said = {
            "signed_out": f"this device was signed out on {where}",
            "token_expired": "the token has expired: get a new one",
            "token_revoked": "the token was revoked: get a new one",
        }
        super().__init__("session_ended", said.get(reason, f"the server says: {reason}"))
        self.reason = reason
        self.by = dict(by)


class NotConnected(RoomgraphError):
    """No node could be reached in time, or the client is closed."""

    def __init__(self, message: str) -> None:
        super().__init__("not_connected", message)


class ConversationReset(RoomgraphError):
    """Raised once by `Conversation.entries()`: clear the view; the next entries are a snapshot."""

    def __init__(self, reason: str) -> None:
        super().__init__("conversation_reset", f"the log is not the one that was seen before: {reason}")
        self.reason = reason
