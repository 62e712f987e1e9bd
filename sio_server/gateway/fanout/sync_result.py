"""What a device is told to be in step with a conversation: the answer to a sync, and `conversation:synced`."""

from __future__ import annotations

from typing import Any

from sio_server.conversation.log import Page
from sio_server.conversation.view import View
from sio_server.protocol.position import Reason, Verdict


def room_result(
    conversation_id: str, view: View, page: Page, verdict: Verdict, reason: Reason, after: int
) -> dict[str, Any]:
    """What every member may know: the entries of `page`, which are above `after` and not above the view's head."""
    head = view.bounds.head
    last = page.entries[-1][0] if page.entries else after
    return {
        "conversation_id": conversation_id,
        "verdict": verdict,
        "reason": reason,
        "n": view.n,
        "position": {"epoch": page.bounds.epoch, "seq": last},
        "after": after,
        "head": head,
        "more": last < head,
        "entries": [envelope for _, envelope in page.entries],
        "title": view.title,
        "access": view.access,
        "agent": view.agent,
        "graph": view.graph,
        "multitask_strategy": view.multitask_strategy,
        "approvals": view.approvals,
        "owner": view.owner,
        "reads": view.reads,
        "delivered": view.delivered,
        "runs": view.runs,
        "interrupts": view.interrupts,
        "card": {
            "verdict": verdict,
            "reason": reason,
            "replayed": head - after,
            "history": head - page.bounds.first + 1,
            "last_activity": view.last_activity,
        },
    }


def own_result(room: dict[str, Any], view: View, user_id: str) -> dict[str, Any]:
    """The same for one user, with what only this user may know."""
    card = {"user_id": user_id, **room["card"]}
    return {**room, "role": view.role, "draft": view.draft, "card": card}
