"""Requests about conversations: create, join, leave, invite, list, read, and catch up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.sync_result import entries_of
from sio_server.gateway.requests.identity import identify
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.protocol.events import MAX_PAGE_BYTES, ServerEvent
from sio_server.store.json_text import to_json
from sio_server.store.keys import user_room

ContextCheck = Callable[[dict[str, Any] | None], None]

CONTEXT_CHECK_S = 2.0  # for the check of a context, which is the graph's code
MAX_CONTEXT_CHECKS = 64  # at once, with those that do not end
MIN_SYNC_BYTES = 4096  # of entries for each conversation of a sync whose budget is used up

_context_checks = threading.Semaphore(MAX_CONTEXT_CHECKS)


class ConversationRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(
        self,
        members: Members,
        conversations: ConversationLog,
        catch_up: CatchUp,
        bus: Bus,
        graphs: Sequence[str],
        titles: Mapping[str, str],
        context_checks: Mapping[str, ContextCheck],
    ) -> None:
        """`graphs`: the names of those that this server runs, the default's first; `titles`: names in words.

        `context_checks`: for graphs with a context, what raises Refused for one that does not fit.
        """
        self._members = members
        self._log = conversations
        self._catch_up = catch_up
        self._bus = bus
        self._graphs = graphs
        self._titles = titles
        self._context_checks = context_checks

    async def create(self, session: Session, request: events.ConversationCreate) -> dict[str, Any]:
        graph = request.graph or self._graphs[0]
        if graph not in self._graphs:
            known = ", ".join(self._graphs)
            raise Refused(ErrorCode.UNKNOWN_GRAPH, f"this server has no such graph; it has: {known}")
        if (check := self._context_checks.get(graph)) is not None:
            await _in_time(check, request.context)
        elif request.context is not None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, f"context: the graph {graph} takes none")
        self._catch_up.check_limit(session, request.conversation_id)
        conversation_id, created = await self._members.create(session.author, request, graph, self._titles)
        result, _ = await self._catch_up.follow(session, conversation_id, None, MAX_PAGE_BYTES)
        if created.is_news:
            await self._notify_user(session.user_id, conversation_id, "joined", request.title, session)
            await self._notify_invited(conversation_id, request.invite, request.title, session)
        return {"created": created.done, **result}

    async def join(self, session: Session, request: events.ConversationJoin) -> dict[str, Any]:
        self._catch_up.check_limit(session, request.conversation_id)
        joined = await self._members.join(session.author, request.conversation_id, identify(session, request))
        position = request.position.to_position() if request.position else None
        result, _ = await self._catch_up.follow(session, request.conversation_id, position, MAX_PAGE_BYTES)
        if joined.is_news:
            await self._notify_user(session.user_id, request.conversation_id, "joined", result["title"], session)
        return {"joined": joined.done, **result}

    async def leave(self, session: Session, request: events.ConversationLeave) -> dict[str, Any]:
        left = await self._members.leave(session.author, request.conversation_id, identify(session, request))
        if left.is_news:
            await self._notify_user(session.user_id, request.conversation_id, "left", "", session)
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
        if request.after is not None and request.before is not None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "after, before: give one of them, not both")
        page = await self._log.page(
            request.conversation_id,
            session.user_id,
            limit=request.limit,
            after=request.after,
            before=request.before,
        )
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
            await self._notify_invited(request.conversation_id, invited.user_ids, invited.title, session)
        return {"conversation_id": request.conversation_id, "invited": invited.user_ids}

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
        async with self._catch_up.subscribed(session, positions) as refusals:
            for conversation_id, position in positions.items():
                try:
                    if conversation_id in refusals:
                        self._catch_up.check_limit(session, conversation_id)
                        raise refusals[conversation_id]
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
                except Refused as exc:
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

    async def _notify_user(self, user_id: str, conversation_id: str, change: str, title: str, by: Session) -> None:
        updated = {
            "conversation_id": conversation_id,
            "change": change,
            "title": title,
            "by": {"user_id": by.user_id, "device_id": by.device_id, "session_id": by.sid},
        }
        await self._bus.emit(ServerEvent.CONVERSATION_CHANGED, updated, room=user_room(user_id))

    async def _notify_invited(
        self, conversation_id: str, user_ids: Sequence[str], title: str, by: Session
    ) -> None:
        for user_id in user_ids:
            await self._notify_user(user_id, conversation_id, "invited", title, by)


async def _in_time(check: ContextCheck, context: dict[str, Any] | None) -> None:
    """Check a context in a thread that holds up neither other requests nor, if it never ends, the node's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            check(context)
        except Refused as exc:
            error = exc
        except BaseException as exc:
            error = Refused(ErrorCode.INVALID_PAYLOAD, f"context: {type(exc).__name__}")
        finally:
            _context_checks.release()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, error)

    if not _context_checks.acquire(blocking=False):
        raise Unavailable("too many contexts are being checked")
    threading.Thread(target=work, name="context-check", daemon=True).start()
    try:
        async with asyncio.timeout(CONTEXT_CHECK_S):
            await done
    except TimeoutError:
        raise Unavailable(f"the graph has not checked the context within {CONTEXT_CHECK_S:g} s") from None
