"""The payload of `session:ended`: why a session ends, and whether, when and where its client comes back."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sio_server.protocol.events import SessionEnd

SPREAD_MS = 500  # clients that lose a node together come back spread over this time


def ended_for_good(reason: SessionEnd | str, by: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The token is refused from now on: signed out (`by` a device), expired or revoked."""
    return {"reason": str(reason), "reconnect": False, "after_ms": 0, "nodes": [], "by": by}


def sent_away(reason: SessionEnd, nodes: Sequence[str]) -> dict[str, Any]:
    """The node cannot serve: its client connects to another one of `nodes`, or through the load balancer."""
    return {
        "reason": str(reason),
        "reconnect": True,
        "after_ms": random.randrange(SPREAD_MS),
        # In another order for each: clients that lose this node do not all go to the same one.
        "nodes": random.sample(nodes, len(nodes)),
        "by": None,
    }
