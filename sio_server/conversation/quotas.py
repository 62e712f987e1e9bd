"""How much a user may have stored, and how long what nobody uses is kept.

A user's total is kept in the user's own slot of Redis, a conversation's log in that of its partition, and one step
changes keys of one slot only. So bytes are reserved for a conversation ahead, in the step that checks the user's
total, and the step that writes checks what was granted there. Both change nothing when they are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.run import SERVICE_PREFIX
from sio_server.store.connection import redis_errors
from sio_server.store.keys import ConversationKeys, user_reserved
from sio_server.store.scripts import Argument, Reply, Request, Scripts

AHEAD_BYTES = 64 * 1024  # reserved beyond what is needed now, so that few messages wait for a reservation
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Quotas:
    """What a user may have at a time (0: any number), and lifetimes in milliseconds (0: for ever)."""

    conversations: int = 0  # of which the user is a member
    bytes: int = 0  # of messages and drafts, in all conversations that exist
    invitations: int = 0  # by the user, that hold
    invitations_kept_ms: int = 30 * DAY_MS  # how long an invitation holds
    abandoned_kept_ms: int = 7 * DAY_MS  # a conversation that nobody can reach


class Allowances:
    """Reserves a user's bytes for conversations."""

    def __init__(self, scripts: Scripts, quotas: Quotas) -> None:
        self._scripts = scripts
        self._quotas = quotas
        self._quota = str(quotas.bytes or "")

    async def write(
        self, name: str, conversation_id: str, user_id: str, request: Request, arguments: dict[str, Argument]
    ) -> Reply:
        """Run a script that writes for a user, and reserve what it needs. Raises Refused with `quota_exceeded`.

        `arguments`: of the script, without the user and the quota.
        """
        arguments["user_id"] = user_id
        arguments["quota"] = "" if user_id.startswith(SERVICE_PREFIX) else self._quota
        for _ in range(3):  # others of the user's requests may have used what was granted
            reply = await self._scripts.run(name, conversation_id, request, arguments)
            if reply.status != "grant_needed":
                return reply
            await self._grant(conversation_id, user_id, int(reply["wanted"]))
        raise Unavailable("too many messages of this user at the same time; try again")

    async def _grant(self, conversation_id: str, user_id: str, wanted: int) -> None:
        try:
            reply = await self._reserve(conversation_id, user_id, wanted)
        except Refused:
            if not await self._release(user_id):
                raise
            reply = await self._reserve(conversation_id, user_id, wanted)
        granted = int(reply["reserved"])
        await self._scripts.conversation("grant_bytes", conversation_id, user_id=user_id, bytes=granted)

    async def _reserve(self, conversation_id: str, user_id: str, wanted: int) -> Reply:
        return await self._scripts.user(
            "reserve_bytes",
            user_id,
            conversation_id=conversation_id,
            wanted=wanted,
            ahead=AHEAD_BYTES,
            quota=self._quotas.bytes,
        )

    async def _release(self, user_id: str) -> bool:
        """Give back what was reserved for conversations that are gone; return whether there were any."""
        redis = self._scripts.redis
        with redis_errors():
            reserved = [str(item) for item in await redis.hkeys(user_reserved(user_id)) if item]
            pipe = redis.pipeline(transaction=False)
            for conversation_id in reserved:
                pipe.exists(ConversationKeys(conversation_id).meta)
            exists: Sequence[int] = await pipe.execute()
        gone = [conversation_id for conversation_id, there in zip(reserved, exists, strict=True) if not there]
        if gone:
            await self._scripts.user("release_bytes", user_id, conversation_ids=gone)
        return bool(gone)
