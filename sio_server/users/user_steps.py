"""The base of what changes a user's devices and sessions: the scripts, and those who learn of it."""

from __future__ import annotations

from redis.asyncio import Redis

from sio_server.conversation.members import Members
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent
from sio_server.store.emitter import Emitter
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
        self._emitter = Emitter(scripts)

    async def _tell_presence(self, user_id: str, online: bool) -> None:
        """Tell the members of the user's conversations that the user has come or gone. It may be lost."""
        try:
            ids = await self._members.ids(user_id, PRESENCE_ROOMS)
        except Unavailable:
            return
        presence = {"user_id": user_id, "online": online}
        await self._emitter.emit_many((ServerEvent.PRESENCE_CHANGED, presence, conversation_room(i)) for i in ids)


def check_session(reply: Reply) -> None:
    """Raise Unavailable when the session that asked has ended meanwhile."""
    if reply.status == "session_ended":
        raise Unavailable("the session has ended; connect again")
