"""Fan-out: the entries of the log, to the rooms of this node, in the order of the log and without gaps."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from sio_server.conversation.log import ConversationLog, Handed
from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.gateway.metrics import Metrics
from sio_server.protocol.delivery import Delivery, Step
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.events import MAX_PAGE_ENTRIES, EntryType, ServerEvent
from sio_server.protocol.position import Position
from sio_server.store.keys import conversation_room
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace

log = logging.getLogger(__name__)

Envelope = dict[str, Any]

TRACED_DEVICES = 50  # in one trace event
FIRST_BACK_OFF_S = 0.05  # until a missing page is asked for again: Redis may be back
MAX_BACK_OFF_S = 0.4


class Follower(NamedTuple):
    """A session that follows a conversation."""

    user_id: str
    device_id: str
    checked: int  # the seq at which its membership was checked


@dataclass
class Followed:
    """A conversation that sessions of this node follow, with the position up to which they have been served."""

    delivery: Delivery[Envelope]
    handed_ts: str  # of the entry at the delivery's position
    since: int  # the seq at which this node began to follow: it has not met the leaves before that
    followers: dict[str, Follower] = field(default_factory=dict)  # by session id
    left_at: dict[str, int] = field(default_factory=dict)  # user id -> seq of the latest `member_left` met here

    @property
    def handed(self) -> Handed:
        """The last entry that was delivered to its sessions."""
        return Handed(*self.delivery.position, self.handed_ts)


class Fanout:
    """The conversations that sessions of this node follow.

    A gap makes it read the missing entries from the log. An entry that says that a member has left takes effect
    in the order of the log: after a member leaves, they receive nothing later.
    """

    def __init__(self, rooms: LocalRooms, conversations: ConversationLog, metrics: Metrics, trace: Trace) -> None:
        self._rooms = rooms
        self._log = conversations
        self._metrics = metrics
        self._trace = trace
        self._followed: dict[str, Followed] = {}
        self._following: dict[str, set[str]] = {}  # session id -> conversation ids
        self._tasks: set[asyncio.Task[None]] = set()

    # The sessions of a conversation

    def enter(self, sid: str, user_id: str, device_id: str, conversation_id: str, seen: Handed) -> bool:
        """Let a session follow a conversation, given the log's last entry when its membership was checked.

        Returns False when the check is out of date: this node has met a later `member_left` of the user, or
        it began to follow later and cannot know of one.
        Must be called without an await since the session was known to be alive.
        """
        followed = self._followed.get(conversation_id)
        if followed is not None and followed.delivery.position.epoch != seen.epoch:
            self.start_over(conversation_id, followed)
            followed = None
        if followed is None:
            delivery: Delivery[Envelope] = Delivery(Position(seen.epoch, seen.seq))
            followed = self._followed[conversation_id] = Followed(delivery, seen.ts, since=seen.seq)
        elif seen.seq < max(followed.since, followed.left_at.get(user_id, 0)):
            return False
        self._rooms.basic_enter_room(sid, "/", conversation_room(conversation_id))
        followed.followers[sid] = Follower(user_id, device_id, seen.seq)
        self._following.setdefault(sid, set()).add(conversation_id)
        self.on_head(conversation_id, followed, seen.epoch, max(seen.seq, followed.delivery.position.seq))
        return True

    def leave(self, sid: str, conversation_id: str) -> None:
        """Let a session no longer follow a conversation; one without sessions is forgotten."""
        followed = self._followed.get(conversation_id)
        if followed is None or followed.followers.pop(sid, None) is None:
            return
        self._rooms.basic_leave_room(sid, "/", conversation_room(conversation_id))
        conversations = self._following[sid]
        conversations.discard(conversation_id)
        if not conversations:
            del self._following[sid]
        if not followed.followers:
            del self._followed[conversation_id]

    def leave_all(self, sid: str) -> None:
        """Let a session no longer follow anything: it has ended."""
        for conversation_id in list(self._following.get(sid, ())):
            try:
                self.leave(sid, conversation_id)
            except Exception:
                # The session gets nothing of the others, whatever is wrong with this one.
                log.exception("a session could not leave a conversation: conversation_id=%s", conversation_id)

    def follows(self, sid: str, conversation_id: str) -> bool:
        """Whether the session follows the conversation."""
        return conversation_id in self._following.get(sid, ())

    def following(self, sid: str) -> int:
        """How many conversations the session follows."""
        return len(self._following.get(sid, ()))

    def follower_count(self, conversation_id: str) -> int:
        """How many sessions of this node follow the conversation."""
        followed = self._followed.get(conversation_id)
        return len(followed.followers) if followed is not None else 0

    # What has been delivered

    def has_delivered(self, conversation_id: str, seq: int) -> bool:
        """Whether the entry has been delivered to the sessions of this node."""
        followed = self._followed.get(conversation_id)
        return followed is not None and followed.delivery.position.seq >= seq

    def handed(self, conversation_id: str) -> Handed | None:
        """The last entry that was delivered here, if sessions of this node follow the conversation."""
        followed = self._followed.get(conversation_id)
        return followed.handed if followed is not None else None

    def all_followed(self) -> list[tuple[str, Followed]]:
        """The conversations that sessions of this node follow, by their ids."""
        return list(self._followed.items())

    def is_current(self, conversation_id: str, followed: Followed) -> bool:
        """Whether this is still how the conversation is followed: it may have been left, or started over."""
        return self._followed.get(conversation_id) is followed

    # Events of the bus, and what the log says

    def on_entry(self, envelope: Envelope) -> None:
        """An entry came over the bus."""
        conversation_id, seq = envelope["conversation_id"], envelope["seq"]
        self._trace.record(TraceKind.HEARD, type=envelope["type"], conversation_id=conversation_id, seq=seq)
        followed = self._followed.get(conversation_id)
        if followed is None:
            return
        self._metrics.append_returned(conversation_id, seq)
        self._carry_out(conversation_id, followed, followed.delivery.on_entry(envelope["epoch"], seq, envelope))

    def on_reset(self, conversation_id: str, epoch: str) -> None:
        """The bus says that the log has a new epoch: ask the log, since the bus is not trusted."""
        followed = self._followed.get(conversation_id)
        if followed is not None and followed.delivery.position.epoch != epoch:
            self._spawn(self._read_missing(conversation_id, followed, followed.delivery.position.seq))

    def on_head(self, conversation_id: str, followed: Followed, epoch: str, head: int) -> None:
        """The log was seen to reach `head`: deliver what is missing."""
        self._carry_out(conversation_id, followed, followed.delivery.known_head(epoch, head))

    async def verify_epoch(self, conversation_id: str, followed: Followed, handed: Handed) -> None:
        """Start over when the log no longer holds what was delivered here. Raises Refused or Unavailable."""
        epoch = await self._log.verify(conversation_id, handed)
        if self.is_current(conversation_id, followed) and followed.delivery.position.epoch != epoch:
            self.start_over(conversation_id, followed)

    async def read_all(self, conversation_id: str, followed: Followed) -> None:
        """Read and deliver what the log holds above the position, once."""
        await self._read_missing(conversation_id, followed, followed.delivery.position.seq)

    def start_over(self, conversation_id: str, followed: Followed) -> None:
        """The log is another one, or older than it can be read: its sessions must sync again."""
        if not self.is_current(conversation_id, followed):
            return
        self._rooms.deliver(
            conversation_room(conversation_id),
            ServerEvent.CONVERSATION_RESET,
            {"conversation_id": conversation_id},
        )
        for sid in list(followed.followers):
            self.leave(sid, conversation_id)

    async def close(self) -> None:
        """Stop reading."""
        await end_tasks(self._tasks)

    def _carry_out(self, conversation_id: str, followed: Followed, step: Step[Envelope]) -> None:
        for envelope in step.entries:
            followed.handed_ts = envelope["ts"]
            room = conversation_room(conversation_id)
            count = self._rooms.deliver(room, ServerEvent.ENTRY_APPENDED, envelope)
            self._metrics.deliveries.inc(count)
            if self._trace.on and count:
                self._trace_delivered(conversation_id, envelope["seq"], followed)
            if envelope["type"] == EntryType.MEMBER_LEFT:
                self._evict(conversation_id, followed, str(envelope["data"]["user_id"]), envelope["seq"])
        if step.reset:
            self.start_over(conversation_id, followed)
        elif step.read_after is not None:
            self._spawn(self._read_missing(conversation_id, followed, step.read_after))

    def _trace_delivered(self, conversation_id: str, seq: int, followed: Followed) -> None:
        followers = islice(followed.followers.values(), TRACED_DEVICES)
        device_ids = list(dict.fromkeys(follower.device_id for follower in followers))
        self._trace.record(TraceKind.DELIVERED, conversation_id=conversation_id, seq=seq, device_ids=device_ids)

    def _evict(self, conversation_id: str, followed: Followed, user_id: str, seq: int) -> None:
        followed.left_at[user_id] = seq
        for sid, follower in list(followed.followers.items()):
            # A session that was checked after this entry belongs to a user that has come back since.
            if follower.user_id == user_id and follower.checked < seq:
                self.leave(sid, conversation_id)

    async def _read_missing(self, conversation_id: str, followed: Followed, after: int) -> None:
        """Read one page of missing entries; the step that follows may ask for the next."""
        back_off_s, handed = FIRST_BACK_OFF_S, followed.handed
        while self.is_current(conversation_id, followed):
            claimed = followed.delivery.highest
            try:
                await self.verify_epoch(conversation_id, followed, handed)
                page = await self._log.page(conversation_id, "", after=after, limit=MAX_PAGE_ENTRIES)
            except Unavailable:
                await asyncio.sleep(back_off_s)
                back_off_s = min(back_off_s * 2, MAX_BACK_OFF_S) * random.uniform(0.5, 1.0)
                continue
            except Refused:
                self.start_over(conversation_id, followed)
                return
            if not self.is_current(conversation_id, followed):
                return
            self._metrics.gap_entries.inc(len(page.entries))
            if page.bounds.epoch == followed.delivery.position.epoch and page.bounds.head < claimed:
                # Every entry is in the log before it is on the bus: that one was published by somebody else.
                log.warning("the bus named entries that are not in the log: conversation_id=%s", conversation_id)
                followed.delivery = Delivery(followed.delivery.position)
                # What came over the bus during the reading was dropped with the old delivery.
                self._spawn(self.read_all(conversation_id, followed))
            step = followed.delivery.on_page(page.bounds.epoch, page.bounds.head, page.entries)
            self._carry_out(conversation_id, followed, step)
            return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="fanout-read")
        self._tasks.add(task)
        task.add_done_callback(self._on_read)

    def _on_read(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("reading from the log failed", exc_info=task.exception())
