"""What belongs to one user or device in a conversation: read marks, delivery marks and drafts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sio_server.conversation.author import Author
from sio_server.conversation.quotas import Allowances
from sio_server.protocol.errors import Refused, RoomgraphError, Unavailable
from sio_server.store.json_text import to_json
from sio_server.store.scripts import Reply, Request, Scripts


@dataclass(frozen=True)
class Moves:
    """Up to where the marks of one conversation move. None: it stays where it is."""

    read: int | None = None
    delivered: int | None = None
    tell: bool = True  # publish to the room where the delivery mark is; read marks always are


class Marks:
    """The marks of all conversations. Every change is one step with its publication.

    Raises Refused for a user who is not a member, and Unavailable when the outcome is unknown. `move` returns a
    refusal as a value; on a Redis Cluster, of which one shard may be away, Unavailable too.
    """

    def __init__(self, scripts: Scripts, allowances: Allowances) -> None:
        self._scripts = scripts
        self._allowances = allowances

    async def move(
        self, by: Author, marks: Mapping[str, Moves]
    ) -> dict[str, dict[str, int] | Refused | Unavailable]:
        """Move marks of some conversations up; return where they are now, or why not, for each of them.

        All of it is one round trip, with one step for each conversation.
        """
        session = {"user_id": by.user_id, "device_id": by.device_id, "session_id": by.session_id}
        calls = [
            (
                conversation_id,
                {**session, "read_seq": moves.read, "delivered_seq": moves.delivered, "tell": moves.tell},
            )
            for conversation_id, moves in marks.items()
        ]
        replies = await self._scripts.conversations("move_marks", calls)
        return {
            conversation_id: reply if isinstance(reply, RoomgraphError) else _moved(reply)
            for conversation_id, reply in zip(marks, replies, strict=True)
        }

    async def save_draft(
        self, conversation_id: str, by: Author, text: str, *, request: Request | None = None
    ) -> int:
        """Keep the user's unsent text; return its revision. Raises Refused with `quota_exceeded`."""
        reply = await self._allowances.write(
            "save_draft",
            conversation_id,
            by.user_id,
            request or Request.unrepeated(by.user_id),
            {"device_id": by.device_id, "session_id": by.session_id, "text": to_json(text)},
        )
        return int(reply["rev"])


def _moved(reply: Reply) -> dict[str, int]:
    return {mark: int(reply[mark]) for mark in ("read", "delivered") if reply[mark] != ""}
