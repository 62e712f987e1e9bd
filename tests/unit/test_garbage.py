"""What a test leaves open is found when the test ends."""

from __future__ import annotations

import socket

from tests.garbage import complaints


def test_a_socket_that_nobody_has_closed_complains_when_it_is_collected():
    complaints()
    left = socket.socket()
    cycle: list[object] = [left]
    cycle.append(cycle)
    number = left.fileno()
    del left, cycle
    found = complaints()
    assert len(found) == 1
    assert f"fd={number}" in found[0]
    assert complaints() == []
