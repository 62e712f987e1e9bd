"""What a client may ask about its user's devices, and what a device reports of what it has received."""

from __future__ import annotations

import asyncio
from typing import Any

from sio_server.conversation.log import ConversationLog
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.sessions.registry import Session
from sio_server.gateway.sessions.sign_out import Endings, signed_out
from sio_server.protocol import events
from sio_server.protocol.events import DELIVERY_SESSIONS
from sio_server.users.devices import Devices


class DeviceRequests:
    """The handlers of these events; each returns its ack."""

    def __init__(self, devices: Devices, conversations: ConversationLog, fanout: Fanout, endings: Endings) -> None:
        self._devices = devices
        self._log = conversations
        self._fanout = fanout
        self._endings = endings

    async def list(self, session: Session, request: events.DeviceList) -> dict[str, Any]:
        return {"devices": await self._devices.listed(session.user_id)}

    async def rename(self, session: Session, request: events.DeviceRename) -> dict[str, Any]:
        await self._devices.rename(session.sid, session.user_id, request.device_id, request.device_name)
        return {"device_id": request.device_id, "device_name": request.device_name}

    async def sign_out(self, session: Session, request: events.DeviceSignOut) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        itself = request.device_id == session.device_id
        if itself:
            session.acked = loop.create_future()
        try:
            count = await self._devices.sign_out(session.sid, session.author, request.device_id)
            if itself:  # at once: its next request may be here before the bus brings the news
                by = {"device_id": session.device_id, "device_name": session.device_name}
                self._endings.end(session.sid, signed_out(by))
        finally:
            if session.acked is not None:
                # The ack is queued in this step of the loop, as the library does not pause in between: what
                # waits for it comes after.
                loop.call_soon(session.acked.cancel)
        return {"device_id": request.device_id, "sessions": count}

    async def delivered(self, session: Session, request: events.DeliveryUpdate) -> dict[str, Any]:
        # In a large room each entry would make as many events as there are sessions, for every one of them.
        seq = await self._log.marks.mark_delivered(
            request.conversation_id,
            session.user_id,
            session.device_id,
            request.seq,
            tell=self._fanout.follower_count(request.conversation_id) <= DELIVERY_SESSIONS,
        )
        return {"conversation_id": request.conversation_id, "seq": seq}
