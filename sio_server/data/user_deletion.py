"""Deletes a user with everything of theirs, or puts a pseudonym in their place.

What is to be done is written down first, so that another node continues when the process that began dies. Each
step may be repeated: what was done is not found again.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sio_server.conversation.author import Author
from sio_server.conversation.log import new_epoch
from sio_server.conversation.members import Members
from sio_server.conversation.tombstone import tombstone
from sio_server.data.archive import Archive
from sio_server.data.archive_store import Line
from sio_server.data.naming import renamed
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.run import SERVICE_PREFIX
from sio_server.store.bounded import BoundedRedis
from sio_server.store.connection import redis_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import DELETIONS, conversation_keys, swept
from sio_server.store.partitions import PARTITIONS
from sio_server.store.scripts import Request, Scripts
from sio_server.users.sign_out import RefusedTokens

log = logging.getLogger(__name__)

NAME = "Deleted user"  # as people see the author of what is left
ENTRIES_AT_ONCE = 100  # of a conversation, in one step
LOOKED_AT = 500  # conversations, in one round trip
PASSES = 5  # over all conversations: a session that has not ended yet may have joined one that was passed
MAX_FAILURES = 20  # conversations of one user; then the rest waits for the next time
TOKENS_REFUSED_S = 366 * 86_400  # those issued before the deletion; longer than any lasts
OPERATOR = Author(f"{SERVICE_PREFIX}deletion", "deletion", "api", "deletion")


@dataclass(frozen=True)
class Deletion:
    """What is to be done with a user. `pseudonym`: the id in what is left of them."""

    user_id: str
    pseudonymise: bool
    pseudonym: str


class UserDeletion:
    """Deletes users. Raises Refused and Unavailable; what has begun is continued by `resume`."""

    def __init__(
        self,
        redis: BoundedRedis,
        scripts: Scripts,
        members: Members,
        refused_tokens: RefusedTokens,
        archive: Archive | None = None,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._members = members
        self._refused_tokens = refused_tokens
        self._archive = archive

    async def begin(self, user_id: str, *, pseudonymise: bool = False) -> Deletion:
        """Write down that a user is to be deleted. Refused for one who is being deleted in the other way."""
        if user_id.startswith(SERVICE_PREFIX):
            raise Refused(ErrorCode.INVALID_PAYLOAD, "user_id: a service is no user; remove its key")
        told = to_json({"pseudonymise": pseudonymise, "pseudonym": f"deleted.{secrets.token_hex(6)}"})
        reply = await self._scripts.plain("begin_deletion", [DELETIONS], user_id=user_id, how=told)
        found = Deletion(user_id, **json.loads(str(reply["how"])))
        if found.pseudonymise != pseudonymise:
            how = "with" if found.pseudonymise else "without"
            raise Refused(
                ErrorCode.INVALID_PAYLOAD, f"pseudonymise: this user is being deleted already, {how} a pseudonym"
            )
        return found

    async def is_pending(self, user_id: str) -> bool:
        """Whether a user is being deleted."""
        return await self._read(user_id) is not None

    async def resume(self) -> dict[str, RoomgraphError]:
        """Continue with all who are being deleted. Those with whom it failed are in the reply, and tried again."""
        failed: dict[str, RoomgraphError] = {}
        with redis_errors():
            pending = [str(user_id) for user_id in await self._redis.hkeys(DELETIONS)]
        for user_id in pending:
            try:
                await self.carry_out(user_id)
            except RoomgraphError as exc:
                failed[user_id] = exc
        return failed

    async def carry_out(self, user_id: str) -> None:
        """Do what is left to do for one user. What fails with one conversation is raised after the others."""
        deletion = await self._read(user_id)
        if deletion is None:
            return
        await self._refused_tokens.revoke(user_id)
        for _ in range(PASSES):
            done, failed = 0, list[RoomgraphError]()
            async for conversation_id in conversations_of(self._redis, user_id):
                if not await self.is_pending(user_id):
                    return  # another node has done it
                try:
                    done += await self._leave(deletion, conversation_id)
                except RoomgraphError as exc:
                    log.warning(
                        "a user could not be deleted in a conversation: conversation=%s error=%s",
                        conversation_id,
                        exc,
                    )
                    failed.append(exc)
                    if len(failed) == MAX_FAILURES:
                        break
            if failed:
                raise failed[0]
            if not done:
                break
        else:
            raise Unavailable("the user joins conversations while being deleted; stop issuing tokens to them")
        await self._scripts.user("erase_user", user_id, refused_s=TOKENS_REFUSED_S)
        with redis_errors():
            await self._redis.hdel(DELETIONS, user_id)
        log.info("a user was deleted: pseudonymised=%s", deletion.pseudonymise)

    async def _read(self, user_id: str) -> Deletion | None:
        with redis_errors():
            text = await self._redis.hget(DELETIONS, user_id)
        if text is None:
            return None
        return Deletion(user_id, **json.loads(str(text)))

    async def _leave(self, deletion: Deletion, conversation_id: str) -> bool:
        """Take the user out of one conversation; delete it if nobody else is in it. False if there is none."""
        user_id = deletion.user_id
        if self._archive is None:
            with redis_errors():
                if await self._redis.exists(conversation_keys(conversation_id).archived):
                    raise Unavailable(
                        "a conversation of the user is in an archive: set ARCHIVE_URL as on the nodes"
                    )
        try:
            reply = await self._scripts.conversation("pass_on", conversation_id, user_id=user_id)
            if reply["was"] == "1" and not reply["owner"]:
                request = Request.unrepeated(OPERATOR.user_id)
                await self._members.delete(OPERATOR, conversation_id, request)
                return True
            await self._members.leave(Author(user_id, NAME, "", ""), conversation_id)
            await self._erase(deletion, conversation_id)
            if self._archive is not None:
                await self._archive.change(conversation_id, lambda line: _without(deletion, line))
            await self._scripts.conversation(
                "forget_user",
                conversation_id,
                user_id=user_id,
                epoch=new_epoch(),
                forget=not deletion.pseudonymise,
                by=OPERATOR.to_json(),
                **{"as": deletion.pseudonym},
            )
        except Refused as exc:
            if exc.code != ErrorCode.UNKNOWN_CONVERSATION:
                raise
            return False  # it was deleted meanwhile
        return True

    async def _erase(self, deletion: Deletion, conversation_id: str) -> None:
        """Take the user out of all entries of a conversation."""
        after = 0
        while True:
            reply = await self._scripts.conversation(
                "read_stored", conversation_id, **{"from": after + 1, "to": after + ENTRIES_AT_ONCE}
            )
            after = max(after, int(reply["first"]) - 1)
            messages, replaced = [], []
            for text, digest in zip(reply["entries"], reply["digests"], strict=True):
                entry = json.loads(text)
                data = entry["data"]
                if (
                    entry["type"] == "message"
                    and data["user_id"] == deletion.user_id
                    and not deletion.pseudonymise
                    and not data.get("deleted")
                ):
                    messages.append(entry["seq"])
                    continue
                changed = renamed(data, deletion.user_id, deletion.pseudonym, NAME)
                if changed is not data:
                    head = str(text)[: str(text).index('"data":')]  # nothing before it is text of a user
                    replaced.append([entry["seq"], digest, f'{head}"data":{to_json(changed)}}}'])
            if messages or replaced:
                done = await self._scripts.conversation(
                    "erase_entries",
                    conversation_id,
                    messages=messages,
                    replaced=replaced,
                    data=to_json({"user_id": deletion.pseudonym, "name": NAME}),
                    by=OPERATOR.to_json(),
                    **{"as": {"user_id": deletion.pseudonym, "name": NAME, "device_id": "", "request_id": ""}},
                )
                if len(done["deleted"]) + int(done["replaced"]) < len(messages) + len(replaced):
                    continue  # some were changed meanwhile: they are looked at again
            after = min(after + ENTRIES_AT_ONCE, int(reply["head"])) if reply["entries"] else int(reply["head"])
            if after >= int(reply["head"]):
                return


async def conversations_of(redis: BoundedRedis, user_id: str) -> AsyncIterator[str]:
    """All conversations that have something of the user: a member, now or earlier, invited, or an author."""
    for number in range(PARTITIONS):
        cursor = 0
        while True:
            with redis_errors():
                cursor, found = await redis.zscan(swept(number), cursor, count=LOOKED_AT)
                ids = [str(conversation_id) for conversation_id, _ in found]
                pipe = redis.pipeline(transaction=False)
                for conversation_id in ids:
                    keys = conversation_keys(conversation_id)
                    pipe.hexists(keys.members, user_id)
                    pipe.zscore(keys.invitations, user_id)
                    pipe.hexists(keys.usage, user_id)
                    pipe.hexists(keys.usage, f"left {user_id}")
                about: list[Any] = await pipe.execute() if ids else []
            for at, conversation_id in enumerate(ids):
                is_member, invited, has_written, has_left = about[4 * at : 4 * at + 4]
                if is_member or invited is not None or has_written or has_left:
                    yield conversation_id
            if cursor == 0:
                break


def _without(deletion: Deletion, line: Line) -> Line | None:
    """An archived entry without the user; None for one that does not name them."""
    entry = json.loads(line.text)
    data = entry["data"]
    if entry["type"] == "message" and data["user_id"] == deletion.user_id and not deletion.pseudonymise:
        named = {"user_id": deletion.pseudonym, "name": NAME, "device_id": "", "request_id": ""}
        return Line(line.seq, tombstone(line.text, named), [])
    changed = renamed(data, deletion.user_id, deletion.pseudonym, NAME)
    return None if changed is data else Line(line.seq, to_json({**entry, "data": changed}), line.pages)
