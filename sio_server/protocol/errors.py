"""Every error code a client can meet, what it means and whether to try again.

Tree:

    RoomgraphError
    ├── Refused        the server said no; nothing was done
    │   └── RateLimited    not now; it may be sent again after a while
    └── Unavailable    the server could not tell; the operation may or may not have been done
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Stable codes of `error.code` in an ack and of `data.code` in a refused handshake."""

    TOKEN_MISSING = "token_missing"
    TOKEN_INVALID = "token_invalid"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_REVOKED = "token_revoked"
    INVALID_PAYLOAD = "invalid_payload"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    NOT_SUPPORTED = "not_supported"  # another transport, protocol version or namespace than the one served
    NOT_FOUND = "not_found"  # over HTTP: no such path; of `entry:read`: no such entry, or page
    METHOD_NOT_ALLOWED = "method_not_allowed"  # over HTTP: the path is there, for other methods
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    NOT_A_MEMBER = "not_a_member"
    NOT_ALLOWED = "not_allowed"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    HOST_NOT_ALLOWED = "host_not_allowed"
    CONVERSATION_EXISTS = "conversation_exists"
    REQUEST_ID_REUSED = "request_id_reused"
    OUT_OF_ORDER = "out_of_order"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_CONVERSATIONS = "too_many_conversations"
    QUOTA_EXCEEDED = "quota_exceeded"
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_GRAPH = "unknown_graph"
    RUN_IN_PROGRESS = "run_in_progress"
    NOT_LATEST = "not_latest"
    UNKNOWN_INTERRUPT = "unknown_interrupt"
    ALREADY_RESOLVED = "already_resolved"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


# With these the outcome is unknown. Every request may be repeated as it was: one that changes something carries
# its `request_id`, and all others have the same effect once or twice.
UNKNOWN_OUTCOME = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL})
# With the others of these nothing was done, and the same request may be accepted later.
RETRYABLE = UNKNOWN_OUTCOME | {ErrorCode.RATE_LIMITED, ErrorCode.TOO_MANY_CONNECTIONS, ErrorCode.OUT_OF_ORDER}


MAX_WAIT_MS = 3_600_000  # the longest `retry_after_ms`


class RoomgraphError(Exception):
    """An error with a stable code; `retryable` is True when repeating the request unchanged may help.

    `details`: what a client needs to act on this code, such as the answer that came first; plain JSON values.
    """

    def __init__(self, code: ErrorCode | str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = str(code)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def retryable(self) -> bool:
        return self.code in RETRYABLE

    def to_wire(self) -> dict[str, Any]:
        """The `error` object of an ack: `{code, message, retryable}`, and `details` when there are any."""
        error = {"code": self.code, "message": self.message, "retryable": self.retryable}
        return {**error, "details": self.details} if self.details else error


class Refused(RoomgraphError):
    """The server said no, and nothing was done."""


class RateLimited(Refused):
    """Too much was asked for; after `retry_after_ms` the same request may be sent again."""

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(ErrorCode.RATE_LIMITED, message)
        self.retry_after_ms = retry_after_ms

    def to_wire(self) -> dict[str, Any]:
        return {**super().to_wire(), "retry_after_ms": self.retry_after_ms}


class Unavailable(RoomgraphError):
    """The server could not finish: the operation may or may not have been done. Repeat it unchanged."""

    def __init__(self, message: str, code: ErrorCode = ErrorCode.UNAVAILABLE) -> None:
        super().__init__(code, message)


def from_wire(error: Any) -> RoomgraphError:
    """Turn the `error` object of an ack back into an exception; unknown codes are kept as they are."""
    if not isinstance(error, dict):
        return Unavailable("the server's answer was not understood", ErrorCode.INTERNAL)
    code, message = str(error.get("code", ErrorCode.INTERNAL)), str(error.get("message", ""))
    if code in UNKNOWN_OUTCOME:
        return Unavailable(message, ErrorCode(code))
    if code == ErrorCode.RATE_LIMITED:
        wait = error.get("retry_after_ms")
        return RateLimited(message, wait if isinstance(wait, int) and 0 <= wait <= MAX_WAIT_MS else 1000)
    details = error.get("details")
    return Refused(code, message, details if isinstance(details, dict) else None)
