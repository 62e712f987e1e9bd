"""What a member may know of a conversation at one moment, apart from its entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sio_server.protocol.position import LogBounds
from sio_server.store.scripts import Reply, Scripts


@dataclass(frozen=True)
class View:
    """What a member may know of a conversation at one moment, apart from its entries."""

    bounds: LogBounds
    title: str
    access: str
    agent: str
    owner: str
    role: str
    last_activity: str
    reads: dict[str, int]
    draft: dict[str, Any] | None
    n: int  # of the last event in the conversation's stream
    runs: list[dict[str, Any]]  # the unfinished ones in their order, as `run:changed` tells one
    graph: str
    multitask_strategy: str
    approvals: str
    interrupts: list[dict[str, Any]]
    delivered: list[dict[str, Any]]


@dataclass(frozen=True)
class RoomView:
    """The same for those of a node's users that follow the conversation; `view` has no role and no draft."""

    view: View
    left: set[str]  # those that are not members
    drafts: dict[str, dict[str, Any]]  # by user id


async def get_view(scripts: Scripts, conversation_id: str, user_id: str) -> View:
    """What `user_id` may know of the conversation now. Raises Refused for a user who is not a member."""
    return _view(await scripts.conversation("get_view", conversation_id, user_id=user_id, user_ids=[]))


async def get_room_view(scripts: Scripts, conversation_id: str, user_ids: Iterable[str]) -> RoomView:
    """What the members among these users may know of the conversation now."""
    reply = await scripts.conversation("get_view", conversation_id, user_id=None, user_ids=sorted(user_ids))
    drafts = {user: json.loads(draft) for user, draft in _to_dict(reply["drafts"]).items()}
    return RoomView(_view(reply), set(reply["left"]), drafts)


def _view(reply: Reply) -> View:
    meta = _to_dict(reply["meta"])
    return View(
        bounds=LogBounds(meta["epoch"], int(meta["first"]), int(meta["seq"])),
        title=meta["title"],
        access=meta["access"],
        agent=meta["agent"],
        owner=meta["owner"],
        role=reply["role"],
        last_activity=meta["ts"],
        reads={user: int(seq) for user, seq in _to_dict(reply["reads"]).items()},
        draft=json.loads(reply["draft"]) if reply["draft"] else None,
        n=int(meta["n"]),
        runs=json.loads(reply["runs"]),
        graph=meta.get("graph", "concierge"),
        multitask_strategy=meta.get("multitask", "enqueue"),
        approvals=meta.get("approvals", "members"),
        interrupts=_open_interrupts(json.loads(reply["asked"]), reply["interrupts"]) if reply["asked"] else [],
        delivered=_delivered(reply["delivered"]),
    )


def _to_dict(flat: Sequence[str]) -> dict[str, str]:
    """The [key, value, key, value] of a hash that a script returned."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _open_interrupts(asked: dict[str, Any], open_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Those interrupts of an `interrupt` entry that nobody has answered: `{interrupt_id, value, seq, run_id}`."""
    where = {"seq": asked["seq"], "run_id": asked["data"]["run_id"]}
    return [item | where for item in asked["data"]["interrupts"] if item["interrupt_id"] in open_ids]


def _delivered(flat: Sequence[str]) -> list[dict[str, Any]]:
    """Which device has entries up to where: `{user_id, device_id, seq}`."""
    marks = []
    for who, seq in zip(flat[::2], flat[1::2], strict=True):
        user_id, device_id = who.split(" ")
        marks.append({"user_id": user_id, "device_id": device_id, "seq": int(seq)})
    return marks
