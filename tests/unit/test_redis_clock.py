"""The time by Redis' clock."""

from __future__ import annotations

import time

import pytest

from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.claims import CLOCK_SKEW_S
from sio_server.protocol.errors import Refused
from sio_server.store.clock import Clock
from tests.conftest import SECRET


def test_until_redis_has_told_the_time_it_is_the_machines():
    assert Clock().now() == pytest.approx(time.time(), abs=1)


def test_the_time_that_redis_told_is_taken_at_half_of_the_round_trip():
    clock = Clock()
    clock.heard(1_000_000, time.monotonic() - 4)
    assert clock.now() == pytest.approx(1002, abs=0.5)


@pytest.mark.parametrize("ahead_s", [-3600, 0, 3600])
def test_tokens_are_issued_and_checked_by_the_clock_that_is_given(ahead_s):
    def now() -> float:
        return time.time() + ahead_s

    here, elsewhere = Tokens(SECRET, "roomgraph", now), Tokens(SECRET, "roomgraph")
    assert here.check(here.issue("ann", "Ann", 60)).user_id == "ann"
    if ahead_s:
        # Without a common clock they would not serve elsewhere.
        with pytest.raises(Refused) as refused:
            elsewhere.check(here.issue("ann", "Ann", 60))
        assert refused.value.code == ("token_expired" if ahead_s < 0 else "token_invalid")


def test_the_issuer_of_a_token_may_be_a_little_ahead():
    ahead = Tokens(SECRET, "roomgraph", lambda: time.time() + CLOCK_SKEW_S - 5)
    assert Tokens(SECRET, "roomgraph").check(ahead.issue("ann", "Ann", 600)).user_id == "ann"
