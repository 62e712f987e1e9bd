"""Rates hold over any stretch of time, every event is counted, and an address is the client's own."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.limits import (
    EVENT_CLASSES,
    SEARCH_EVENTS,
    Account,
    EventClass,
    Limit,
    Limits,
    Rate,
    items_in,
    parse_rates,
)
from sio_server.protocol.errors import RateLimited, Unavailable
from sio_server.protocol.events import REQUESTS, ClientEvent
from sio_server.settings import Settings
from sio_server.tasks import end_tasks
from tests.waiting import within

PUBLIC = "93.184.216.34"
OTHER = "1.1.1.1"


def test_the_text_of_a_setting_is_parsed_into_rates_and_off_into_none() -> None:
    assert parse_rates("off") == ()
    assert parse_rates("20/second") == (Rate(20, 1),)
    assert parse_rates("5/second; 100 / minute;1000/hour") == (Rate(5, 1), Rate(100, 60), Rate(1000, 3600))


@given(
    st.lists(st.floats(0, 0.2), min_size=1, max_size=300),
    st.lists(st.builds(Rate, st.integers(1, 20), st.sampled_from([1, 2])), min_size=1, max_size=2),
)
def test_no_more_is_let_through_in_any_stretch_of_time_than_was_earned(
    pauses: list[float], rates: list[Rate]
) -> None:
    limited = Limit(tuple(rates), "")
    now, let_through = 1000.0, []
    for pause in pauses:
        now += pause
        wait = limited.spend("ann", 1, now)
        if wait == 0:
            let_through.append(now)
        else:
            # What is told to wait is enough: at that time it would be let through.
            ahead = Limit(tuple(rates), "")
            ahead.accounts["ann"] = Account(list(limited.accounts["ann"].reach))
            assert ahead.spend("ann", 1, now + wait + 1e-5) == 0
    for rate in rates:
        for first, began in enumerate(let_through):
            for last in range(first, len(let_through)):
                earned = rate.count + (let_through[last] - began) / rate.each_s
                assert last - first + 1 <= earned + 1e-3


def test_a_rate_lets_its_count_through_at_once_and_then_evenly() -> None:
    limited = Limit((Rate(10, 1),), "")
    assert [limited.spend("ann", 1, 50.0) for _ in range(10)] == [0.0] * 10
    assert limited.spend("ann", 1, 50.0) == pytest.approx(0.1)
    assert limited.spend("bob", 1, 50.0) == 0.0, "each user has an account of its own"
    assert limited.spend("ann", 1, 50.101) == 0.0
    assert limited.spend("ann", 1, 50.101) == pytest.approx(0.1, abs=0.01)


def test_what_costs_more_than_the_rate_holds_is_let_through_when_it_is_full() -> None:
    limited = Limit((Rate(3, 1),), "")
    assert limited.spend("ann", 10, 1.0) == 0.0
    assert limited.spend("ann", 1, 1.0) > 0


def test_every_event_is_counted_in_a_class() -> None:
    assert set(EVENT_CLASSES) == set(REQUESTS)


class SharedWithNobody:
    """The scripts of a cluster in which nobody else spends anything; the first calls raise `errors`."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.told: list[str] = []

    async def many(self, name: str, calls: list[tuple[list[str], list[int]]]) -> list[list[int]]:
        if self.errors:
            raise self.errors.pop(0)
        self.told += [keys[0] for keys, _ in calls]
        return [[0] * (len(args) // 2) for _, args in calls]


def accepted(limits: Limits, event: ClientEvent, tries: int) -> int:
    """How many requests of a kind are let through at once."""
    count = 0
    for _ in range(tries):
        try:
            limits.spend_event(event, "ann")
        except RateLimited:
            break
        count += 1
    return count


@pytest.mark.parametrize("event", list(ClientEvent))
def test_writes_and_marks_have_limits_of_their_own_beside_that_of_all_events(event: ClientEvent) -> None:
    limits = Limits(SharedWithNobody(), user=(Rate(2, 3600),), marks=(Rate(5, 3600),), events=(Rate(9, 3600),))  # type: ignore[arg-type]
    most = {EventClass.WRITE: 2, EventClass.MARK: 5, EventClass.READ: 9, EventClass.SEARCH: 1}
    assert accepted(limits, event, 20) == most[EVENT_CLASSES[event]]


def test_drafts_are_writes_and_marks_do_not_use_up_what_sends_may() -> None:
    limits = Limits(SharedWithNobody(), user=(Rate(3, 3600),), marks=(Rate(5, 3600),))  # type: ignore[arg-type]
    assert accepted(limits, ClientEvent.MARKS_SET, 9) == 5
    assert accepted(limits, ClientEvent.DRAFT_SAVE, 2) == 2
    assert accepted(limits, ClientEvent.MESSAGE_SEND, 9) == 1


def test_each_mark_of_a_batch_costs_as_much_as_one_that_comes_alone() -> None:
    limits = Limits(SharedWithNobody(), marks=(Rate(5, 3600),), events=(Rate(9, 3600),))  # type: ignore[arg-type]
    batch = {"marks": {name: {"read": 1} for name in "abc"}}
    limits.spend_event(ClientEvent.MARKS_SET, "ann", items_in(ClientEvent.MARKS_SET, batch))
    assert accepted(limits, ClientEvent.MARKS_SET, 9) == 2
    assert accepted(limits, ClientEvent.HISTORY_READ, 9) == 9 - 4, "of all requests the batch is one"


def test_a_search_costs_as_much_as_many_requests_that_read() -> None:
    limits = Limits(SharedWithNobody(), events=(Rate(5 * SEARCH_EVENTS, 3600),))  # type: ignore[arg-type]
    assert accepted(limits, ClientEvent.MESSAGE_SEARCH, 9) == 5
    assert accepted(limits, ClientEvent.HISTORY_READ, 9) == 0


@pytest.mark.parametrize("payload", [None, "x", [], {}, {"marks": 7}, {"marks": {}}, {"marks": {"a": {}}}])
def test_a_payload_that_is_no_batch_counts_once(payload: Any) -> None:
    assert items_in(ClientEvent.MARKS_SET, payload) == 1
    assert items_in(ClientEvent.SESSION_SYNC, {"marks": {"a": 1, "b": 2}}) == 1


def test_by_default_ordinary_typing_is_never_limited() -> None:
    """For ten minutes two devices save a draft each 300 ms, one sends each second, and marks are reported."""
    defaults = Settings(auth_mode="guest")
    writes = Limit(parse_rates(defaults.rate_limit_user), "")
    marks = Limit(parse_rates(defaults.rate_limit_marks), "")
    for step in range(600 * 10 // 3):
        now = step * 0.3
        count = 2 + (step % 3 == 0)
        assert all(writes.spend("ann", 1, now) == 0 for _ in range(count)), now
        # Of three devices in two busy conversations, each every 250 ms.
        assert all(marks.spend("ann", 1, now) == 0 for _ in range(8)), now


def test_one_handshake_a_second_counts_on_its_node_only_and_a_second_one_on_all() -> None:
    limit = Limit((Rate(200, 1), Rate(6000, 60)), "")
    assert limit.spend("ann", 10, 5.0, quiet=True) == 0
    account = limit.accounts["ann"]
    assert (account.unshared, account.reach[0]) == (0, 5.05)
    assert limit.spend("ann", 10, 5.9, quiet=True) == 0
    assert account.unshared == 10
    assert limit.spend("ann", 10, 6.0, quiet=True) == 0
    assert account.unshared == 10


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Unavailable("away"), TypeError("bad reply")])
async def test_sharing_goes_on_after_an_exchange_that_failed(error: Exception) -> None:
    redis = SharedWithNobody(error)
    limits = Limits(redis, user=(Rate(2, 3600),), events=(Rate(9, 3600),))  # type: ignore[arg-type]
    sharing = asyncio.create_task(limits.share())
    try:
        limits.spend_event(ClientEvent.MESSAGE_SEND, "ann")
        async with within(5, "an exchange of what others have spent"):
            for number in count():
                if any("other" in key for key in redis.told):
                    break
                limits.spend_event(ClientEvent.DEVICE_LIST, f"other-{number}")
                await asyncio.sleep(0.01)
        assert not sharing.done()
        assert accepted(limits, ClientEvent.MESSAGE_SEND, 9) == 1, "what was spent is remembered"
    finally:
        await end_tasks([sharing])


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        (PUBLIC, [], 0, PUBLIC),
        (PUBLIC, [OTHER], 0, PUBLIC),  # no proxy is trusted
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
def test_a_client_address_is_the_one_that_the_trusted_proxies_have_seen(
    peer: str | None, forwarded: list[str], proxies: int, address: str
) -> None:
    assert client_address(peer, forwarded, proxies) == address
