"""Requests about a user's list of conversations as a whole: how it is arranged, and what is found in it."""

from __future__ import annotations

import time
from typing import Any

from sio_server.conversation.members import Members
from sio_server.conversation.search import Search
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.identity import identify
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import ServerEvent
from sio_server.store.keys import user_room


class ListRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(self, members: Members, search: Search | None, bus: Bus, metrics: Metrics) -> None:
        """`search`: None where it is turned off."""
        self._members = members
        self._search = search
        self._bus = bus
        self._metrics = metrics

    async def search(self, session: Session, request: events.MessageSearch) -> dict[str, Any]:
        if self._search is None:
            raise Refused(ErrorCode.NOT_ALLOWED, "this server does not search")
        began = time.monotonic()
        found = await self._search.find(
            session.user_id,
            request.query,
            conversation_id=request.conversation_id,
            before=request.before,
            limit=request.limit,
        )
        self._metrics.search_latency.observe(time.monotonic() - began)
        self._metrics.searched_entries.inc(found.looked_at)
        return {"hits": found.hits, "next": found.next, "complete": found.complete}

    async def set(self, session: Session, request: events.ListSet) -> dict[str, Any]:
        pinned, archived = await self._members.set_listed(
            *(session.user_id, request.conversation_id, identify(session, request)),
            pinned=request.pinned,
            archived=request.archived,
        )
        listed = {"conversation_id": request.conversation_id, "pinned": pinned, "archived": archived}
        await self._bus.emit(
            ServerEvent.LIST_CHANGED, {**listed, "session_id": session.sid}, room=user_room(session.user_id)
        )
        return listed
