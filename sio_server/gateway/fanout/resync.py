"""After the bus was lost: every room is compared with its log, and what has no seq is sent again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from sio_server.conversation.log import ConversationLog, Handed
from sio_server.conversation.members import Members
from sio_server.conversation.view import View
from sio_server.gateway.fanout.fanout import Fanout, Followed
from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.protocol.errors import Refused, Unavailable
from sio_server.protocol.events import ServerEvent
from sio_server.protocol.run import RunStatus
from sio_server.store.keys import conversation_room, user_room
from sio_server.tasks import end_tasks
from sio_server.users.devices import Devices

log = logging.getLogger(__name__)

COMPARED_AT_ONCE = 16  # conversations: other work continues beside it
REPEATED_AT_ONCE = 2  # conversations: entries come first
AGAIN_S = 0.4  # until a conversation is compared again: Redis may be back
PRESENCE_MEMBERS = 200  # of a conversation: presence is a hint, and each takes an event


class Resync:
    """Makes good what the sessions of this node may have missed, and of no other. All of it may come twice."""

    def __init__(
        self,
        rooms: LocalRooms,
        fanout: Fanout,
        conversations: ConversationLog,
        members: Members,
        devices: Devices,
    ) -> None:
        self._rooms = rooms
        self._fanout = fanout
        self._log = conversations
        self._members = members
        self._devices = devices
        self._comparing = asyncio.Semaphore(COMPARED_AT_ONCE)
        self._repeating = asyncio.Semaphore(REPEATED_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """The bus is back: compare every conversation with its log.

        What was delivered until now is noted now: what comes over the bus from here on is of the log as it is.
        """
        updated_users: set[str] = set()
        for conversation_id, followed in self._fanout.all_followed():
            work = self._compare(conversation_id, followed, followed.handed, updated_users)
            task = asyncio.create_task(work, name="resync")
            self._tasks.add(task)
            task.add_done_callback(self._on_compared)

    async def close(self) -> None:
        """Stop comparing."""
        await end_tasks(self._tasks)

    async def _compare(
        self, conversation_id: str, followed: Followed, handed: Handed, updated_users: set[str]
    ) -> None:
        """`updated_users`: those whose devices have been sent again, of all conversations."""
        while self._fanout.is_current(conversation_id, followed):
            try:
                async with self._comparing:
                    await self._fanout.verify_epoch(conversation_id, followed, handed)
                    user_ids = {follower.user_id for follower in followed.followers.values()}
                    views = [await self._deliver_missed(conversation_id, followed, user) for user in user_ids]
                async with self._repeating:
                    for user_id in user_ids - updated_users:
                        await self._repeat_devices(user_id)
                    updated_users |= user_ids
                    await self._repeat_room(conversation_id, views)
                return
            except Unavailable:
                await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))
            except Refused:
                # The conversation is gone.
                self._fanout.start_over(conversation_id, followed)

    async def _deliver_missed(self, conversation_id: str, followed: Followed, user_id: str) -> View | None:
        """Get the conversation's view for one of its users, and deliver the entries that were missed."""
        try:
            view = await self._log.get_view(conversation_id, user_id)
        except Refused:
            # The user has left, which is among the entries to be read.
            await self._fanout.read_all(conversation_id, followed)
            return None
        if not self._fanout.is_current(conversation_id, followed):
            return None
        self._fanout.on_head(conversation_id, followed, view.bounds.epoch, view.bounds.head)
        if view.draft is not None:
            draft = {"conversation_id": conversation_id, "draft": view.draft}
            self._rooms.deliver(user_room(user_id), ServerEvent.DRAFT_CHANGED, draft)
        return view

    async def _repeat_devices(self, user_id: str) -> None:
        devices = await self._devices.listed(user_id)
        self._rooms.deliver(user_room(user_id), ServerEvent.DEVICES_CHANGED, {"devices": devices})

    async def _repeat_room(self, conversation_id: str, views: Sequence[View | None]) -> None:
        """Send the whole room marks, the run's text so far, and presence, as one member's view has them."""
        view = next((view for view in views if view), None)
        if view is None:
            return
        room = conversation_room(conversation_id)
        where = {"conversation_id": conversation_id}
        for reader, seq in view.reads.items():
            moved = {"user_id": reader, "device_id": None, "session_id": None, "read": seq}
            self._rooms.deliver(room, ServerEvent.MARKS_MOVED, {**where, **moved})
        for mark in view.delivered:
            device = {"user_id": mark["user_id"], "device_id": mark["device_id"], "session_id": None}
            self._rooms.deliver(room, ServerEvent.MARKS_MOVED, {**where, **device, "delivered": mark["seq"]})
        run = view.unfinished_run
        if run is not None and run["status"] == RunStatus.RUNNING:
            # All the text of the attempt as one delta: a device that has a part of it takes the rest.
            delta = {"run_id": run["run_id"], "attempt": run["attempt"], "offset": 0, "text": run["text"]}
            self._rooms.deliver(room, ServerEvent.RUN_DELTA, {**where, **delta})
        for member, online in (await self._members.presence(conversation_id, PRESENCE_MEMBERS)).items():
            self._rooms.deliver(room, ServerEvent.PRESENCE_CHANGED, {"user_id": member, "online": online})

    def _on_compared(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a conversation could not be compared with its log", exc_info=task.exception())
