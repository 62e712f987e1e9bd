"""After the bus was lost: every room is told how its conversation is, and presence and devices are sent again."""

from __future__ import annotations

import asyncio
import logging
import random

from sio_server.conversation.log import Handed
from sio_server.conversation.members import Members
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.followed import Followed
from sio_server.gateway.fanout.rooms import LocalRooms
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent
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
        members: Members,
        devices: Devices,
    ) -> None:
        self._rooms = rooms
        self._fanout = fanout
        self._members = members
        self._devices = devices
        self._comparing = asyncio.Semaphore(COMPARED_AT_ONCE)
        self._repeating = asyncio.Semaphore(REPEATED_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, rooms: set[str] | None = None) -> None:
        """The bus is back: compare every conversation with its log; of `rooms` only, if some were not lost.

        What was delivered until now is noted now: what comes over the bus from here on is of the log as it is.
        """
        updated_users: set[str] = set()
        for conversation_id, followed in self._fanout.all_followed():
            if rooms is not None and conversation_room(conversation_id) not in rooms:
                continue
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
        async with self._comparing:
            await self._fanout.sync_room(conversation_id, followed, handed)
        while self._fanout.is_current(conversation_id, followed):
            try:
                async with self._repeating:
                    user_ids = followed.user_ids
                    for user_id in user_ids - updated_users:
                        await self._repeat_devices(user_id)
                    updated_users |= user_ids
                    await self._repeat_presence(conversation_id)
                return
            except Unavailable:
                await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))

    async def _repeat_devices(self, user_id: str) -> None:
        devices = await self._devices.listed(user_id)
        self._rooms.deliver(user_room(user_id), ServerEvent.DEVICES_CHANGED, {"devices": devices})

    async def _repeat_presence(self, conversation_id: str) -> None:
        room = conversation_room(conversation_id)
        for member, online in (await self._members.presence(conversation_id, PRESENCE_MEMBERS)).items():
            self._rooms.deliver(room, ServerEvent.PRESENCE_CHANGED, {"user_id": member, "online": online})

    def _on_compared(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a conversation could not be compared with its log", exc_info=task.exception())
