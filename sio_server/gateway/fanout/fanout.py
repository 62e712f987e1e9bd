"""Fan-out: the stream of each conversation, to its room on this node, in its order and without gaps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Coroutine
from itertools import islice
from typing import Any

from orjson import Fragment

from sio_server.conversation.log import ConversationLog, Handed, Page
from sio_server.conversation.view import RoomView
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.followed import Followed, Follower
from sio_server.gateway.fanout.numbered import EntryHead, NumberedStream, Step, StreamEvent
from sio_server.gateway.fanout.sync_result import room_result
from sio_server.gateway.metrics import Metrics
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.events import MAX_PAGE_ENTRIES, EntryType, ServerEvent
from sio_server.protocol.position import Position, Reason, Verdict
from sio_server.store.keys import conversation_channel, conversation_room, user_room
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.recording import Trace

log = logging.getLogger(__name__)

TRACED_DEVICES = 50  # in one trace event
FIRST_BACK_OFF_S = 0.05  # until a conversation is read again: Redis may be back
MAX_BACK_OFF_S = 0.4
# A failover may have all conversations start over: their devices, which sync at once, are told in groups.
RESETS_AT_ONCE = 200
RESETS_EVERY_S = 0.05


class Fanout:
    """The conversations that sessions of this node follow.

    A gap makes it read the conversation, and tell the room how it is (`conversation:synced`). An entry that says
    that a member has left takes effect in the order of the log: after a member leaves, they receive nothing later.
    The channel of each followed conversation is held.
    """

    def __init__(self, rooms: Bus, conversations: ConversationLog, metrics: Metrics, trace: Trace) -> None:
        self._rooms = rooms
        self._log = conversations
        self._metrics = metrics
        self._trace = trace
        self._followed: dict[str, Followed] = {}
        self._following: dict[str, set[str]] = {}  # session id -> conversation ids
        self._tasks: set[asyncio.Task[None]] = set()
        self._resets: deque[tuple[str, str]] = deque()  # sessions to be told that a conversation starts over
        self._resetting: asyncio.Task[None] | None = None

    # The sessions of a conversation

    def enter(
        self, sid: str, user_id: str, device_id: str, conversation_id: str, seen: Handed, seen_n: int
    ) -> bool:
        """Let a session follow a conversation, given its last entry and event when the membership was checked.

        Returns False when the check is out of date: this node has met a later `member_left` of the user, or
        it began to follow later and cannot know of one.
        Must be called without an await since the session was known to be alive, and while the caller is subscribed
        to the conversation's channel, since before the check.
        """
        followed = self._followed.get(conversation_id)
        if followed is not None and followed.stream.position.epoch != seen.epoch:
            self.start_over(conversation_id, followed)
            followed = None
        if followed is None:
            stream = NumberedStream(Position(seen.epoch, seen.seq), seen_n)
            followed = self._followed[conversation_id] = Followed(stream, seen.ts, since=seen.seq)
            self._rooms.hold(conversation_channel(conversation_id))
        elif seen.seq < max(followed.since, followed.left_at.get(user_id, 0)):
            return False
        self._rooms.enter(sid, conversation_room(conversation_id))
        followed.followers[sid] = Follower(user_id, device_id, seen.seq)
        self._following.setdefault(sid, set()).add(conversation_id)
        return True

    def leave(self, sid: str, conversation_id: str) -> None:
        """Let a session no longer follow a conversation; one without sessions is forgotten."""
        followed = self._followed.get(conversation_id)
        if followed is None or followed.followers.pop(sid, None) is None:
            return
        self._rooms.leave(sid, conversation_room(conversation_id))
        conversations = self._following[sid]
        conversations.discard(conversation_id)
        if not conversations:
            del self._following[sid]
        if not followed.followers:
            del self._followed[conversation_id]
            self._rooms.release(conversation_channel(conversation_id))

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
        return followed is not None and followed.stream.position.seq >= seq

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

    # Events of the bus, and what Redis says

    def on_stream_event(self, conversation_id: str, event: StreamEvent) -> None:
        """An event of a conversation's stream came over the bus."""
        entry = event.entry
        if entry is not None and self._trace.on:
            where = {"conversation_id": conversation_id, "epoch": entry.epoch, "seq": entry.seq}
            self._trace.record(TraceKind.HEARD, type=entry.type, **where)
        followed = self._followed.get(conversation_id)
        if followed is None:
            return
        if entry is not None:
            self._metrics.append_returned(conversation_id, entry.seq)
        step = followed.stream.on_event(event)
        self._deliver_events(conversation_id, followed, step)
        if step.read:
            self._start_reading(conversation_id, followed, followed.handed)

    def on_new_epoch(self, conversation_id: str, epoch: str) -> None:
        """The bus says that the log has a new epoch, or is gone: ask the log, since the bus is not trusted."""
        followed = self._followed.get(conversation_id)
        if followed is not None and followed.stream.position.epoch != epoch:
            self._spawn(self._verify_epoch(conversation_id, followed))

    async def sync_room(self, conversation_id: str, followed: Followed, handed: Handed) -> None:
        """The bus was lost: read the conversation, and tell the room how it is.

        `handed` is the last entry that was delivered before the loss; its log may be another one by now.
        """
        while followed.reading is not None and not followed.reading.done():
            await asyncio.wait({followed.reading})  # it may have begun before the loss
        if self.is_current(conversation_id, followed):
            followed.stream.missed()
            await asyncio.wait({self._start_reading(conversation_id, followed, handed)})

    def start_over(self, conversation_id: str, followed: Followed) -> None:
        """The log is another one, or older than it can be read: its sessions must sync again.

        They get nothing of it from now on. The first RESETS_AT_ONCE are told so at once, the others later.
        """
        if not self.is_current(conversation_id, followed):
            return
        for sid in list(followed.followers):
            self.leave(sid, conversation_id)
            self._resets.append((sid, conversation_id))
        if self._resetting is None or self._resetting.done():
            self._deliver_resets()
            if self._resets:
                self._resetting = self._spawn(self._deliver_later_resets())

    async def close(self) -> None:
        """Stop reading."""
        await end_tasks(self._tasks)

    def _deliver_resets(self) -> None:
        for _ in range(min(RESETS_AT_ONCE, len(self._resets))):
            sid, conversation_id = self._resets.popleft()
            if not self.follows(sid, conversation_id):  # otherwise it has synced meanwhile
                self._rooms.deliver(sid, ServerEvent.CONVERSATION_RESET, {"conversation_id": conversation_id})

    async def _deliver_later_resets(self) -> None:
        while self._resets:
            await asyncio.sleep(RESETS_EVERY_S)
            self._deliver_resets()

    def _deliver_events(self, conversation_id: str, followed: Followed, step: Step) -> None:
        for event in step.events:
            count = self._rooms.deliver_frame(conversation_room(conversation_id), event.frame)
            if event.entry is not None:
                self._on_delivered(conversation_id, followed, event.entry, count)

    def _on_delivered(self, conversation_id: str, followed: Followed, entry: EntryHead, count: int) -> None:
        """An entry has been delivered to `count` sessions."""
        followed.handed_ts = entry.ts
        self._metrics.deliveries += count
        if self._trace.on and count:
            self._trace_delivered(conversation_id, entry.seq, followed)
        if entry.type == EntryType.MEMBER_LEFT:
            self._evict(conversation_id, followed, entry.about, entry.seq)

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

    def _start_reading(self, conversation_id: str, followed: Followed, handed: Handed) -> asyncio.Task[None]:
        followed.reading = self._spawn(self._read(conversation_id, followed, handed))
        return followed.reading

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="fanout-read")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _verify_epoch(self, conversation_id: str, followed: Followed) -> None:
        """Start over when the log has another epoch, or is gone. Without Redis, the bus will be lost as well."""
        with contextlib.suppress(Unavailable):
            try:
                epoch = await self._log.verify(conversation_id, followed.handed)
            except Refused:
                epoch = ""  # it was deleted
            if followed.stream.position.epoch != epoch:
                self.start_over(conversation_id, followed)

    async def _read(self, conversation_id: str, followed: Followed, handed: Handed) -> None:
        """Make good what was missed, until the conversation is in step again."""
        back_off_s = FIRST_BACK_OFF_S
        while self.is_current(conversation_id, followed):
            try:
                step = await self._read_once(conversation_id, followed, handed)
            except Unavailable:
                await asyncio.sleep(back_off_s)
                back_off_s = min(back_off_s * 2, MAX_BACK_OFF_S) * random.uniform(0.5, 1.0)
                continue
            except Refused:
                step = None  # the conversation is gone
            except Exception:
                log.exception("a conversation could not be read: conversation_id=%s", conversation_id)
                step = None
            if step is None:
                self.start_over(conversation_id, followed)
                return
            self._deliver_events(conversation_id, followed, step)
            if not step.read:
                return
            handed = followed.handed

    async def _read_once(self, conversation_id: str, followed: Followed, handed: Handed) -> Step | None:
        """Read the conversation and tell its room; None when its sessions must start over."""
        stream = followed.stream
        epoch = await self._log.verify(conversation_id, handed)
        stream.begin_reading()
        asked = followed.user_ids
        room_view = await self._log.get_room_view(conversation_id, asked)
        view = room_view.view
        if not epoch == view.bounds.epoch == stream.position.epoch:
            return None
        # Not more events than were delivered, but other ones: Redis has lost some, or some were false.
        if view.n < stream.n or (view.n == stream.n and view.bounds.head != stream.position.seq):
            return None
        while True:
            after = stream.position.seq
            page = await self._log.page(
                conversation_id, "", after=after, up_to=view.bounds.head, limit=MAX_PAGE_ENTRIES
            )
            if page.bounds.epoch != epoch or page.bounds.first > after + 1:
                return None
            if not self.is_current(conversation_id, followed):
                return Step()
            if not followed.user_ids <= asked:
                return Step(read=True)  # of those who entered meanwhile the view does not know whether they may
            self._deliver_page(conversation_id, followed, room_view, page)
            if stream.position.seq >= view.bounds.head:
                break
        for user_id, draft in room_view.drafts.items():
            what = {"conversation_id": conversation_id, "draft": Fragment(draft)}
            self._rooms.deliver(user_room(user_id), ServerEvent.DRAFT_CHANGED, what)
        return stream.on_read(Position(epoch, view.bounds.head), view.n)

    def _deliver_page(self, conversation_id: str, followed: Followed, room_view: RoomView, page: Page) -> None:
        """Tell the room one page of what was missed, with the conversation as it is."""
        for sid, follower in list(followed.followers.items()):
            if follower.user_id in room_view.left:
                # What came after the leaving is not for them; their devices learn of it when they sync.
                self._rooms.deliver(sid, ServerEvent.CONVERSATION_RESET, {"conversation_id": conversation_id})
                self.leave(sid, conversation_id)
        after, reason = followed.stream.position.seq, Reason.POSITION_VALID
        result = room_result(conversation_id, room_view.view, page, Verdict.RESUMED, reason, after)
        count = self._rooms.deliver(conversation_room(conversation_id), ServerEvent.CONVERSATION_SYNCED, result)
        self._metrics.gap_entries.inc(len(page.entries))
        self._metrics.deliveries += count * len(page.entries)
        if self._trace.on and count:
            for seq, _ in page.entries:
                self._trace_delivered(conversation_id, seq, followed)
        if page.entries:
            followed.handed_ts = page.last_ts
        for seq, user_id in page.departures:
            self._evict(conversation_id, followed, user_id, seq)
        followed.stream.position = Position(**result["position"])
