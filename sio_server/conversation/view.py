"""What a member may know of a conversation at one moment, apart from its entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sio_server.protocol.position import LogBounds
from sio_server.store.json_text import to_json
from sio_server.store.scripts import Reply, Scripts


@dataclass(frozen=True)
class View:
    """What a member may know of a conversation at one moment, apart from its entries.

    What is sent as Redis has it is JSON text.
    """

    bounds: LogBounds
    title: str
    access: str
    agent: str
    owner: str
    role: str
    last_activity: str
    reads: str  # JSON: {user id: seq}; empty when it was not asked for
    draft: str | None  # JSON
    n: int  # of the last event in the conversation's stream
    runs: str  # JSON: the unfinished ones in their order, as `run:changed` tells one
    graph: str
    multitask_strategy: str
    approvals: str
    invites: str
    interrupts: str  # JSON: the open ones, [{interrupt_id, value, ..., seq, run_id}]
    delivered: str  # JSON: which device has entries up to where, [{user_id, device_id, seq}]; empty as `reads`


@dataclass(frozen=True)
class RoomView:
    """The same for those of a node's users that follow the conversation; `view` has no role and no draft."""

    view: View
    left: set[str]  # those that are not members
    drafts: dict[str, str]  # JSON, by user id


async def get_view(scripts: Scripts, conversation_id: str, user_id: str) -> View:
    """What `user_id` may know of the conversation now. Raises Refused for a user who is not a member."""
    return to_view(await scripts.conversation("get_view", conversation_id, user_id=user_id, user_ids=[]))


async def get_room_view(scripts: Scripts, conversation_id: str, user_ids: Iterable[str]) -> RoomView:
    """What the members among these users may know of the conversation now."""
    reply = await scripts.conversation("get_view", conversation_id, user_id=None, user_ids=sorted(user_ids))
    flat = reply["drafts"]
    return RoomView(to_view(reply), set(reply["left"]), dict(zip(flat[::2], flat[1::2], strict=True)))


def to_view(reply: Reply) -> View:
    """The view in the reply of a script."""
    epoch, first, head, ts, n, title, access, agent, graph, multitask, approvals, invites, owner = reply["meta"]
    return View(
        bounds=LogBounds(epoch, int(first), int(head)),
        title=title,
        access=access,
        agent=agent,
        owner=owner,
        role=reply["role"],
        last_activity=ts,
        reads=reply["reads"],
        draft=reply["draft"] or None,
        n=int(n),
        runs=reply["runs"],
        graph=graph,
        multitask_strategy=multitask,
        approvals=approvals,
        invites=invites,
        interrupts=_open_interrupts(reply["asked"], reply["interrupts"]) if reply["asked"] else "[]",
        delivered=reply["delivered"],
    )


def _open_interrupts(asked: str, open_ids: Sequence[str]) -> str:
    """Those interrupts of an `interrupt` entry that nobody has answered.

    They are written as they were: what a graph asks may hold numbers of any length.
    """
    entry = json.loads(asked)
    where = {"seq": entry["seq"], "run_id": entry["data"]["run_id"]}
    return to_json([item | where for item in entry["data"]["interrupts"] if item["interrupt_id"] in open_ids])
