"""The payload of `session:ended`: why a session ends, and whether, when and where its client comes back."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sio_server.protocol.events import SessionEnd

# Clients that lose a node together come back spread over this time: few of them sooner, since they disturb nobody.
SPREAD_MS = 500
MS_A_CLIENT = 1


def ended_for_good(reason: SessionEnd | str, by: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The token is refused from now on: signed out (`by` a device), expired or revoked."""
    return {"reason": str(reason), "reconnect": False, "after_ms": 0, "nodes": [], "by": by}


def sent_away(reason: SessionEnd, nodes: Sequence[str], leaving: int) -> dict[str, Any]:
    """The node cannot serve: its client connects to another one of `nodes`, or through the load balancer.

    `leaving`: how many clients are sent away together.
    """
    return {
        "reason": str(reason),
        "reconnect": True,
        "after_ms": random.randrange(max(1, min(SPREAD_MS, leaving * MS_A_CLIENT))),
        # In another order for each: clients that lose this node do not all go to the same one.
        "nodes": random.sample(nodes, len(nodes)),
        "by": None,
    }
