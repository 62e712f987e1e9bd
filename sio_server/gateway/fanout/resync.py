"""What has no seq is told again after the bus was lost: marks, drafts, who is there, what an agent is saying."""

from __future__ import annotations

from sio_server.conversation.members import Members
from sio_server.conversation.view import View
from sio_server.gateway.fanout.bus import Bus
from sio_server.protocol.events import ServerEvent
from sio_server.protocol.run import RunStatus
from sio_server.store.keys import conversation_room, user_room
from sio_server.users.devices import Devices

PRESENCE_MEMBERS = 200  # of a conversation: presence is a hint, and each takes an event


class Repeats:
    """Tells the sessions of this node, and no others, what they may have missed. All of it may be told twice."""

    def __init__(self, bus: Bus, members: Members, devices: Devices) -> None:
        self._bus = bus
        self._members = members
        self._devices = devices

    async def room(self, conversation_id: str, view: View) -> None:
        """What the whole room is told, of a conversation that was seen like this. Raises Unavailable."""
        room = conversation_room(conversation_id)
        where = {"conversation_id": conversation_id}
        for reader, seq in view.reads.items():
            mark = {**where, "user_id": reader, "device_id": None, "seq": seq}
            self._bus.deliver(room, ServerEvent.READ_UPDATED, mark)
        for delivered in view.delivered:
            self._bus.deliver(room, ServerEvent.DELIVERY_UPDATED, {**where, **delivered})
        run = view.unfinished_run
        if run is not None and run["status"] == RunStatus.RUNNING:
            # All that the attempt has said, as one delta: who has a part of it takes the rest.
            delta = {"run_id": run["run_id"], "attempt": run["attempt"], "offset": 0, "text": run["text"]}
            self._bus.deliver(room, ServerEvent.RUN_DELTA, {**where, **delta})
        for member, online in (await self._members.presence(conversation_id, PRESENCE_MEMBERS)).items():
            self._bus.deliver(room, ServerEvent.PRESENCE_UPDATE, {"user_id": member, "online": online})

    def draft(self, conversation_id: str, user_id: str, view: View) -> None:
        """What the user has not sent yet there, as the user's view says."""
        if view.draft is not None:
            draft = {"conversation_id": conversation_id, "draft": view.draft}
            self._bus.deliver(user_room(user_id), ServerEvent.DRAFT_UPDATED, draft)

    async def devices(self, user_id: str) -> None:
        """The user's devices. Raises Unavailable."""
        devices = await self._devices.listed(user_id)
        self._bus.deliver(user_room(user_id), ServerEvent.DEVICE_UPDATED, {"devices": devices})
