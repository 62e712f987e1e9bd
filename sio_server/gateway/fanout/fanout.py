"""Fan-out: what the log says, to the rooms of this node, in the order of the log and without gaps."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sio_server.conversation.log import ConversationLog, Handed, View
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.resync import Repeats
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.sessions.registry import Sessions
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

DEVICES_TOLD = 50  # in one trace event
COMPARED_AT_ONCE = 16  # rooms, when the bus has come back: other work goes on beside it
REPEATED_AT_ONCE = 2  # rooms: entries come first
AGAIN_S = 0.4  # until the next try to compare a room: Redis may be back


@dataclass
class _Room:
    """A conversation that sessions of this node follow."""

    delivery: Delivery[Envelope]
    handed_ts: str  # of the entry at the delivery's position
    since: int  # the seq at which this node began to follow: leaves before it have not been met
    sids: dict[str, tuple[str, int]] = field(default_factory=dict)  # session id -> user id, seq of its check
    left_at: dict[str, int] = field(default_factory=dict)  # user id -> seq of the latest `member_left` met here

    @property
    def handed(self) -> Handed:
        """The last entry that its sessions were handed."""
        return Handed(*self.delivery.position, self.handed_ts)


class Fanout:
    """The rooms of one node, each with the position up to which its sessions have been served.

    A gap, or a bus that came back, makes it read the missing entries from the log. Entries of who leaves
    take effect in the order of the log: nobody gets an entry that is later than their leaving.
    """

    def __init__(
        self, bus: Bus, conversations: ConversationLog, sessions: Sessions, metrics: Metrics, trace: Trace
    ) -> None:
        self._bus = bus
        self._log = conversations
        self._sessions = sessions
        self._metrics = metrics
        self._trace = trace
        self._rooms: dict[str, _Room] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._comparing = asyncio.Semaphore(COMPARED_AT_ONCE)
        self._repeating = asyncio.Semaphore(REPEATED_AT_ONCE)
        self.repeats: Repeats | None = None  # without: nothing but entries is made good
        self.on_evicted: Callable[[str, str], None] = lambda sid, conversation_id: None
        bus.on_event = self.hear
        bus.on_return = self.resync

    def enter(self, sid: str, user_id: str, conversation_id: str, seen: Handed) -> bool:
        """Put a session into a room, given the log's last entry when its membership was checked.

        Returns False when the check is out of date: this node has met a later `member_left` of the user, or
        it began to follow later and cannot know of one.
        Must be called without an await since the session was known to be alive.
        """
        room = self._rooms.get(conversation_id)
        if room is not None and room.delivery.position.epoch != seen.epoch:
            self._start_over(conversation_id, room)
            room = None
        if room is None:
            delivery: Delivery[Envelope] = Delivery(Position(seen.epoch, seen.seq))
            room = self._rooms[conversation_id] = _Room(delivery, seen.ts, since=seen.seq)
        elif seen.seq < max(room.since, room.left_at.get(user_id, 0)):
            return False
        self._bus.basic_enter_room(sid, "/", conversation_room(conversation_id))
        room.sids[sid] = (user_id, seen.seq)
        head = max(seen.seq, room.delivery.position.seq)
        self._carry_out(conversation_id, room, room.delivery.known_head(seen.epoch, head))
        return True

    def leave(self, sid: str, conversation_id: str) -> None:
        """Take a session out of a room; a room without sessions is forgotten."""
        room = self._rooms.get(conversation_id)
        if room is None or room.sids.pop(sid, None) is None:
            return
        self._bus.basic_leave_room(sid, "/", conversation_room(conversation_id))
        if not room.sids:
            del self._rooms[conversation_id]

    def follows(self, sid: str, conversation_id: str) -> bool:
        """Whether the session is in the room."""
        room = self._rooms.get(conversation_id)
        return room is not None and sid in room.sids

    def sessions(self, conversation_id: str) -> int:
        """How many sessions of this node follow the conversation."""
        room = self._rooms.get(conversation_id)
        return len(room.sids) if room is not None else 0

    def has_reached(self, conversation_id: str, seq: int) -> bool:
        """Whether the entry has been handed to the room already."""
        room = self._rooms.get(conversation_id)
        return room is not None and room.delivery.position.seq >= seq

    def handed(self, conversation_id: str) -> Handed | None:
        """The last entry that was handed to the room, if there is one."""
        room = self._rooms.get(conversation_id)
        return room.handed if room is not None else None

    def hear(self, event: str, payload: Any, target: Any) -> None:
        """An event came over the bus."""
        if event == ServerEvent.CONVERSATION_RESET:
            self._begins_anew(payload["conversation_id"], payload["epoch"])
            return
        if event != ServerEvent.CONVERSATION_ENTRY:
            self._bus.deliver(target, event, payload)
            return
        conversation_id = payload["conversation_id"]
        where = {"conversation_id": conversation_id, "seq": payload["seq"]}
        self._trace.tell(TraceKind.HEARD, type=payload["type"], **where)
        room = self._rooms.get(conversation_id)
        if room is None:
            return
        self._metrics.append_returned(conversation_id, payload["seq"])
        step = room.delivery.hear(payload["epoch"], payload["seq"], payload)
        self._carry_out(conversation_id, room, step)

    def resync(self) -> None:
        """The bus came back: compare every room with the log, and repeat what has no seq.

        What was handed out until now is noted now: what comes over the bus from here on is of the log as it is.
        """
        told: set[str] = set()
        for conversation_id, room in list(self._rooms.items()):
            self._spawn(self._compare(conversation_id, room, room.handed, told))

    async def close(self) -> None:
        """Stop what is being read."""
        await end_tasks(self._tasks)

    def _carry_out(self, conversation_id: str, room: _Room, step: Step[Envelope]) -> None:
        for envelope in step.entries:
            room.handed_ts = envelope["ts"]
            count = self._bus.deliver(conversation_room(conversation_id), ServerEvent.CONVERSATION_ENTRY, envelope)
            self._metrics.deliveries.inc(count)
            if self._trace.on and count:
                self._tell_delivered(conversation_id, envelope["seq"], room)
            if envelope["type"] == EntryType.MEMBER_LEFT:
                self._evict(conversation_id, room, str(envelope["data"]["user_id"]), envelope["seq"])
        if step.reset:
            self._start_over(conversation_id, room)
        elif step.read_after is not None:
            self._spawn(self._read(conversation_id, room, step.read_after))

    def _tell_delivered(self, conversation_id: str, seq: int, room: _Room) -> None:
        sessions = (self._sessions.get(sid) for sid in islice(room.sids, DEVICES_TOLD))
        device_ids = list(dict.fromkeys(session.device_id for session in sessions if session is not None))
        self._trace.tell(TraceKind.DELIVERED, conversation_id=conversation_id, seq=seq, device_ids=device_ids)

    def _evict(self, conversation_id: str, room: _Room, user_id: str, seq: int) -> None:
        room.left_at[user_id] = seq
        # Who was found to be a member after this entry has come back since.
        for sid in [sid for sid, (user, checked) in room.sids.items() if user == user_id and checked < seq]:
            self.leave(sid, conversation_id)
            self.on_evicted(sid, conversation_id)

    def _start_over(self, conversation_id: str, room: _Room) -> None:
        """The log is another one, or older than it can be read: sessions must sync again."""
        self._bus.deliver(
            conversation_room(conversation_id),
            ServerEvent.CONVERSATION_RESET,
            {"conversation_id": conversation_id},
        )
        for sid in list(room.sids):
            self.leave(sid, conversation_id)
            self.on_evicted(sid, conversation_id)
        self._rooms.pop(conversation_id, None)

    def _begins_anew(self, conversation_id: str, epoch: str) -> None:
        room = self._rooms.get(conversation_id)
        if room is not None and room.delivery.position.epoch != epoch:
            self._start_over(conversation_id, room)

    async def _read(self, conversation_id: str, room: _Room, after: int) -> None:
        """Read one page of missing entries; the step that follows may ask for the next."""
        delay, handed = 0.05, room.handed
        while self._rooms.get(conversation_id) is room:
            claimed = room.delivery.highest
            try:
                self._begins_anew(conversation_id, await self._log.verify(conversation_id, handed))
                page = await self._log.page(conversation_id, "", after=after, limit=MAX_PAGE_ENTRIES)
            except Unavailable:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 0.4) * random.uniform(0.5, 1.0)
                continue
            except Refused:
                self._start_over(conversation_id, room)
                return
            if self._rooms.get(conversation_id) is not room:
                return
            self._metrics.gap_entries.inc(len(page.entries))
            if page.bounds.epoch == room.delivery.position.epoch and page.bounds.head < claimed:
                # Every entry is in the log before it is on the bus: somebody else has published that one.
                log.warning("the bus named entries that are not in the log: conversation_id=%s", conversation_id)
                room.delivery = Delivery(room.delivery.position)
                self._spawn(self._compare(conversation_id, room, room.handed, set()))  # what came meanwhile
            step = room.delivery.read(page.bounds.epoch, page.bounds.head, page.entries)
            self._carry_out(conversation_id, room, step)
            return

    async def _compare(self, conversation_id: str, room: _Room, handed: Handed, told: set[str]) -> None:
        """`told`: users whose devices have been told again, of all rooms."""
        while self._rooms.get(conversation_id) is room:
            try:
                async with self._comparing:
                    self._begins_anew(conversation_id, await self._log.verify(conversation_id, handed))
                    user_ids = {user_id for user_id, _ in room.sids.values()}
                    views = [await self._bring_level(conversation_id, room, user_id) for user_id in user_ids]
                async with self._repeating:
                    await self._repeat(conversation_id, user_ids - told, views)
                    told |= user_ids
                return
            except Unavailable:
                await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))
            except Refused:
                # The conversation is gone.
                self._start_over(conversation_id, room)

    async def _repeat(self, conversation_id: str, user_ids: set[str], views: Sequence[View | None]) -> None:
        if self.repeats is None:
            return
        for user_id in user_ids:
            await self.repeats.devices(user_id)
        if any(views):
            await self.repeats.room(conversation_id, next(view for view in views if view))

    async def _bring_level(self, conversation_id: str, room: _Room, user_id: str) -> View | None:
        """Look at the conversation as one of its users, and hand out what was missed."""
        try:
            view = await self._log.look(conversation_id, user_id)
        except Refused:
            # The user has left, which is among the entries to be read.
            await self._read(conversation_id, room, room.delivery.position.seq)
            return None
        if self._rooms.get(conversation_id) is not room:
            return None
        self._carry_out(conversation_id, room, room.delivery.known_head(view.bounds.epoch, view.bounds.head))
        if self.repeats is not None:
            self.repeats.draft(conversation_id, user_id, view)
        return view

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("reading from the log failed", exc_info=task.exception())
