"""Refused handshakes in the log: one line for each reason and minute, with what to change."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import inf

from sio_server.protocol.errors import ErrorCode, RoomgraphError

log = logging.getLogger(__name__)

PERIOD_S = 60.0

# What an operator may change, by the code with which a handshake is refused.
ADVICE: dict[str, str] = {
    ErrorCode.TOKEN_MISSING: "clients must put a token into the handshake's auth as `token`",
    ErrorCode.TOKEN_INVALID: "tokens must be signed with AUTH_SECRET (HS256) or a key of AUTH_JWKS_URL (RS256, "
    "ES256), for AUTH_AUDIENCE and from AUTH_ISSUER, which must be the same on all nodes and where tokens are "
    "issued; AUTHENTICATE logs what it refuses",
    ErrorCode.TOKEN_EXPIRED: "clients must get a new token in time; let tokens last longer (TOKEN_TTL, or `exp`)",
    ErrorCode.TOKEN_REVOKED: "nothing, when this device or user is to be shut out; newer tokens are accepted",
    ErrorCode.INVALID_PAYLOAD: "correct the `auth` object that the client sends (docs/protocol.md, section 1)",
    ErrorCode.RATE_LIMITED: "if these clients are welcome, raise RATE_LIMIT_EVENTS or RATE_LIMIT_ADDRESS; behind "
    "proxies set TRUSTED_PROXIES",
    ErrorCode.TOO_MANY_CONNECTIONS: "if these clients are welcome, raise CONNECTIONS_PER_USER or "
    "CONNECTIONS_PER_ADDRESS; behind proxies set TRUSTED_PROXIES",
    ErrorCode.UNAVAILABLE: "see whether Redis answers (REDIS_URL), and AUTH_JWKS_URL and AUTHENTICATE if set, and "
    "whether this node is being stopped",
    ErrorCode.INTERNAL: "report this traceback: it is a fault of the server",
}


@dataclass
class _Reason:
    logged_at: float = -inf
    unlogged: int = 0  # refusals since


class HandshakeRefusals:
    """Logs why handshakes are refused, however many clients are. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._reasons: dict[str, _Reason] = {}  # by the code: these are few

    def add(self, error: RoomgraphError, now: float, *, cause: BaseException | None = None) -> None:
        """A handshake was refused with `error`; `cause` is shown with its traceback."""
        reason = self._reasons.setdefault(error.code, _Reason())
        reason.unlogged += 1
        if now - reason.logged_at < PERIOD_S:
            return
        log.warning(
            "handshakes are refused: code=%s count=%d message=%r; what to change: %s",
            error.code,
            reason.unlogged,
            error.message,
            ADVICE.get(error.code, "see docs/protocol.md, section 1"),
            exc_info=cause,
        )
        reason.logged_at, reason.unlogged = now, 0
