"""Who may be notified of an entry of a conversation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sio_server.store.scripts import Scripts

MAX_MEMBERS = 1000  # with more, only the owner is notified, and the author of what was replied to


@dataclass(frozen=True)
class Audience:
    """The members (user id -> role), and the author of the entry that is replied to; '' for none."""

    title: str
    approvals: str
    members: Mapping[str, str]
    owner: str
    replied_to: str

    def answering(self) -> list[str]:
        """Those who may answer the agent's questions."""
        if self.approvals == "owner":
            return [self.owner] if self.owner in self.members else []
        return list(self.members)


async def read_audience(scripts: Scripts, conversation_id: str, reply_to: int | None = None) -> Audience:
    """Who may be notified. Raises Unavailable."""
    reply = await scripts.conversation(
        "read_audience", conversation_id, reply_to="" if reply_to is None else reply_to, max_members=MAX_MEMBERS
    )
    flat = [str(value) for value in reply["members"]]
    members = dict(zip(flat[::2], flat[1::2], strict=True))
    owner, replied_to = str(reply["owner"]), ""
    if reply["replied"]:
        data = json.loads(str(reply["replied"]))["data"]
        replied_to = str(data.get("user_id", ""))
    if not members and owner:
        members = {user_id: "" for user_id in (owner, replied_to) if user_id}
    return Audience(str(reply["title"]), str(reply["approvals"]), members, owner, replied_to)
