"""Decisions about what an agent wants to do, for `Conversation.decide`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Decision = Mapping[str, Any]


def approve() -> Decision:
    """The action is done as it is."""
    return {"type": "approve"}


def edit(name: str, args: Mapping[str, Any]) -> Decision:
    """The action is done with this name and all of these arguments instead."""
    return {"type": "edit", "edited_action": {"name": name, "args": dict(args)}}


def reject(message: str = "") -> Decision:
    """The action is not done; the agent is told why."""
    return {"type": "reject", **({"message": message} if message else {})}


def respond(message: str) -> Decision:
    """The action is not done; the message is its result."""
    return {"type": "respond", "message": message}


def ignore() -> Decision:
    """The action is not done, and nothing is said about it."""
    return {"type": "ignore"}
