"""Rates hold over any stretch of time, on one node and over several; and an address is whose it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.limits import DEEDS, Rate, _Limit, parse_rates
from sio_server.protocol.events import REQUESTS

PUBLIC = "93.184.216.34"
OTHER = "1.1.1.1"


def test_rates_are_read_and_off_is_none() -> None:
    assert parse_rates("off") == ()
    assert parse_rates("20/second") == (Rate(20, 1),)
    assert parse_rates("5/second; 100 / minute;1000/hour") == (Rate(5, 1), Rate(100, 60), Rate(1000, 3600))


@given(
    st.lists(st.floats(0, 0.2), min_size=1, max_size=300),
    st.lists(st.builds(Rate, st.integers(1, 20), st.sampled_from([1, 2])), min_size=1, max_size=2),
)
def test_in_no_stretch_of_time_is_more_let_through_than_was_earned(pauses: list[float], rates: list[Rate]) -> None:
    limited = _Limit(tuple(rates), "")
    now, let_through = 1000.0, []
    for pause in pauses:
        now += pause
        wait = limited.spend("ann", 1, now)
        if wait == 0:
            let_through.append(now)
        else:
            # What is told to wait is enough: at that time it would be let through.
            ahead = _Limit(tuple(rates), "")
            ahead.accounts["ann"] = type(limited.accounts["ann"])(list(limited.accounts["ann"].reach))
            assert ahead.spend("ann", 1, now + wait + 1e-5) == 0
    for rate in rates:
        for first, began in enumerate(let_through):
            for last in range(first, len(let_through)):
                earned = rate.count + (let_through[last] - began) / rate.each_s
                assert last - first + 1 <= earned + 1e-3


def test_at_once_as_many_as_the_rate_and_then_one_each_time_it_is_earned() -> None:
    limited = _Limit((Rate(10, 1),), "")
    assert [limited.spend("ann", 1, 50.0) for _ in range(10)] == [0.0] * 10
    assert limited.spend("ann", 1, 50.0) == pytest.approx(0.1)
    assert limited.spend("bob", 1, 50.0) == 0.0, "nobody pays for somebody else"
    assert limited.spend("ann", 1, 50.101) == 0.0
    assert limited.spend("ann", 1, 50.101) == pytest.approx(0.1, abs=0.01)


def test_what_costs_more_than_the_rate_holds_is_let_through_when_it_is_full() -> None:
    limited = _Limit((Rate(3, 1),), "")
    assert limited.spend("ann", 10, 1.0) == 0.0
    assert limited.spend("ann", 1, 1.0) > 0


def test_what_is_a_deed_is_an_event() -> None:
    assert set(REQUESTS) > DEEDS


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        (PUBLIC, [], 0, PUBLIC),
        (PUBLIC, [OTHER], 0, PUBLIC),  # nobody to believe
        ("10.0.0.7", [OTHER], 1, OTHER),
        ("10.0.0.7", [f"8.8.8.8, {OTHER}"], 1, OTHER),  # the first was written by the client
        ("10.0.0.7", ["8.8.8.8", OTHER], 1, OTHER),
        ("10.0.0.7", [f"8.8.8.8, {OTHER}, 10.0.0.9"], 2, OTHER),
        ("10.0.0.7", ["10.9.9.9"], 1, "10.9.9.9"),  # behind a proxy of ours, a private address is a client's
        ("10.0.0.7", [f"{OTHER}:51234"], 1, OTHER),
        ("10.0.0.7", ["[2606:4700:1:2:3:4:5:6]:51234"], 1, "2606:4700:1:2::/64"),
        ("10.0.0.7", ["2606:4700:1:2:ffff::1"], 1, "2606:4700:1:2::/64"),
        ("10.0.0.7", [f"::ffff:{OTHER}"], 1, OTHER),
        ("2606:4700:1:2:3::9", [], 0, "2606:4700:1:2::/64"),
        (PUBLIC, [OTHER], 2, PUBLIC),  # it has come past a proxy
        (PUBLIC, ["somewhere"], 1, PUBLIC),
        (PUBLIC, [""], 1, PUBLIC),
        ("10.0.0.7", [], 0, ""),
        ("127.0.0.1", [], 1, ""),
        ("::1", [], 0, ""),
        ("fe80::1%eth0", [], 0, ""),
        ("", [], 0, ""),
        (None, [], 0, ""),
    ],
)
def test_an_address_is_the_one_that_our_own_proxies_have_seen(
    peer: str | None, forwarded: list[str], proxies: int, address: str
) -> None:
    assert client_address(peer, forwarded, proxies) == address
