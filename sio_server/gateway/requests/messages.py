"""Requests about messages: send, edit, and what is marked or shown beside them (reads, drafts, typing)."""

from __future__ import annotations

import time
from typing import Any

from sio_server.conversation.log import ConversationLog
from sio_server.conversation.marks import Moves
from sio_server.conversation.reactions import Reactions
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.identity import identify
from sio_server.gateway.requests.runs import new_run_id
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError
from sio_server.protocol.events import DELIVERY_SESSIONS, ServerEvent
from sio_server.store.keys import conversation_room, user_room


class MessageRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(
        self, conversations: ConversationLog, reactions: Reactions, fanout: Fanout, bus: Bus, metrics: Metrics
    ) -> None:
        self._log = conversations
        self._reactions = reactions
        self._fanout = fanout
        self._bus = bus
        self._metrics = metrics

    async def send(self, session: Session, request: events.MessageSend) -> dict[str, Any]:
        began = time.monotonic()
        try:
            ack, new = await self._log.append_message(
                request.conversation_id,
                session.author,
                request.request_id,
                request.text,
                run_id=new_run_id(),
                after=request.after,
                handed=self._fanout.handed(request.conversation_id),
                reply_to=request.reply_to,
                file_ids=request.files,
            )
        except RoomgraphError as exc:
            self._metrics.sends[exc.code] += 1
            raise
        self._metrics.append_latency.observe(time.monotonic() - began)
        self._metrics.sends["new" if new else "repeated"] += 1
        if new and self._fanout.follows(session.sid, request.conversation_id):
            # The entry may have come over the bus before the ack.
            if self._fanout.has_delivered(request.conversation_id, ack["seq"]):
                self._metrics.fanout_latency.observe(time.monotonic() - began)
            else:
                self._metrics.append_pending(request.conversation_id, ack["seq"], began)
        return ack

    async def edit(self, session: Session, request: events.MessageEdit) -> dict[str, Any]:
        ack, _ = await self._log.append_message(
            request.conversation_id,
            session.author,
            request.request_id,
            request.text,
            run_id=new_run_id(),
            after=request.after,
            edits=request.seq,
            handed=self._fanout.handed(request.conversation_id),
            reply_to=request.reply_to,
            file_ids=request.files,
        )
        return ack

    async def delete(self, session: Session, request: events.MessageDelete) -> dict[str, Any]:
        deleted = await self._log.delete_message(
            request.conversation_id,
            session.author,
            request.seq,
            identify(session, request),
            operator=session.is_operator,
            forget=request.forget,
        )
        return {"conversation_id": request.conversation_id, "deleted": deleted}

    async def set_reaction(self, session: Session, request: events.ReactionSet) -> dict[str, Any]:
        entry_seq = await self._reactions.set(
            request.conversation_id,
            session.author,
            request.seq,
            request.reaction,
            request.set,
            identify(session, request),
        )
        about = request.model_dump(include={"conversation_id", "seq", "reaction", "set"})
        return {**about, "entry_seq": entry_seq}

    async def set_marks(self, session: Session, request: events.MarksSet) -> dict[str, Any]:
        # In a large room each entry would make as many events as there are sessions, for every one of them.
        marks = {
            conversation_id: Moves(
                mark.read,
                mark.delivered,
                tell=self._fanout.follower_count(conversation_id) <= DELIVERY_SESSIONS,
            )
            for conversation_id, mark in request.marks.items()
        }
        moved = await self._log.marks.move(session.author, marks)
        return {
            "marks": {
                conversation_id: {"error": at.to_wire()} if isinstance(at, RoomgraphError) else at
                for conversation_id, at in moved.items()
            }
        }

    async def save_draft(self, session: Session, request: events.DraftSave) -> dict[str, Any]:
        rev = await self._log.marks.save_draft(
            request.conversation_id,
            session.author,
            request.text,
            request=identify(session, request),
        )
        draft = {
            "rev": rev,
            "device_id": session.device_id,
            "session_id": session.sid,
            "text": request.text,
        }
        await self._bus.emit(
            ServerEvent.DRAFT_CHANGED,
            {"conversation_id": request.conversation_id, "draft": draft},
            room=user_room(session.user_id),
        )
        return {"conversation_id": request.conversation_id, "rev": rev}

    async def show_typing(self, session: Session, request: events.TypingSet) -> dict[str, Any]:
        if not self._fanout.follows(session.sid, request.conversation_id):
            raise Refused(ErrorCode.NOT_A_MEMBER, "this session does not follow the conversation; join it first")
        typing = {
            "conversation_id": request.conversation_id,
            "user_id": session.user_id,
            "device_id": session.device_id,
            "session_id": session.sid,
            "typing": request.typing,
        }
        await self._bus.emit(ServerEvent.TYPING_CHANGED, typing, room=conversation_room(request.conversation_id))
        return {}
