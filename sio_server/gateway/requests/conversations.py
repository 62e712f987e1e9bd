"""Requests about conversations: create, join, leave, invite, list, read, and catch up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import CONFIGURABLE, Members
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.sync_result import entries_of
from sio_server.gateway.requests.graph_choice import GraphChoice
from sio_server.gateway.requests.identity import identify
from sio_server.gateway.requests.membership_news import MembershipNews
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import MAX_PAGE_BYTES
from sio_server.store.json_text import to_json

MIN_SYNC_BYTES = 4096  # of entries for each conversation of a sync whose budget is used up


class ConversationRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(
        self,
        members: Members,
        conversations: ConversationLog,
        catch_up: CatchUp,
        news: MembershipNews,
        graphs: GraphChoice,
    ) -> None:
        self._members = members
        self._log = conversations
        self._catch_up = catch_up
        self._news = news
        self._graphs = graphs

    async def create(self, session: Session, request: events.ConversationCreate) -> dict[str, Any]:
        graph = await self._graphs.choose(request.graph, request.context)
        self._catch_up.check_limit(session, request.conversation_id)
        conversation_id, created = await self._members.create(session.author, request, graph, self._graphs.titles)
        result, _ = await self._catch_up.follow(session, conversation_id, None, MAX_PAGE_BYTES)
        if created.is_news:
            await self._news.tell(session.user_id, conversation_id, "joined", request.title, session.author)
            for user_id in request.invite:
                await self._news.tell(user_id, conversation_id, "invited", request.title, session.author)
        return {"created": created.done, **result}

    async def join(self, session: Session, request: events.ConversationJoin) -> dict[str, Any]:
        self._catch_up.check_limit(session, request.conversation_id)
        joined = await self._members.join(session.author, request.conversation_id, identify(session, request))
        position = request.position.to_position() if request.position else None
        result, _ = await self._catch_up.follow(session, request.conversation_id, position, MAX_PAGE_BYTES)
        if joined.is_news:
            await self._news.tell(
                session.user_id, request.conversation_id, "joined", result["title"], session.author
            )
        return {"joined": joined.done, **result}

    async def leave(self, session: Session, request: events.ConversationLeave) -> dict[str, Any]:
        left = await self._members.leave(session.author, request.conversation_id, identify(session, request))
        if left.is_news:
            await self._news.tell(session.user_id, request.conversation_id, "left", "", session.author)
        return {"conversation_id": request.conversation_id, "left": left.done}

    async def list(self, session: Session, request: events.ConversationList) -> dict[str, Any]:
        return await self._members.listing.read(
            session.user_id,
            session.name,
            after=request.after,
            limit=request.limit,
            changed_since=request.changed_since,
        )

    async def history(self, session: Session, request: events.HistoryRead) -> dict[str, Any]:
        where = (request.conversation_id, session.user_id)
        if request.around is not None:
            page = await self._log.page_around(*where, request.around, limit=request.limit)
        else:
            after = request.after
            if request.since is not None:
                after = await self._log.find_time(*where, request.since) - 1
            page = await self._log.page(*where, limit=request.limit, after=after, before=request.before)
        return {
            "conversation_id": request.conversation_id,
            "epoch": page.bounds.epoch,
            "first": page.bounds.first,
            "head": page.bounds.head,
            "entries": entries_of(page),
        }

    async def read_entry(self, session: Session, request: events.EntryRead) -> dict[str, Any]:
        page = await self._log.read_long(request.conversation_id, session.user_id, request.seq, request.page)
        return {"conversation_id": request.conversation_id, "seq": request.seq, "page": request.page, **page}

    async def invite(self, session: Session, request: events.ConversationInvite) -> dict[str, Any]:
        invited = await self._members.invite(
            session.author, request.conversation_id, request.user_ids, identify(session, request)
        )
        if not invited.repeated:
            for user_id in invited.user_ids:
                await self._news.tell(user_id, request.conversation_id, "invited", invited.title, session.author)
        return {
            "conversation_id": request.conversation_id,
            "invited": invited.user_ids,
            "unknown": invited.unknown,
        }

    async def rename(self, session: Session, request: events.ConversationRename) -> dict[str, Any]:
        changed = await self._members.rename(
            *(session.author, request.conversation_id, request.title, identify(session, request)),
            operator=session.is_operator,
        )
        return {"conversation_id": request.conversation_id, "title": request.title, "changed": changed}

    async def configure(self, session: Session, request: events.ConversationConfigure) -> dict[str, Any]:
        asked = request.model_dump(include=set(CONFIGURABLE), exclude_none=True)
        if not asked:
            raise Refused(ErrorCode.INVALID_PAYLOAD, f"the payload: give one of {', '.join(CONFIGURABLE)}")
        settings, changed = await self._members.configure(
            *(session.author, request.conversation_id, asked, identify(session, request)),
            operator=session.is_operator,
        )
        return {"conversation_id": request.conversation_id, **settings, "changed": changed}

    async def delete(self, session: Session, request: events.ConversationDelete) -> dict[str, Any]:
        deleted = await self._members.delete(
            session.author, request.conversation_id, identify(session, request), operator=session.is_operator
        )
        for user_id in deleted.user_ids:
            await self._news.tell(user_id, request.conversation_id, "left", "", session.author)
        return {"conversation_id": request.conversation_id, "deleted": deleted.done}

    async def remove_member(self, session: Session, request: events.MembersRemove) -> dict[str, Any]:
        left = await self._members.remove(
            *(session.author, request.conversation_id, request.user_id, identify(session, request)),
            operator=session.is_operator,
        )
        if left.is_news:
            await self._news.tell(request.user_id, request.conversation_id, "left", "", session.author)
        return {"conversation_id": request.conversation_id, "user_id": request.user_id, "left": left.done}

    async def members(self, session: Session, request: events.MembersList) -> dict[str, Any]:
        members = await self._members.members(request.conversation_id, session.user_id)
        return {"conversation_id": request.conversation_id, "members": members}

    async def sync(self, session: Session, request: events.SessionSync) -> dict[str, Any]:
        positions, cursor = request.positions, None
        if positions is None:
            ids, cursor = await self._members.page_of_ids(session.user_id, request.after, request.limit)
            positions = dict.fromkeys(ids)
        elif request.after is not None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "after: give it only where positions is null")
        budget = MAX_PAGE_BYTES
        results: dict[str, Any] = {}
        away: Unavailable | None = None
        async with self._catch_up.subscribed(session, positions) as errors:
            for conversation_id, position in positions.items():
                try:
                    if conversation_id in errors:
                        self._catch_up.check_limit(session, conversation_id)
                        raise errors[conversation_id]
                    if away is not None:  # each would take its time
                        raise away
                    result, size = await self._catch_up.follow(
                        session,
                        conversation_id,
                        position.to_position() if position else None,
                        max(budget, MIN_SYNC_BYTES),
                        request.entries,
                        request.marks,
                    )
                    budget -= size  # as Redis counts a page: bytes of the entries as they are stored
                    if request.members:
                        result["members"], size = await self._members_within(budget, session, conversation_id)
                        budget -= size
                except RoomgraphError as exc:
                    if isinstance(exc, Unavailable):
                        if not self._catch_up.has_shards:
                            raise
                        if conversation_id not in errors:  # a shard is away since then
                            away = exc
                    results[conversation_id] = {"error": exc.to_wire()}
                    continue
                results[conversation_id] = result
        return {"conversations": results, "next": cursor}

    async def _members_within(
        self, budget: int, session: Session, conversation_id: str
    ) -> tuple[Sequence[dict[str, Any]] | None, int]:
        """The members and their size in bytes, or None when the budget is used up: the client asks for them."""
        if budget <= 0:
            return None, 0
        members = await self._members.members(conversation_id, session.user_id)
        return members, len(to_json(members))
