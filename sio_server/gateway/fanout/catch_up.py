"""Catch-up: put a session into a conversation's room and give it exactly what it missed."""

from __future__ import annotations

from typing import Any

from sio_server.conversation.log import ConversationLog, Handed
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.sessions.registry import Session, Sessions
from sio_server.protocol.errors import ErrorCode, Refused, Unavailable
from sio_server.protocol.events import MAX_PAGE_ENTRIES, SNAPSHOT_ENTRIES
from sio_server.protocol.position import Position, Reason, judge

# The log may be trimmed, or the user leave and come back, between two steps: then the steps are taken again.
ATTEMPTS = 10


class CatchUp:
    """Brings a session level with a conversation and lets it follow."""

    def __init__(
        self, conversations: ConversationLog, fanout: Fanout, sessions: Sessions, per_session: int = 0
    ) -> None:
        self._per_session = per_session  # how many conversations a session may follow; 0: any number
        self._log = conversations
        self._fanout = fanout
        self._sessions = sessions

    def admit(self, session: Session, conversation_id: str | None) -> None:
        """Raise Refused for one conversation more than a session may follow."""
        following = session.following
        if 0 < self._per_session <= len(following) and conversation_id not in following:
            what = f"this session follows {len(following)} conversations, as many as one may; use another one"
            raise Refused(ErrorCode.TOO_MANY_CONVERSATIONS, what)

    async def follow(
        self, session: Session, conversation_id: str, position: Position | None, max_bytes: int
    ) -> dict[str, Any]:
        """The first page of what the session missed above `position`, its verdict and its session card.

        The order matters: check membership, enter the room, then read. What is appended or marked after the
        reading comes live; what was before it is in what is read; an entry in both has the same seq.
        """
        told = False
        self.admit(session, conversation_id)
        for _ in range(ATTEMPTS):
            first_look = await self._log.get_view(conversation_id, session.user_id)
            checked = first_look.bounds
            if (
                position is not None
                and position.epoch == checked.epoch
                and position.seq > checked.head
                and not told
            ):
                told = True
                await self._log.report_ahead(conversation_id, position)
                continue
            if self._sessions.get(session.sid) is None:
                raise Unavailable("the connection was closed meanwhile")
            seen = Handed(checked.epoch, checked.head, first_look.last_activity)
            was_following = self._fanout.follows(session.sid, conversation_id)
            if not self._fanout.enter(session.sid, session.user_id, conversation_id, seen):
                continue
            session.following.add(conversation_id)
            try:
                view = await self._log.get_view(conversation_id, session.user_id)
                judgement = judge(position, view.bounds, SNAPSHOT_ENTRIES)
                page = await self._log.page(
                    conversation_id,
                    session.user_id,
                    after=judgement.after,
                    limit=MAX_PAGE_ENTRIES,
                    max_bytes=max_bytes,
                )
            except BaseException:
                if not was_following:
                    self._fanout.leave(session.sid, conversation_id)
                    session.following.discard(conversation_id)
                raise
            if page.bounds.epoch != view.bounds.epoch or page.bounds.first > judgement.after + 1:
                continue
            # Whose word has just begun the new life is told what it has said.
            reason = Reason.AHEAD_OF_LOG if told and judgement.reason == Reason.NEW_EPOCH else judgement.reason
            last = page.entries[-1][0] if page.entries else judgement.after
            return {
                "conversation_id": conversation_id,
                "verdict": judgement.verdict,
                "reason": reason,
                "position": {"epoch": page.bounds.epoch, "seq": last},
                "after": judgement.after,
                "head": page.bounds.head,
                "more": last < page.bounds.head,
                "entries": [envelope for _, envelope in page.entries],
                "title": view.title,
                "access": view.access,
                "agent": view.agent,
                "graph": view.graph,
                "multitask_strategy": view.multitask_strategy,
                "approvals": view.approvals,
                "owner": view.owner,
                "role": view.role,
                "reads": view.reads,
                "delivered": view.delivered,
                "draft": view.draft,
                "interrupts": view.interrupts,
                "card": {
                    "user_id": session.user_id,
                    "verdict": judgement.verdict,
                    "reason": reason,
                    "replayed": page.bounds.head - judgement.after,
                    "history": page.bounds.head - page.bounds.first + 1,
                    "last_activity": view.last_activity,
                    "unfinished_run": view.unfinished_run,
                },
            }
        raise Unavailable("the conversation changes too quickly to catch up; try again")
