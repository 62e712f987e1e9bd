"""Clients whose node is gone spread over the other nodes and over time."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from sio_clients.route import FIRST_S, LONGEST_S, RETURN_S, Route

URLS = ["a", "b", "c"]


def test_the_first_try_is_at_the_first_node() -> None:
    assert Route(URLS).url == "a"


def test_clients_of_a_lost_node_spread_over_the_other_nodes_and_over_time() -> None:
    places, pauses = Counter[str](), []
    for seed in range(2000):
        route = Route(URLS, random.Random(seed))
        pauses.append(route.lost())
        places[route.url] += 1
    assert set(places) == {"b", "c"}
    assert min(places.values()) > 800
    tenths = Counter(int(pause / RETURN_S * 10) for pause in pauses)
    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 300


def test_a_client_that_cannot_connect_tries_every_node_with_growing_pauses() -> None:
    route = Route(URLS, random.Random(1))
    tried, pauses = [route.url], []
    for _ in range(11):
        pauses.append(route.failed())
        tried.append(route.url)
    assert tried[:4] == ["a", "b", "c", "a"]
    assert 0.5 * FIRST_S <= pauses[0] <= 1.5 * FIRST_S
    assert all(pause <= 1.5 * LONGEST_S for pause in pauses)
    assert min(pauses[-3:]) >= 0.5 * LONGEST_S


def test_a_successful_connection_resets_the_pauses() -> None:
    route = Route(URLS)
    for _ in range(8):
        route.failed()
    assert route.lost() <= RETURN_S
    assert route.failed() <= 1.5 * FIRST_S


def test_a_client_with_one_node_reconnects_to_it() -> None:
    route = Route(["a"])
    assert route.lost() <= RETURN_S
    assert route.url == "a"


def test_the_sdk_connects_to_the_node_that_was_chosen() -> None:
    route = Route(URLS)
    route.choose("c")
    assert route.url == "c"
    with pytest.raises(ValueError, match="not in list"):
        route.choose("d")
