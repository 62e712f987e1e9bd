"""What a device is told to be in step with a conversation: the answer to a sync, and `conversation:synced`."""

from __future__ import annotations

from typing import Any

from orjson import Fragment

from sio_server.conversation.log import Page
from sio_server.conversation.view import View
from sio_server.protocol.position import Reason, Verdict


def entries_of(page: Page) -> Fragment:
    """The entries of a page, as they are sent."""
    return Fragment(f"[{','.join([text for _, text in page.entries])}]")


def room_result(
    conversation_id: str, view: View, page: Page, verdict: Verdict, reason: Reason, after: int
) -> dict[str, Any]:
    """What every member may know: the entries of `page`, which are above `after` and not above the view's head.

    Without `reads` and `delivered` where the view has no marks.
    """
    head = view.bounds.head
    last = page.entries[-1][0] if page.entries else after
    result = {
        "conversation_id": conversation_id,
        "verdict": verdict,
        "reason": reason,
        "n": view.n,
        "position": {"epoch": page.bounds.epoch, "seq": last},
        "after": after,
        "head": head,
        "more": last < head,
        "entries": entries_of(page),
        "title": view.title,
        "access": view.access,
        "agent": view.agent,
        "graph": view.graph,
        "multitask_strategy": view.multitask_strategy,
        "approvals": view.approvals,
        "invites": view.invites,
        "owner": view.owner,
        "runs": Fragment(view.runs),
        "interrupts": Fragment(view.interrupts),
        "card": {
            "verdict": verdict,
            "reason": reason,
            "replayed": head - after,
            "history": head - page.bounds.first + 1,
            "last_activity": view.last_activity,
        },
    }
    if view.reads:
        result |= {"reads": Fragment(view.reads), "delivered": Fragment(view.delivered)}
    return result


def own_result(room: dict[str, Any], view: View, user_id: str) -> dict[str, Any]:
    """The same for one user, with what only this user may know."""
    card = {"user_id": user_id, **room["card"]}
    draft = Fragment(view.draft) if view.draft is not None else None
    return {**room, "role": view.role, "draft": draft, "card": card}
