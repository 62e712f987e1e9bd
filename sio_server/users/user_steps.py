"""The base of what changes a user's devices and sessions: the scripts, and how long things are kept."""

from __future__ import annotations

from redis.asyncio import Redis

from sio_server.protocol.errors import Unavailable
from sio_server.store.scripts import Reply, Scripts


class UserSteps:
    """Runs steps on users. Each is one with its publication, so the last `devices:changed` that comes is true."""

    def __init__(self, redis: Redis, scripts: Scripts, *, users_kept_ms: int = 0) -> None:
        """`users_kept_ms`: what a user has is forgotten so long after the last session (0: never)."""
        self._redis = redis
        self._scripts = scripts
        self._kept_ms = users_kept_ms


def check_session(reply: Reply) -> None:
    """Raise Unavailable when the session that asked has ended meanwhile."""
    if reply.status == "session_ended":
        raise Unavailable("the session has ended; connect again")
