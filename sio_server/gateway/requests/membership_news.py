"""Tells users that their lists of conversations have changed."""

from __future__ import annotations

from typing import Literal

from sio_server.conversation.author import Author
from sio_server.gateway.fanout.bus import Bus
from sio_server.protocol.events import ServerEvent
from sio_server.store.keys import user_room

Change = Literal["joined", "left", "invited"]


class MembershipNews:
    """`conversation:changed`, to the user's sessions. It may be lost: the list has it again."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def tell(self, user_id: str, conversation_id: str, change: Change, title: str, by: Author) -> None:
        """Tell a user what has become of a conversation; `by`: whose doing it is."""
        changed = {
            "conversation_id": conversation_id,
            "change": change,
            "title": title,
            "by": {"user_id": by.user_id, "device_id": by.device_id, "session_id": by.session_id},
        }
        await self._bus.emit(ServerEvent.CONVERSATION_CHANGED, changed, room=user_room(user_id))
