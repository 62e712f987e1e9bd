"""Clients that are sent away come back soon, and many of them not all at once."""

from __future__ import annotations

import pytest

from sio_server.gateway.sessions.session_end import sent_away
from sio_server.protocol.events import SessionEnd


@pytest.mark.parametrize(("leaving", "most_ms"), [(1, 1), (20, 20), (5000, 500)])
def test_clients_that_are_sent_away_together_are_spread_by_their_number(leaving: int, most_ms: int) -> None:
    nodes = ["http://a", "http://b"]
    notices = [sent_away(SessionEnd.NODE_STOPPING, nodes, leaving) for _ in range(2000)]
    pauses = {notice["after_ms"] for notice in notices}
    assert min(pauses) < max(1, most_ms / 4)
    assert most_ms * 3 / 4 - 1 <= max(pauses) < most_ms
    assert {tuple(notice["nodes"]) for notice in notices} == {("http://a", "http://b"), ("http://b", "http://a")}
