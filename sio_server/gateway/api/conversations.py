"""Conversations and their members: create, read, rename, delete, list; add, remove and invite."""

from __future__ import annotations

from typing import Any

from orjson import Fragment

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.gateway.api import answers, models
from sio_server.gateway.api.endpoints import Call, Endpoint
from sio_server.gateway.requests.graph_choice import GraphChoice
from sio_server.gateway.requests.membership_news import MembershipNews
from sio_server.protocol.events import ConversationCreate


class ConversationEndpoints:
    """The handlers; each returns its answer."""

    def __init__(
        self, members: Members, conversations: ConversationLog, news: MembershipNews, graphs: GraphChoice
    ) -> None:
        self._members = members
        self._log = conversations
        self._news = news
        self._graphs = graphs

    def endpoints(self) -> list[Endpoint]:
        one = "/conversations/{conversation_id}"
        member = one + "/members/{user_id}"
        return [
            Endpoint(
                *("POST", "/conversations", self.create_conversation, answers.ConversationCreated),
                takes=models.CreateConversation,
                status=201,
            ),
            Endpoint("GET", one, self.read_conversation, answers.ConversationState),
            Endpoint(
                *("PATCH", one, self.rename_conversation, answers.ConversationRenamed),
                takes=models.RenameConversation,
            ),
            Endpoint("DELETE", one, self.delete_conversation, answers.ConversationDeleted),
            Endpoint("GET", one + "/members", self.list_members, answers.MembersListed),
            Endpoint("PUT", member, self.add_member, answers.MemberAdded, takes=models.AddMember),
            Endpoint("DELETE", member, self.remove_member, answers.MemberRemoved),
            Endpoint(
                *("POST", one + "/invitations", self.invite_users, answers.UsersInvited), takes=models.InviteUsers
            ),
            Endpoint(
                *("GET", "/users/{user_id}/conversations", self.list_conversations, answers.ConversationsListed),
                takes=models.ListQuery,
            ),
        ]

    async def create_conversation(self, call: Call, body: models.CreateConversation) -> dict[str, Any]:
        """Create a conversation."""
        graph = await self._graphs.choose(body.graph, body.context)
        asked = body.model_dump(exclude={"user", "members"})
        request = ConversationCreate.model_validate({**asked, "request_id": call.key})
        owner = call.author
        conversation_id, created = await self._members.create(owner, request, graph, self._graphs.titles)
        if created.is_news:
            await self._news.tell(owner.user_id, conversation_id, "joined", body.title, owner)
            for user_id in body.invite:
                await self._news.tell(user_id, conversation_id, "invited", body.title, owner)
        for user in body.members:  # also when this is a repetition: the first time may have ended here
            await self._add(call, conversation_id, user.user_id, user.name)
        return {"conversation_id": conversation_id, "created": created.done}

    async def read_conversation(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Read how a conversation is now: its settings, unfinished runs and open questions."""
        view = await self._log.get_view(call.conversation_id, call.author.user_id)
        return {
            "conversation_id": call.conversation_id,
            "title": view.title,
            "access": view.access,
            "agent": view.agent,
            "graph": view.graph,
            "multitask_strategy": view.multitask_strategy,
            "approvals": view.approvals,
            "invites": view.invites,
            "owner": view.owner,
            "position": {"epoch": view.bounds.epoch, "seq": view.bounds.head},
            "first": view.bounds.first,
            "last_activity": view.last_activity,
            "runs": Fragment(view.runs),
            "interrupts": Fragment(view.interrupts),
        }

    async def rename_conversation(self, call: Call, body: models.RenameConversation) -> dict[str, Any]:
        """Give a conversation another title."""
        changed = await self._members.rename(call.author, call.conversation_id, body.title, call.identify())
        return {"conversation_id": call.conversation_id, "title": body.title, "changed": changed}

    async def delete_conversation(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Delete a conversation with all that it has; runs are ended, and its members told."""
        deleted = await self._members.delete(call.author, call.conversation_id, call.identify())
        for user_id in deleted.user_ids:
            await self._news.tell(user_id, call.conversation_id, "left", "", call.author)
        return {"conversation_id": call.conversation_id, "deleted": deleted.done}

    async def list_members(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """List the members, with who is online."""
        members = await self._members.members(call.conversation_id, call.author.user_id)
        return {"conversation_id": call.conversation_id, "members": members}

    async def add_member(self, call: Call, body: models.AddMember) -> dict[str, Any]:
        """Make a user a member, without an invitation."""
        user_id = call.path["user_id"]
        joined = await self._add(call, call.conversation_id, user_id, body.name)
        return {"conversation_id": call.conversation_id, "user_id": user_id, "joined": joined}

    async def remove_member(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """End a membership, or withdraw an invitation. After it the user receives nothing later."""
        user_id = call.path["user_id"]
        left = await self._members.remove(call.author, call.conversation_id, user_id, call.identify())
        if left.is_news:
            await self._news.tell(user_id, call.conversation_id, "left", "", call.author)
        return {"conversation_id": call.conversation_id, "user_id": user_id, "left": left.done}

    async def invite_users(self, call: Call, body: models.InviteUsers) -> dict[str, Any]:
        """Invite users to a conversation."""
        invited = await self._members.invite(call.author, call.conversation_id, body.user_ids, call.identify())
        if not invited.repeated:
            for user_id in invited.user_ids:
                await self._news.tell(user_id, call.conversation_id, "invited", invited.title, call.author)
        return {"conversation_id": call.conversation_id, "invited": invited.user_ids}

    async def list_conversations(self, call: Call, query: models.ListQuery) -> dict[str, Any]:
        """List the conversations of a user, in order of their ids."""
        user_id = call.path["user_id"]
        return await self._members.listing.read(
            user_id,
            query.name or user_id,
            after=query.after,
            limit=query.limit,
            changed_since=query.changed_since,
        )

    async def _add(self, call: Call, conversation_id: str, user_id: str, name: str | None) -> bool:
        user, by = call.service.acting_as(user_id, name), call.author
        request = call.identify(user_id)
        joined = await self._members.join(user, conversation_id, request, admitted_by=by)
        if joined.is_news:
            await self._news.tell(user_id, conversation_id, "joined", joined.title, by)
        return joined.done
