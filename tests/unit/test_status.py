"""The status says in words what is wrong with a cluster, and nothing of one that is well."""

from __future__ import annotations

from typing import Any

import pytest

from sio_server.cluster.status import problems_of


def node(name: str, state: str = "ready", version: str = "1.0") -> dict[str, Any]:
    return {"name": name, "state": state, "version": version}


@pytest.mark.parametrize(
    ("nodes", "subscriptions", "problems"),
    [
        ([node("a"), node("b")], 2, []),
        ([], 0, ["no node is running"]),
        ([node("a"), node("b", "failing: leases")], 2, ["node b: failing: leases"]),
        ([node("a"), node("b")], 1, ["1 of 2 nodes do not hear themselves on the bus"]),
        ([node("a"), node("b", version="1.1")], 2, ["nodes of 2 versions: 1.0, 1.1"]),
    ],
)
def test_what_is_wrong_is_said(nodes: list[dict[str, Any]], subscriptions: int, problems: list[str]) -> None:
    assert problems_of(nodes, subscriptions) == problems
