"""What belongs to one user or device in a conversation: read marks, delivery marks and drafts."""

from __future__ import annotations

from sio_server.conversation.quotas import Allowances
from sio_server.store.json_text import to_json
from sio_server.store.scripts import Request, Scripts


class Marks:
    """The marks of all conversations. Every change is one step with its publication.

    Raises Refused for a user who is not a member, and Unavailable when the outcome is unknown.
    """

    def __init__(self, scripts: Scripts, allowances: Allowances) -> None:
        self._scripts = scripts
        self._allowances = allowances

    async def mark_read(self, conversation_id: str, user_id: str, device_id: str, seq: int) -> int:
        """Move the user's read mark up to `seq`; return where it is now."""
        reply = await self._scripts.conversation(
            "mark_read", conversation_id, user_id=user_id, device_id=device_id, seq=seq
        )
        return int(reply["mark"])

    async def mark_delivered(
        self, conversation_id: str, user_id: str, device_id: str, seq: int, *, tell: bool
    ) -> int:
        """Move the device's delivery mark up to `seq`, and `tell` the room; return where it is now."""
        reply = await self._scripts.conversation(
            "mark_delivered", conversation_id, user_id=user_id, device_id=device_id, seq=seq, tell=tell
        )
        return int(reply["mark"])

    async def save_draft(
        self, conversation_id: str, user_id: str, device_id: str, text: str, *, request: Request | None = None
    ) -> int:
        """Keep the user's unsent text; return its revision. Raises Refused with `quota_exceeded`."""
        reply = await self._allowances.write(
            "save_draft",
            conversation_id,
            user_id,
            request=request or Request.unrepeated(user_id),
            device_id=device_id,
            text=to_json(text),
        )
        return int(reply["rev"])
