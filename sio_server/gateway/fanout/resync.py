"""After the bus was lost: every room is told how its conversation is, and presence and devices are sent again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

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
REPEATED_AT_ONCE = 2  # users' devices, and conversations' presence: entries come first
AGAIN_S = 0.4  # until presence or devices are read again: Redis may be back
PRESENCE_MEMBERS = 200  # of a conversation: presence is a hint, and each takes an event


class Resync:
    """Makes good what the sessions of this node may have missed, and of no other. All of it may come twice."""

    def __init__(
        self,
        rooms: LocalRooms,
        fanout: Fanout,
        members: Members,
        devices: Devices,
        user_ids: Callable[[], Iterable[str]],
    ) -> None:
        """`user_ids`: gives the users that have sessions on this node, also those that follow no conversation."""
        self._rooms = rooms
        self._fanout = fanout
        self._members = members
        self._devices = devices
        self._user_ids = user_ids
        self._comparing = asyncio.Semaphore(COMPARED_AT_ONCE)
        self._repeating = asyncio.Semaphore(REPEATED_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, rooms: set[str] | None = None) -> None:
        """The bus is back: compare every conversation with its log; of `rooms` only, if some were not lost.

        What was delivered until now is noted now: what comes over the bus from here on is of the log as it is.
        """
        for conversation_id, followed in self._fanout.all_followed():
            if rooms is None or conversation_room(conversation_id) in rooms:
                self._begin(self._compare(conversation_id, followed, followed.handed))
        lost = [user_id for user_id in self._user_ids() if rooms is None or user_room(user_id) in rooms]
        if lost:
            self._begin(self._repeat_devices(lost))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="resync")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def close(self) -> None:
        """Stop comparing."""
        await end_tasks(self._tasks)

    async def _compare(self, conversation_id: str, followed: Followed, handed: Handed) -> None:
        async with self._comparing:
            await self._fanout.sync_room(conversation_id, followed, handed)
        while self._fanout.is_current(conversation_id, followed):
            try:
                async with self._repeating:
                    await self._repeat_presence(conversation_id)
                return
            except Unavailable:
                await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))

    async def _repeat_devices(self, user_ids: list[str]) -> None:
        while user_ids:
            try:
                async with self._repeating:
                    devices = await self._devices.listed(user_ids[-1])
            except Unavailable:
                user_ids.insert(0, user_ids.pop())  # on a Redis Cluster the others' shards may be there
                await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.0))
                continue
            self._rooms.deliver(user_room(user_ids.pop()), ServerEvent.DEVICES_CHANGED, {"devices": devices})

    async def _repeat_presence(self, conversation_id: str) -> None:
        room = conversation_room(conversation_id)
        for member, online in (await self._members.presence(conversation_id, PRESENCE_MEMBERS)).items():
            self._rooms.deliver(room, ServerEvent.PRESENCE_CHANGED, {"user_id": member, "online": online})

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("what the bus has lost could not be made good", exc_info=task.exception())
