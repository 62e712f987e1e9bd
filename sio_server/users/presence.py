"""Whether users are online at this moment, and in which of their conversations others may see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from sio_server.store.connection import redis_errors
from sio_server.store.keys import ConversationKeys, user_sessions
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

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        with redis_errors():
            for start in range(0, len(commands), MAX_COMMANDS):
                pipe = self._redis.pipeline(transaction=False)
                for command in commands[start : start + MAX_COMMANDS]:
                    pipe.execute_command(*command)
                replies += await pipe.execute(raise_on_error=False)
        return replies
