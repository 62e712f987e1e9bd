"""The slots of a Redis Cluster: whose they are, and what errors say of them."""

from __future__ import annotations

import pytest

from sio_server.store.redis_py import parse_error
from sio_server.store.slots import Again, Redirect, Server, SlotMap, redirect_in, slot_of

A, B = Server("10.0.0.1", 6379), Server("10.0.0.2", 6380)


@pytest.mark.parametrize(
    ("text", "redirect"),
    [
        ("MOVED 3999 10.0.0.2:6380", Redirect(Again.MOVED, 3999, B)),
        ("ASK 3999 10.0.0.2:6380", Redirect(Again.ASK, 3999, B)),
        ("MOVED 1 fe80::1:6380", Redirect(Again.MOVED, 1, Server("fe80::1", 6380))),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Redirect(Again.LATER)),
        ("CLUSTERDOWN The cluster is down", Redirect(Again.LATER)),
        ("READONLY You can't write against a read only replica.", Redirect(Again.LATER)),
        ("CROSSSLOT Keys in request don't hash to the same slot", None),
        ("WRONGTYPE Operation against a key", None),
    ],
)
def test_an_error_says_where_and_when_the_command_is_sent_again(text: str, redirect: Redirect | None) -> None:
    error = parse_error(text)
    assert redirect_in(error) == redirect
    assert redirect_in(["OK", error, 1]) == redirect


def test_what_was_answered_belongs_where_it_was_answered() -> None:
    for reply in (None, "OK", b"x", 1, ["OK", ["MOVED 1 a:1"]]):
        assert redirect_in(reply) is None


def test_the_map_knows_the_primary_of_each_slot() -> None:
    reply = [[0, 8191, [b"10.0.0.1", 6379, b"id"], [b"10.0.0.3", 1]], [8192, 16383, ["10.0.0.2", 6380, "id"]]]
    slots = SlotMap.from_reply(reply, Server("asked", 1))
    assert (slots.primary(0), slots.primary(8191), slots.primary(8192)) == (A, A, B)
    assert slots.servers == [A, B]
    assert slots.is_whole
    slots.move(0, B)
    assert (slots.primary(0), slots.primary(1)) == (B, A)


def test_a_map_may_have_holes_and_a_server_may_not_know_its_own_name() -> None:
    slots = SlotMap.from_reply([[0, 10, ["", 7000, "id"]]], Server("asked", 1))
    assert slots.primary(10) == Server("asked", 7000)
    assert slots.primary(11) is None
    assert not slots.is_whole
    assert SlotMap().servers == []


def test_the_slot_of_a_key_is_that_of_its_hash_tag() -> None:
    assert slot_of("foo") == 12182  # as Redis' documentation has it
    assert slot_of("{foo}:conv:x") == slot_of("foo")
