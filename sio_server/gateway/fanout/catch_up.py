"""Catch-up: put a session into a conversation's room and give it exactly what it missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeGuard

from sio_server.conversation.log import ConversationLog, Handed
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.sync_result import own_result, room_result
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable
from sio_server.protocol.events import MAX_PAGE_ENTRIES, SNAPSHOT_ENTRIES
from sio_server.protocol.position import Position, Reason, judge
from sio_server.store.keys import conversation_channel

# The log may be trimmed, or the user leave and come back, between two steps: then the steps are taken again.
ATTEMPTS = 10


class _Session(Protocol):
    """What catch-up needs of a session."""

    sid: str
    user_id: str
    device_id: str


class CatchUp:
    """Gives a session what it missed of a conversation, and lets it follow."""

    def __init__(
        self,
        conversations: ConversationLog,
        bus: Bus,
        fanout: Fanout,
        is_live: Callable[[str], bool],
        max_followed: int = 0,
    ) -> None:
        """`is_live` says whether a session exists; it may follow `max_followed` conversations, 0 for any."""
        self._log = conversations
        self._bus = bus
        self._fanout = fanout
        self._is_live = is_live
        self._max_followed = max_followed

    @property
    def has_shards(self) -> bool:
        """Whether this is a Redis Cluster, of which a part may be away."""
        return self._bus.has_shards

    def check_limit(self, session: _Session, conversation_id: str | None) -> None:
        """Raise Refused for one conversation more than a session may follow."""
        count = self._fanout.following(session.sid)
        known = conversation_id is not None and self._fanout.follows(session.sid, conversation_id)
        if 0 < self._max_followed <= count and not known:
            what = f"this session follows {count} conversations, as many as one may; use another one"
            raise Refused(ErrorCode.TOO_MANY_CONVERSATIONS, what)

    @asynccontextmanager
    async def subscribed(
        self, session: _Session, conversation_ids: Iterable[str]
    ) -> AsyncIterator[Mapping[str, RoomgraphError]]:
        """Hold the channels of several conversations that `follow` is called for while this context lasts.

        Gives the refusals of those of which the user is no member: nobody makes a node subscribe to a conversation
        by naming it. The others are subscribed in one write. `follow` checks the membership again. On a Redis
        Cluster those of a shard that is away have an error, too.
        """
        new = [one for one in conversation_ids if not self._fanout.follows(session.sid, one)]
        errors: dict[str, RoomgraphError] = {**await self._log.refusals(new, session.user_id)}
        members = [one for one in new if one not in errors]
        if self._max_followed:
            del members[max(0, self._max_followed - self._fanout.following(session.sid)) :]
        async with self._bus.some_subscribed(*map(conversation_channel, members)) as confirmed:
            for one in members:
                if conversation_channel(one) not in confirmed:
                    errors[one] = Unavailable("the bus is away at this moment; try again")
            yield errors

    async def follow(
        self,
        session: _Session,
        conversation_id: str,
        position: Position | None,
        max_bytes: int,
        max_entries: int = MAX_PAGE_ENTRIES,
        with_marks: bool = True,
    ) -> tuple[dict[str, Any], int]:
        """Return the first page of what the session missed above `position`, with verdict and card, and its bytes.

        The order matters: be subscribed, check membership, enter the room, then read. What is published after the
        reading comes live; what was before it is in what is read, and has a number not above the result's `n`.
        """
        self.check_limit(session, conversation_id)
        async with self._bus.subscribed(conversation_channel(conversation_id)):
            return await self._follow(session, conversation_id, position, max_bytes, max_entries, with_marks)

    async def _follow(
        self,
        session: _Session,
        conversation_id: str,
        position: Position | None,
        max_bytes: int,
        max_entries: int,
        with_marks: bool,
    ) -> tuple[dict[str, Any], int]:
        reported = False
        for _ in range(ATTEMPTS):
            # A session that follows the conversation is in the room already: its next page takes one step.
            was_following = self._fanout.follows(session.sid, conversation_id)
            if not was_following:
                checked, n = await self._log.check_member(conversation_id, session.user_id)
                if _is_ahead(position, checked.epoch, checked.seq) and not reported:
                    reported = True
                    await self._log.report_ahead(conversation_id, position)
                    continue
                if not self._enter(session, conversation_id, checked, n):
                    continue
            try:
                missed = await self._log.read_missed(
                    conversation_id,
                    session.user_id,
                    position,
                    snapshot=min(SNAPSHOT_ENTRIES, max_entries),
                    limit=max_entries,
                    max_bytes=max_bytes,
                    with_marks=with_marks,
                )
            except BaseException:
                if not was_following:
                    self._fanout.leave(session.sid, conversation_id)
                raise
            view, page = missed.view, missed.page
            judgement = judge(position, view.bounds, min(SNAPSHOT_ENTRIES, max_entries))
            if was_following:
                if _is_ahead(position, view.bounds.epoch, view.bounds.head) and not reported:
                    reported = True
                    await self._log.report_ahead(conversation_id, position)
                    continue
                # It may have been removed meanwhile. Else its membership was checked again with the reading.
                handed = self._fanout.handed(conversation_id)
                if handed is not None and handed.epoch != view.bounds.epoch:
                    self._fanout.leave(session.sid, conversation_id)  # what this node follows is another log
                seen = Handed(view.bounds.epoch, view.bounds.head, view.last_activity)
                still_follows = self._fanout.follows(session.sid, conversation_id)
                if not still_follows or not self._enter(session, conversation_id, seen, view.n):
                    continue
            # The device whose position has just begun the new epoch learns that its position was the reason.
            reason = Reason.AHEAD_OF_LOG if reported and judgement.reason == Reason.NEW_EPOCH else judgement.reason
            result = room_result(conversation_id, view, page, judgement.verdict, reason, missed.after)
            return own_result(result, view, session.user_id), page.size
        raise Unavailable("the conversation changes too quickly to catch up; try again")

    def _enter(self, session: _Session, conversation_id: str, seen: Handed, n: int) -> bool:
        """Let a session whose membership was checked enter the room; False when the check is out of date."""
        if not self._is_live(session.sid):
            raise Unavailable("the connection was closed meanwhile")
        return self._fanout.enter(session.sid, session.user_id, session.device_id, conversation_id, seen, n)


def _is_ahead(position: Position | None, epoch: str, head: int) -> TypeGuard[Position]:
    """Whether a device says that it has seen more than the log of this epoch holds."""
    return position is not None and position.epoch == epoch and position.seq > head
