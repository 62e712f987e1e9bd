"""Whether users are online at this moment, and in which of their conversations others may see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from sio_server.store.connection import redis_errors
from sio_server.store.keys import LEAVING, PRESENCE_ROOMS, ConversationKeys, user_conversations, user_sessions
from sio_server.store.scripts import Command

MAX_COMMANDS = 2000  # in one round trip


class PresenceRecords:
    """The presence of all users: a user is online who has a session on any node."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def online(self, user_ids: Sequence[str]) -> list[bool]:
        """Whether each user is online. Raises Unavailable."""
        replies = await self._ask([("EXISTS", user_sessions(user_id)) for user_id in user_ids])
        for reply in replies:
            if isinstance(reply, Exception):
                with redis_errors():
                    raise reply
        return [bool(reply) for reply in replies]

    async def conversations(self, seen_in: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Those of the conversations (user id -> ids) that each user is a member of now. Raises Unavailable."""
        users_of: dict[str, list[str]] = {}
        for user_id, conversation_ids in seen_in.items():
            for conversation_id in conversation_ids:
                users_of.setdefault(conversation_id, []).append(user_id)
        asked = [("HMGET", ConversationKeys(one).members, *user_ids) for one, user_ids in users_of.items()]
        belongs: dict[str, list[str]] = {user_id: [] for user_id in seen_in}
        for (conversation_id, user_ids), roles in zip(users_of.items(), await self._ask(asked), strict=True):
            if isinstance(roles, Exception):
                continue  # something is wrong with this conversation only
            for user_id, role in zip(user_ids, roles, strict=True):
                if role is not None:
                    belongs[user_id].append(conversation_id)
        return belongs

    async def note_leaving(self, user_ids: Sequence[str], due_ms: int) -> None:
        """Others are to be told at a time that these users have gone: by any node. Raises Unavailable."""
        with redis_errors():
            await self._redis.zadd(LEAVING, dict.fromkeys(user_ids, due_ms))

    async def overdue(self, before_ms: int, limit: int) -> list[str]:
        """Users of whom others should have been told before a time, and were not. Raises Unavailable."""
        with redis_errors():
            found = await self._redis.zrange(LEAVING, "-inf", before_ms, byscore=True, offset=0, num=limit)
        return [str(user_id) for user_id in found]

    async def settle(self, user_ids: Sequence[str]) -> None:
        """Others know how it is with these users. Raises Unavailable."""
        with redis_errors():
            await self._redis.zrem(LEAVING, *user_ids)

    async def seen_in(self, user_ids: Sequence[str]) -> list[list[str]]:
        """The conversations of each user whose members may see it; it may name too many. Raises Unavailable."""
        asked = [("ZRANGE", user_conversations(one), "0", str(PRESENCE_ROOMS - 1)) for one in user_ids]
        return [[] if isinstance(ids, Exception) else list(map(str, ids)) for ids in await self._ask(asked)]

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        with redis_errors():
            for start in range(0, len(commands), MAX_COMMANDS):
                pipe = self._redis.pipeline(transaction=False)
                for command in commands[start : start + MAX_COMMANDS]:
                    pipe.execute_command(*command)
                replies += await pipe.execute(raise_on_error=False)
        return replies
