"""Who belongs to which conversation: create, rename, delete, join, leave, invite, list."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.listing import ConversationList
from sio_server.conversation.log import ConversationLog, new_epoch
from sio_server.conversation.quotas import Quotas
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import MADE_ID_PREFIX, ConversationCreate
from sio_server.protocol.run import SERVICE_PREFIX, agent_name
from sio_server.store.connection import redis_errors
from sio_server.store.json_text import to_json
from sio_server.store.keys import (
    UNLISTED_KEPT_MS,
    ConversationKeys,
    user_conversations,
    user_devices,
    user_sessions,
    user_signed_out,
)
from sio_server.store.scripts import Request, Scripts

# The settings that the owner may change later, in the order in which `configure.lua` returns them.
CONFIGURABLE = ("agent", "access", "multitask_strategy", "approvals", "invites")
_FIELD_OF = {"multitask_strategy": "multitask"}  # of `keys.META_FIELDS`, where its name is another


@dataclass(frozen=True)
class Change:
    """What became of a request about membership.

    `done`: whether it changed anything, as it was first answered; `repeated`: that was earlier.
    """

    done: bool
    repeated: bool
    title: str = ""  # of the conversation that was joined
    withdrawn: bool = False  # nothing was left, but an invitation has ended

    @property
    def is_news(self) -> bool:
        """Whether others have to be told now."""
        return (self.done or self.withdrawn) and not self.repeated


@dataclass(frozen=True)
class Deleted:
    """Whether there was a conversation to delete, and the users whose lists have lost it."""

    done: bool
    user_ids: list[str]
    repeated: bool


@dataclass(frozen=True)
class Invited:
    """The users for whom an invitation was new, as it was first answered; `repeated`: that was earlier.

    `unknown`: those of all the ids that had never connected then.
    """

    user_ids: list[str]
    title: str
    repeated: bool
    unknown: list[str]


class Members:
    """Membership of all conversations.

    A user's own list of conversations is an index beside the truth in each conversation: it is written
    before joining and cleared after leaving, so it may name too many, never too few; reads skip the surplus.
    """

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        log: ConversationLog,
        *,
        retention: int,
        quotas: Quotas | None = None,
        id_secret: str = "",
    ) -> None:
        """`id_secret`: makes the ids of conversations, the same on all nodes."""
        self._redis = redis
        self._scripts = scripts
        self._log = log
        self._retention = retention
        self._quotas = quotas or Quotas()
        self._id_secret = id_secret.encode()
        self.listing = ConversationList(redis, scripts)

    async def create(
        self,
        author: Author,
        request: ConversationCreate,
        graph: str | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> tuple[str, Change]:
        """Create a conversation owned by the author; return its id.

        `graph`: the one that is meant by None. `titles`: names of graphs in words, where not made from the id.

        Raises Refused with `quota_exceeded` when the author has as many conversations, or invitations, as allowed.

        An id that is taken is refused with `conversation_exists`, unless by the author with the same settings.
        Without an id each repetition, also after the result is forgotten, names the same conversation.
        """
        asked = Request(author.user_id, request.request_id, request.digest)
        conversation_id = request.conversation_id or self._make_id(asked)
        graph = request.graph or graph or "agent"
        settings = {
            "title": request.title,
            "access": request.access,
            "agent": request.agent,
            "graph": graph,
            "multitask": request.multitask_strategy,
            "approvals": request.approvals,
            "invites": request.invites,
        }
        data = {
            "user_id": author.user_id,
            "name": author.name,
            "title": request.title,
            "access": request.access,
            "agent": request.agent,
            "graph": graph,
            "multitask_strategy": request.multitask_strategy,
            "approvals": request.approvals,
            "invites": request.invites,
        }
        settings["agent_name"] = (titles or {}).get(graph) or agent_name(graph)
        settings["context"] = "" if request.context is None else to_json(request.context)
        await self._reserve_invitations(author.user_id, conversation_id, request.invite)
        await self._index(author.user_id, conversation_id)
        # A refusal may leave the index naming too many, which is harmless: the author may be invited there.
        try:
            reply = await self._scripts.conversation(
                "create",
                conversation_id,
                asked,
                user_id=author.user_id,
                session_id=author.session_id,
                epoch=new_epoch(),
                retention=self._retention,
                data=to_json(data),
                settings=settings,
                user_ids=request.invite,
                invitations_kept_ms=self._quotas.invitations_kept_ms,
            )
        except Refused as exc:
            if request.conversation_id is None and exc.code == ErrorCode.CONVERSATION_EXISTS:
                what = "this request_id was used for a conversation with other settings"
                raise Refused(ErrorCode.REQUEST_ID_REUSED, what) from None
            raise
        await self._list_invitations(conversation_id, request.invite)
        new = reply["new"] == "1"
        if request.conversation_id is None:
            # A made id is that of this request: if it is there, this request has created it.
            return conversation_id, Change(True, reply.repeated or not new)
        return conversation_id, Change(new, reply.repeated)

    async def join(
        self,
        author: Author,
        conversation_id: str,
        request: Request | None = None,
        *,
        admitted_by: Author | None = None,
    ) -> Change:
        """Make the author a member. One who is `admitted_by` a service needs no invitation."""
        await self._index(author.user_id, conversation_id)
        data: dict[str, Any] = {"user_id": author.user_id, "name": author.name}
        if admitted_by is not None:
            data["by"] = json.loads(admitted_by.to_json())
        try:
            reply = await self._scripts.conversation(
                "join",
                conversation_id,
                request or Request.unrepeated(author.user_id),
                user_id=author.user_id,
                session_id=author.session_id,
                data=to_json(data),
                admitted=admitted_by is not None,
            )
        except Refused:
            await self._unindex(author.user_id, conversation_id)
            raise
        return Change(reply["new"] == "1", reply.repeated, reply["title"])

    async def leave(self, author: Author, conversation_id: str, request: Request | None = None) -> Change:
        """End the author's membership, if there is one."""
        data = {"user_id": author.user_id, "name": author.name}
        return await self._leave(conversation_id, author.user_id, author.session_id, data, request)

    async def remove(
        self, by: Author, conversation_id: str, user_id: str, request: Request, *, operator: bool = False
    ) -> Change:
        """End another user's membership, or withdraw the invitation, for the owner, a service or an operator."""
        data = {"user_id": user_id, "name": user_id, "by": json.loads(by.to_json())}
        return await self._leave(
            conversation_id, user_id, by.session_id, data, request, removed_by=by.user_id, operator=operator
        )

    async def _leave(
        self,
        conversation_id: str,
        user_id: str,
        session_id: str,
        data: dict[str, Any],
        request: Request | None,
        *,
        removed_by: str = "",
        operator: bool = False,
    ) -> Change:
        reply = await self._scripts.conversation(
            "leave",
            conversation_id,
            request or Request.unrepeated(user_id),
            user_id=user_id,
            session_id=session_id,
            data=to_json(data),
            abandoned_kept_ms=self._quotas.abandoned_kept_ms,
            removed_by=removed_by,
            operator=operator,
        )
        if not reply.repeated:  # the user may have come back since
            await self._unindex(user_id, conversation_id)
        return Change(reply["left"] == "1", reply.repeated, withdrawn=reply["withdrawn"] == "1")

    async def invite(
        self, author: Author, conversation_id: str, user_ids: list[str], request: Request | None = None
    ) -> Invited:
        """Invite users. Raises Refused with `quota_exceeded`."""
        await self._reserve_invitations(author.user_id, conversation_id, user_ids)
        reply = await self._scripts.conversation(
            "invite",
            conversation_id,
            request or Request.unrepeated(author.user_id),
            user_id=author.user_id,
            user_ids=user_ids,
            invitations_kept_ms=self._quotas.invitations_kept_ms,
            unknown=await self._unknown(user_ids),
        )
        # For all of them, also when this is a repetition: the first time may have ended here.
        await self._list_invitations(conversation_id, user_ids)
        return Invited(list(reply["new"]), reply["title"], reply.repeated, json.loads(reply["unknown"]))

    async def rename(
        self, author: Author, conversation_id: str, title: str, request: Request, *, operator: bool = False
    ) -> bool:
        """Give a conversation another title, as its owner, a service or an operator; whether it changed."""
        reply = await self._scripts.conversation(
            "rename",
            conversation_id,
            request,
            user_id=author.user_id,
            session_id=author.session_id,
            title=title,
            data=to_json({"user_id": author.user_id, "name": author.name, "title": title}),
            operator=operator,
        )
        return bool(int(reply["changed"]))

    async def configure(
        self,
        author: Author,
        conversation_id: str,
        settings: Mapping[str, str],
        request: Request,
        *,
        operator: bool = False,
    ) -> tuple[dict[str, str], bool]:
        """Change these settings, as the owner, a service or an operator.

        Returns all settings that can be changed, and whether one of them was another.
        """
        reply = await self._scripts.conversation(
            "configure",
            conversation_id,
            request,
            user_id=author.user_id,
            session_id=author.session_id,
            settings={_FIELD_OF.get(name, name): value for name, value in settings.items()},
            by=to_json({"user_id": author.user_id, "name": author.name}),
            operator=operator,
            abandoned_kept_ms=self._quotas.abandoned_kept_ms,
        )
        return dict(zip(CONFIGURABLE, map(str, reply["settings"]), strict=True)), reply["changed"] == "1"

    async def set_listed(
        self,
        user_id: str,
        conversation_id: str,
        request: Request,
        *,
        pinned: bool | None = None,
        archived: bool | None = None,
    ) -> tuple[bool, bool]:
        """Pin a conversation in a user's list, or put it into the archive of the list; None: as it is.

        Returns both as they are now.
        """
        reply = await self._scripts.conversation(
            "set_listed", conversation_id, request, user_id=user_id, pinned=pinned, in_archive=archived
        )
        return reply["pinned"] == "1", reply["archived"] == "1"

    async def delete(
        self, author: Author, conversation_id: str, request: Request, *, operator: bool = False
    ) -> Deleted:
        """Delete a conversation, for its owner, a service or an operator: its log, its runs and all else it has.

        It is removed from the lists of its members. Nodes that follow it tell their sessions; clients find that
        there is no such conversation. The checkpoints are deleted by a node that runs graphs, soon.
        """
        reply = await self._scripts.conversation(
            "delete",
            conversation_id,
            request,
            user_id=author.user_id,
            by=author.to_json(),
            operator=operator,
        )
        user_ids = [str(user_id) for user_id in reply["user_ids"]]
        if reply.repeated:
            # The first time may have ended here; or there is another conversation with this id by now.
            with redis_errors():
                if await self._redis.exists(ConversationKeys(conversation_id).meta):
                    user_ids = []
        for user_id in user_ids:
            await self._unindex(user_id, conversation_id)
        return Deleted(reply["deleted"] == "1", user_ids, reply.repeated)

    async def members(self, conversation_id: str, user_id: str) -> list[dict[str, Any]]:
        """The members with role and whether online; for members only."""
        await self._log.get_view(conversation_id, user_id)
        with redis_errors():
            found = await self._redis.hgetall(ConversationKeys(conversation_id).members)
        roles = {str(member): str(role) for member, role in sorted(found.items())}
        online = await self._online(roles)
        if user_id not in roles and not user_id.startswith(SERVICE_PREFIX):
            raise Refused(ErrorCode.NOT_A_MEMBER, "you are not a member of this conversation any more")
        return [{"user_id": member, "role": role, "online": online[member]} for member, role in roles.items()]

    async def presence(self, conversation_id: str, limit: int) -> dict[str, bool]:
        """Whether members are online; of `limit` members at most."""
        with redis_errors():
            _, found = await self._redis.hscan(ConversationKeys(conversation_id).members, count=limit)
        return await self._online([str(member) for member in found][:limit])

    async def ids(self, user_id: str, limit: int) -> list[str]:
        """Ids of at most `limit` of the user's conversations; only those the user is a member of now."""
        return (await self.page_of_ids(user_id, None, limit))[0]

    async def page_of_ids(self, user_id: str, after: str | None, limit: int) -> tuple[list[str], str | None]:
        """Of the next `limit` ids in the user's list those that the user is a member of, and the next cursor."""
        start = f"({after}" if after is not None else "-"
        with redis_errors():
            found = await self._redis.zrangebylex(user_conversations(user_id), start, "+", start=0, num=limit)
            named = [str(item) for item in found]
            pipe = self._redis.pipeline(transaction=False)
            for conversation_id in named:
                pipe.hexists(ConversationKeys(conversation_id).members, user_id)
            belongs = await pipe.execute()
        ids = [conversation_id for conversation_id, is_member in zip(named, belongs, strict=True) if is_member]
        return ids, named[-1] if len(named) == limit else None

    async def _online(self, user_ids: Iterable[str]) -> dict[str, bool]:
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for user_id in user_ids:
                pipe.exists(user_sessions(user_id))
            return {user_id: bool(there) for user_id, there in zip(user_ids, await pipe.execute(), strict=True)}

    async def _unknown(self, user_ids: list[str]) -> list[str]:
        """Those of the users who have never connected, nor been made members by a service."""
        with redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for user_id in user_ids:
                pipe.exists(user_sessions(user_id), user_devices(user_id), user_signed_out(user_id))
                pipe.pttl(user_conversations(user_id))
            replies = await pipe.execute()
        # A list of invitations only expires with them; see `list_invitation.lua`.
        return [
            user_id
            for user_id, seen, left_ms in zip(user_ids, replies[::2], replies[1::2], strict=True)
            if not seen and left_ms != -1
        ]

    def _make_id(self, request: Request) -> str:
        """The id of the conversation that this request creates: the same each time, unknown to others."""
        name = f"{request.user_id} {request.request_id}".encode()
        return MADE_ID_PREFIX + hmac.new(self._id_secret, name, "sha256").hexdigest()[:32]

    async def _reserve_invitations(self, user_id: str, conversation_id: str, user_ids: list[str]) -> None:
        if user_ids and self._quotas.invitations and not user_id.startswith(SERVICE_PREFIX):
            await self._scripts.user(
                "reserve_invitations",
                user_id,
                conversation_id=conversation_id,
                user_ids=user_ids,
                kept_ms=self._quotas.invitations_kept_ms,
                quota=self._quotas.invitations,
            )

    async def _list_invitations(self, conversation_id: str, user_ids: list[str]) -> None:
        for user_id in user_ids:
            await self._scripts.user(
                "list_invitation",
                user_id,
                conversation_id=conversation_id,
                kept_ms=self._quotas.invitations_kept_ms,
            )

    async def _index(self, user_id: str, conversation_id: str) -> None:
        """Put a conversation into the list of a user who is about to be a member."""
        key, quota = user_conversations(user_id), self._quotas.conversations
        if user_id.startswith(SERVICE_PREFIX):
            quota = 0
        with redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.zadd(key, {conversation_id: 0})
            pipe.zcard(key)
            added, listed = await pipe.execute()
        # Of two at the same time each counts the other. What is listed may be an invitation, or have been left.
        if quota and listed > quota:
            belongs = await self.ids(user_id, listed)
            if conversation_id not in belongs and len(belongs) >= quota:
                if added:
                    await self._unindex(user_id, conversation_id)
                raise Refused(
                    ErrorCode.QUOTA_EXCEEDED, f"a user may be in {quota} conversations; leave one of them first"
                )

    async def _unindex(self, user_id: str, conversation_id: str) -> None:
        await self._scripts.user("unlist", user_id, conversation_id=conversation_id, kept_ms=UNLISTED_KEPT_MS)
