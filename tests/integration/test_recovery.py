"""Recovery: who returns with a position gets exactly what was missed, or is told why not."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from sio_clients import ChatClient, ConversationReset, Position, Refused, guest_token
from sio_server.conversation.author import Author
from sio_server.gateway.sessions.auth import Tokens
from sio_server.protocol.events import ConversationCreate
from tests.conftest import SECRET
from tests.faults.raw_websocket import CLOSE, RawWebSocket
from tests.waiting import Inbox, within


async def collect(conversation, head: int) -> list[int]:
    """The seqs of entries as they come, up to `head`."""
    seqs: list[int] = []
    async with within(20, f"entry {head}", lambda: seqs):
        async for entry in conversation.entries():
            seqs.append(entry.seq)
            if entry.seq >= head:
                break
    return seqs


async def test_a_client_that_dropped_gets_exactly_what_it_missed_on_another_node(cluster, new_client, new_id):
    ann, bob = await new_client("Ann", node=0), await new_client("Bob", node=1)
    mine = await ann.create(conversation_id=new_id, access="open", agent="off")
    theirs = await bob.join(new_id)
    await mine.send("before")
    assert await collect(theirs, 3) == [1, 2, 3]
    await bob.go_offline()
    last = [await mine.send(f"missed {number}") for number in range(7)][-1]
    await bob.go_online(cluster.urls[2])
    assert bob.node == str(cluster.ports[2])
    assert await collect(theirs, last.seq) == list(range(4, 11))
    card = theirs.card
    assert (card.user_id, card.verdict, card.reason) == (bob.user_id, "resumed", "position_valid")
    assert (card.replayed, card.history, card.last_activity) == (7, 10, last.ts)
    assert theirs.runs == {}


async def test_more_missed_entries_than_a_page_holds_all_come_in_order(cluster, new_client, new_id, log):
    ann = await new_client("Ann", node=0)
    mine = await ann.create(conversation_id=new_id, access="open", agent="off")
    assert await collect(mine, 1) == [1]
    await ann.go_offline()
    author = Author(ann.user_id, "Ann", "elsewhere")
    for number in range(450):
        await log.append_message(new_id, author, f"c{number}", "x" * 900, run_id="r")
    await ann.go_online(cluster.urls[1])
    assert mine.stream.in_step
    assert await collect(mine, 451) == list(range(2, 452))
    assert mine.card.history == 451


async def test_entries_written_during_the_return_are_neither_lost_nor_doubled(cluster, new_client, new_id):
    ann, bob = await new_client("Ann", node=0), await new_client("Bob", node=1)
    mine = await ann.create(conversation_id=new_id, access="open", agent="off")
    theirs = await bob.join(new_id)
    stop = asyncio.Event()

    async def write() -> int:
        seq = 0
        while not stop.is_set():
            seq = (await mine.send("busy")).seq
        return seq

    writing = asyncio.create_task(write())
    for number in range(12):
        await bob.go_offline()
        await bob.go_online(cluster.urls[number % 3])
    stop.set()
    head = await writing
    assert await collect(theirs, head) == list(range(1, head + 1))


async def test_without_a_position_the_latest_entries_come_as_a_snapshot(new_client, new_id, log):
    ann = await new_client("Ann")
    await ann.create(conversation_id=new_id, access="open", agent="off")
    for number in range(100):
        author = Author(ann.user_id, "Ann", "elsewhere")
        await log.append_message(new_id, author, f"c{number}", "x", run_id="r")
    bob = await new_client("Bob", node=2)
    conversation = await bob.join(new_id)
    assert await collect(conversation, 102) == list(range(53, 103))
    assert (conversation.card.verdict, conversation.card.reason) == ("snapshot", "no_position")
    assert (conversation.card.replayed, conversation.card.history) == (50, 102)
    older = await conversation.history(before=53, limit=10)
    assert [entry.seq for entry in older] == list(range(43, 53))


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (Position("anotherepoch", 5), "new_epoch"),
        (Position("", 999), "ahead_of_log"),
        (Position("", 3), "older_than_retention"),
    ],
)
async def test_a_position_that_cannot_be_served_is_reset_with_the_reason(
    new_client, new_id, log, members, position, reason
):
    ann = await new_client("Ann")
    author = Author(ann.user_id, "Ann", "elsewhere")
    await members.create(
        author, ConversationCreate(request_id="create", conversation_id=new_id, access="open", agent="off")
    )
    for number in range(149):  # of which the retention of these tests keeps 100
        await log.append_message(new_id, author, f"c{number}", "x", run_id="r")
    epoch = (await log.get_view(new_id, ann.user_id)).bounds.epoch
    conversation = await ann.join(new_id, Position(position.epoch or epoch, position.seq))
    with pytest.raises(ConversationReset) as reset:
        await collect(conversation, 150)
    assert reset.value.reason == reason
    assert await collect(conversation, 150) == list(range(101, 151))
    assert (conversation.card.verdict, conversation.card.reason) == ("reset", reason)


async def test_many_conversations_are_caught_up_in_one_return(cluster, new_client, new_id):
    ann, bob = await new_client("Ann", node=0), await new_client("Bob", node=1)
    pairs = []
    for number in range(8):
        mine = await ann.create(conversation_id=f"{new_id}-{number}", access="open", agent="off")
        pairs.append((mine, await bob.join(mine.id)))
    await bob.go_offline()
    heads = [(await mine.send("missed")).seq for mine, _ in pairs]
    await bob.go_online(cluster.urls[2])
    for (_, theirs), head in zip(pairs, heads, strict=True):
        assert await collect(theirs, head) == [1, 2, 3]
        assert theirs.card.verdict == "resumed"


async def test_a_send_that_was_repeated_after_a_lost_connection_is_in_the_log_once(cluster, new_client, new_id):
    ann = await new_client("Ann", node=0)
    mine = await ann.create(conversation_id=new_id, access="open", agent="off")
    sending = [asyncio.create_task(mine.send(f"message {number}")) for number in range(60)]
    for number in range(4):
        await asyncio.wait(sending[number * 12 : number * 12 + 3])
        await ann.go_offline()
        await ann.go_online(cluster.urls[(number + 1) % 3])
    acks = await asyncio.gather(*sending)
    entries = [entry for entry in await mine.log() if entry.type == "message"]
    assert [entry.text for entry in entries] == [f"message {number}" for number in range(60)]
    assert [entry.seq for entry in entries] == [ack.seq for ack in acks]


async def test_a_stopped_node_tells_its_clients_and_they_move_within_a_second_or_two(start_cluster):
    cluster = await start_cluster(nodes=2)
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as client:
        conversation = await client.create(access="open", agent="off")
        told: list[dict[str, Any]] = []
        plain = RawWebSocket(cluster.ports[0])
        await plain.open(token, "plain")
        client.on("session:ended", told.append)
        sessions: Inbox[Any] = Inbox()
        client.on("session:opened", sessions)
        await cluster.signal_node(cluster.ports[0], signal.SIGTERM)
        await sessions.first(what="a session on another node", timeout=5)
        (ended,) = told
        assert {**ended, "after_ms": 0, "nodes": set(ended["nodes"])} == {
            "reason": "node_stopping",
            "reconnect": True,
            "after_ms": 0,
            "nodes": set(cluster.urls),
            "by": None,
        }
        assert 0 <= ended["after_ms"] < 500
        with plain:
            opcode, payload = 0, b""
            while opcode != CLOSE:
                opcode, payload = await plain.receive()
        assert payload == (1001).to_bytes(2, "big") + b"go to another node"
        assert (await conversation.send("still here")).seq == 2


async def test_a_user_who_leaves_and_joins_again_continues_and_their_other_device_is_told(new_client, new_id):
    ann, bob = await new_client("Ann", node=0), await new_client("Bob", node=1)
    mine = await ann.create(conversation_id=new_id, access="open", agent="off")
    theirs = await bob.join(new_id)
    phone = await new_client(token=bob.token, node=2)
    on_phone = await phone.join(new_id)
    assert await collect(on_phone, 2) == [1, 2]
    await theirs.leave()
    with pytest.raises(Refused) as refused:
        await collect(on_phone, 99)
    assert refused.value.code == "not_a_member"
    # The iterator ends; its own leaving may have come before that.
    assert await collect(theirs, 99) in ([1, 2], [1, 2, 3])
    await mine.send("while Bob was away")
    again = await bob.join(new_id)
    head = (await mine.send("welcome back")).seq
    assert await collect(again, head) == list(range(1, head + 1))


async def test_a_token_that_has_expired_ends_the_iterators_with_the_reason(cluster, new_client, new_id):
    token = Tokens(SECRET, "roomgraph").issue("ann-" + new_id, "Ann", 2)
    ann = await new_client(token=token)
    conversation = await ann.create(conversation_id=new_id, access="open", agent="off")
    await ann.go_offline()
    await asyncio.sleep(3)  # the lifetime of a token is a time
    with pytest.raises(Refused) as refused:
        await ann.go_online()
    assert refused.value.code == "token_expired"
    with pytest.raises(Refused):
        await collect(conversation, 99)
