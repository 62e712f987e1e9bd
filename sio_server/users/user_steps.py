"""The base of what changes a user's devices and sessions: the scripts, and the rooms that learn of it."""

from __future__ import annotations

from redis.asyncio import Redis

from sio_server.conversation.members import Members
from sio_server.protocol.errors import Unavailable
from sio_server.store.keys import conversation_room
from sio_server.store.scripts import Reply, Scripts

# A user's coming and going is published to the members of at most so many of the user's conversations.
PRESENCE_ROOMS = 200


class UserSteps:
    """Runs steps on users. Each is one with its publication, so the last `devices:changed` that comes is true."""

    def __init__(self, redis: Redis, scripts: Scripts, members: Members, *, users_kept_ms: int = 0) -> None:
        """`users_kept_ms`: what a user has is forgotten so long after the last session (0: never)."""
        self._redis = redis
        self._scripts = scripts
        self._members = members
        self._kept_ms = users_kept_ms

    async def _rooms(self, user_id: str) -> list[str]:
        """The rooms that learn when the user comes or goes."""
        ids = await self._members.ids(user_id, PRESENCE_ROOMS)
        return [conversation_room(conversation_id) for conversation_id in ids]


def check_session(reply: Reply) -> None:
    """Raise Unavailable when the session that asked has ended meanwhile."""
    if reply.status == "session_ended":
        raise Unavailable("the session has ended; connect again")
