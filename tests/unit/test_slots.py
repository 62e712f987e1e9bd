"""The slots of a Redis Cluster: whose they are, and what errors say of them."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from sio_server.store.redis_py import parse_error
from sio_server.store.slots import (
    Again,
    Redirect,
    Server,
    SlotMap,
    View,
    newest_map,
    read_view,
    redirect_in,
    slot_of,
)

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


ALL = ((0, 8191, A), (8192, 16383, B))


def view(asked: Server, own: str, ranges=ALL, *, epoch=5, own_epoch=1, is_ok=True) -> View:
    """How a server sees the cluster; the id of a server is its host."""
    slots = [[first, last, [at.host.encode(), at.port, at.host], [b"10.0.0.3", 1]] for first, last, at in ranges]
    info = f"cluster_state:{'ok' if is_ok else 'fail'}\r\ncluster_current_epoch:{epoch}\r\n"
    return read_view(
        asked,
        [
            slots,
            (info + f"cluster_my_epoch:{own_epoch}\r\n").encode(),
            own.encode(),
            b"# Replication\r\nmaster_replid:r-1\r\n",
        ],
    )


def test_the_map_knows_the_primary_of_each_slot() -> None:
    slots = newest_map([view(A, A.host)])
    assert (slots.primary(0), slots.primary(8191), slots.primary(8192)) == (A, A, B)
    assert slots.servers == [A, B]
    assert slots.is_whole
    slots.move(0, B)
    assert (slots.primary(0), slots.primary(1)) == (B, A)


def test_a_map_may_have_holes_and_a_server_may_not_know_its_own_name() -> None:
    slots = newest_map([view(Server("asked", 1), "", ((0, 10, Server("", 7000)),))])
    assert slots.primary(10) == Server("asked", 7000)
    assert slots.primary(11) is None
    assert not slots.is_whole
    assert SlotMap().servers == []


def test_what_the_servers_with_the_latest_epoch_say_counts() -> None:
    promoted = Server("10.0.0.3", 6379)
    new = ((0, 8191, promoted), (8192, 16383, B))
    old, latest = view(B, B.host, epoch=5), view(promoted, promoted.host, new, epoch=6, own_epoch=6)
    for views in ([old, latest], [latest, old]):
        assert newest_map(views).servers == [promoted, B]


def test_a_server_knows_best_which_slots_it_has_itself() -> None:
    moved = ((0, 7, B), (8, 8191, A), (8192, 16383, B))
    behind, owner = view(A, A.host, epoch=7, own_epoch=1), view(B, B.host, moved, epoch=7, own_epoch=7)
    for views in ([behind, owner], [owner, behind]):
        assert newest_map(views).primary(0) == B
        assert newest_map(views).primary(8) == A


def test_a_server_that_was_cut_off_is_not_believed() -> None:
    promoted = Server("10.0.0.3", 6379)
    new = ((0, 8191, promoted), (8192, 16383, B))
    cut_off = view(A, A.host, epoch=9, own_epoch=9, is_ok=False)
    assert newest_map([cut_off, view(B, B.host, new, epoch=6)]).servers == [promoted, B]


def test_a_server_that_is_no_member_of_a_cluster_is_told_apart() -> None:
    with pytest.raises(ResponseError, match="cluster support disabled"):
        read_view(A, [ResponseError("ERR This instance has cluster support disabled"), b"", b"", b""])
    with pytest.raises(ResponseError, match="which slots"):
        read_view(A, [[], b"", b"id", b""])


def test_the_slot_of_a_key_is_that_of_its_hash_tag() -> None:
    assert slot_of("foo") == 12182  # as Redis' documentation has it
    assert slot_of("{foo}:conv:x") == slot_of("foo")
