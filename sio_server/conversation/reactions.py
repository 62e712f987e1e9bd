"""Reactions of members to messages and final entries: each change of one is an entry of the log."""

from __future__ import annotations

from sio_server.conversation.author import Author
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.store.json_text import to_json
from sio_server.store.keys import MAX_REACTIONS
from sio_server.store.scripts import Request, Scripts


class Reactions:
    """Raises Refused and Unavailable."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def set(
        self, conversation_id: str, author: Author, seq: int, reaction: str, on: bool, request: Request
    ) -> int | None:
        """Give a reaction, or take it back. Returns the seq of the entry that says so; None if there is none."""
        reply = await self._scripts.conversation(
            "set_reaction",
            conversation_id,
            request,
            user_id=author.user_id,
            session_id=author.session_id,
            seq=seq,
            reaction=reaction,
            set=on,
            data=to_json(
                {"user_id": author.user_id, "name": author.name, "to": seq, "reaction": reaction, "set": on}
            ),
        )
        if reply.status == "too_many":
            raise Refused(
                ErrorCode.INVALID_PAYLOAD,
                f"reaction: a user gives an entry at most {MAX_REACTIONS}; take one back first",
            )
        return int(reply["entry_seq"]) or None
