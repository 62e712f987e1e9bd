"""Marks and drafts without any node between, as one session of a user sets them."""

from __future__ import annotations

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.marks import Moves
from sio_server.protocol.errors import RoomgraphError
from sio_server.store.scripts import Request


def session_of(user_id: str, device_id: str = "d") -> Author:
    return Author(user_id, user_id, device_id, session_id=f"session-of-{device_id}")


async def mark_read(log: ConversationLog, conversation_id: str, user_id: str, seq: int) -> int:
    """Where the read mark is now. Raises Refused."""
    return (await _move(log, conversation_id, session_of(user_id), Moves(read=seq)))["read"]


async def mark_delivered(
    log: ConversationLog, conversation_id: str, user_id: str, device_id: str, seq: int, *, tell: bool = True
) -> int:
    """Where the delivery mark is now. Raises Refused."""
    by = session_of(user_id, device_id)
    return (await _move(log, conversation_id, by, Moves(delivered=seq, tell=tell)))["delivered"]


async def save_draft(
    log: ConversationLog, conversation_id: str, user_id: str, text: str, *, request: Request | None = None
) -> int:
    """The draft's revision."""
    return await log.marks.save_draft(conversation_id, session_of(user_id), text, request=request)


async def _move(log: ConversationLog, conversation_id: str, by: Author, moves: Moves) -> dict[str, int]:
    moved = (await log.marks.move(by, {conversation_id: moves}))[conversation_id]
    if isinstance(moved, RoomgraphError):
        raise moved
    return moved
