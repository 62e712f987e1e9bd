"""Which device has received what: marks never go back nor beyond the head, and cost a large room nothing."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from sio_server.conversation.author import Author
from sio_server.protocol.events import DELIVERY_SESSIONS, MAX_DELIVERED, ConversationCreate
from tests.marking import mark_delivered
from tests.waiting import Inbox

OPEN = {"access": "open", "agent": "off"}


async def test_a_mark_shows_on_every_device_and_in_the_next_catch_up(raw_client, new_id):
    ann = await raw_client(0, device_id="laptop")
    bob = await raw_client(1, name="Bob", device_id="phone")
    await ann.call("conversation:create", {"conversation_id": new_id, **OPEN})
    await bob.call("conversation:join", {"conversation_id": new_id})
    ack = await bob.mark(new_id, delivered=2)
    assert ack == {"delivered": 2}
    mark = {"user_id": bob.user_id, "device_id": "phone"}
    session_id = bob.named("session:opened")[0]["session_id"]
    moved = {"conversation_id": new_id, **mark, "session_id": session_id, "delivered": 2}
    for client in (ann, bob):
        await client.until(lambda client=client: client.named("marks:moved"))
        assert client.named("marks:moved") == [moved]
    await ann.mark(new_id, delivered=1)
    marks = [{**mark, "seq": 2}, {"user_id": ann.user_id, "device_id": "laptop", "seq": 1}]  # the highest first
    join = await ann.call("conversation:join", {"conversation_id": new_id})
    sync = await bob.call("session:sync", {"positions": {new_id: None}})
    assert join["delivered"] == sync["conversations"][new_id]["delivered"] == marks


async def test_a_mark_never_goes_back_nor_beyond_the_head_in_whatever_order_it_comes(raw_client, new_id, log):
    ann = await raw_client(0, device_id="laptop")
    tab = await raw_client(1, token=ann.token, device_id="laptop")
    await ann.call("conversation:create", {"conversation_id": new_id, **OPEN})
    for number in range(19):
        await log.append_message(new_id, Author(ann.user_id, "Ann", "x"), f"c{number}", "x", run_id="r")
    await tab.call("session:sync", {"positions": {new_id: None}})
    seqs = [*range(0, 20), 21, 10**6, 2**53 - 1] * 2
    random.Random(7).shuffle(seqs)
    asks = [(ann, tab)[n % 2].mark(new_id, delivered=s) for n, s in enumerate(seqs)]
    acks = await asyncio.gather(*asks)
    for seq, ack in zip(seqs, acks, strict=True):
        assert min(seq, 20) <= ack["delivered"] <= 20
    told = [mark["delivered"] for mark in ann.named("marks:moved")]
    assert told == sorted(set(told)), "each one is higher than the one before"
    assert told[-1] == 20
    join = await ann.call("conversation:join", {"conversation_id": new_id})
    assert join["delivered"] == [{"user_id": ann.user_id, "device_id": "laptop", "seq": 20}]
    again = await tab.mark(new_id, delivered=3)
    assert again["delivered"] == 20


async def test_non_members_neither_set_nor_see_marks_and_cannot_tell_what_exists(raw_client):
    owner, eve = await raw_client(0), await raw_client(1, name="Eve")
    invited, gone = await raw_client(2, name="Ina"), await raw_client(0, name="Gus", device_id="gone")
    invite = {"agent": "off", "invite": [invited.user_id, gone.user_id]}
    room = (await owner.call("conversation:create", invite))["conversation_id"]
    await gone.call("conversation:join", {"conversation_id": room})
    assert await gone.mark(room, delivered=2) == {"delivered": 2}
    await gone.call("conversation:leave", {"conversation_id": room})
    await owner.until(lambda: owner.named("entry:appended")[-1]["type"] == "member_left")
    for client in (eve, invited, gone):
        real = await client.mark(room, delivered=1)
        none = await client.mark(room + "-none", delivered=1)
        assert real == none
        assert real["error"]["code"] == "unknown_conversation"
    ack = await owner.mark(room, delivered=3)
    await owner.until(lambda: any(mark["delivered"] == 3 for mark in owner.named("marks:moved")))
    for client in (eve, invited):
        await client.settled()
        assert not client.named("marks:moved")
    await gone.settled()
    assert [mark["delivered"] for mark in gone.named("marks:moved")] == [2]
    # Who has left has left no marks.
    join = await owner.call("conversation:join", {"conversation_id": room})
    assert [(mark["user_id"], mark["seq"]) for mark in join["delivered"]] == [(owner.user_id, ack["delivered"])]
    public = f"open-{room}"
    await owner.call("conversation:create", {"conversation_id": public, **OPEN})
    ack = await eve.mark(public, delivered=1)
    assert ack["error"]["code"] == "not_a_member"


async def test_in_a_large_room_marks_are_kept_and_not_spread(raw_client, new_id):
    ann = await raw_client(0, device_id="laptop")
    await ann.call("conversation:create", {"conversation_id": new_id, **OPEN})
    crowd = [await raw_client(0, token=ann.token) for _ in range(DELIVERY_SESSIONS - 1)]
    await asyncio.gather(*(c.call("session:sync", {"positions": {new_id: None}}) for c in crowd))
    assert (await ann.mark(new_id, delivered=1))["delivered"] == 1
    await ann.until(lambda: ann.named("marks:moved"))
    one_more = await raw_client(0, name="Bob", device_id="phone")
    await one_more.call("conversation:join", {"conversation_id": new_id})
    assert (await one_more.mark(new_id, delivered=2))["delivered"] == 2
    # The same node follows with one session less again, and the next mark is heard: no earlier one came.
    await one_more.sio.disconnect()
    last = await raw_client(1, token=one_more.token, device_id="phone")
    joined = await last.call("conversation:join", {"conversation_id": new_id})
    assert joined["delivered"][0] == {"user_id": one_more.user_id, "device_id": "phone", "seq": 2}
    await last.call("message:send", {"conversation_id": new_id, "request_id": "c", "text": "x"})
    assert (await last.mark(new_id, delivered=3))["delivered"] == 3
    await ann.until(lambda: ann.named("marks:moved")[-1]["delivered"] == 3)
    assert [mark["delivered"] for mark in ann.named("marks:moved")] == [1, 3]


async def test_of_very_many_devices_the_highest_marks_are_kept(new_id, members, log):
    author = Author("ann", "Ann", "x")
    await members.create(
        author, ConversationCreate(request_id="create", conversation_id=new_id, access="open", agent="off")
    )
    count = MAX_DELIVERED + 20
    for number in range(count - 1):
        await log.append_message(new_id, author, f"c{number}", "x", run_id="r")
    order = list(range(1, count + 1))
    random.Random(7).shuffle(order)
    for seq in order:
        assert await mark_delivered(log, new_id, "ann", f"d-{seq}", seq, tell=False) == seq
    marks = json.loads((await log.get_view(new_id, "ann")).delivered)
    assert [mark["seq"] for mark in marks] == list(range(count, count - MAX_DELIVERED, -1))
    assert all(mark["device_id"] == f"d-{mark['seq']}" for mark in marks)


async def test_an_sdk_client_reports_what_it_has_received_only_when_it_was_asked_to(new_client, new_id):
    ann = await new_client("Ann", device_id="laptop")
    mine = await ann.create(conversation_id=new_id, **OPEN)
    marks: Inbox[tuple[str, int]] = Inbox()
    ann.on("marks:moved", lambda mark: marks((mark["device_id"], mark["delivered"])))
    silent = await new_client("Bot", node=1, device_id="silent")
    phone = await new_client("Bob", node=2, device_id="phone", report_delivery=True)
    await silent.join(new_id)
    theirs = await phone.join(new_id)

    async def until(seq: int) -> None:
        await marks.first(lambda mark: mark == ("phone", seq), f"the phone's mark {seq}", 5)

    await until(3)
    acks = await asyncio.gather(*(mine.send(f"message {number}") for number in range(30)))
    await until(acks[-1].seq)
    assert {device for device, _ in marks.items} == {"phone"}
    assert marks.items == sorted(set(marks.items))
    assert len(marks.items) < 10, "what came at once is reported at once"
    # What it misses it reports when it is back.
    await phone.go_offline()
    await mine.send("missed")
    await phone.go_online()
    await until(acks[-1].seq + 1)
    assert theirs.position.seq == acks[-1].seq + 1


@pytest.mark.parametrize("seq", [-1, 2**53, "1", 1.0, True])
async def test_a_mark_that_is_no_seq_is_refused(raw_client, new_id, seq):
    client = await raw_client()
    await client.call("conversation:create", {"conversation_id": new_id, **OPEN})
    ack = await client.mark(new_id, delivered=seq)
    assert ack["error"]["code"] == "invalid_payload"


async def test_one_request_marks_many_conversations_and_the_error_of_one_does_not_fail_the_others(
    raw_client, new_id
):
    ann, eve = await raw_client(0, device_id="laptop"), await raw_client(1, name="Eve")
    mine = [f"{new_id}-{number}" for number in range(3)]
    for conversation_id in mine:
        await ann.call("conversation:create", {"conversation_id": conversation_id, **OPEN})
    hers = (await eve.call("conversation:create", {"agent": "off"}))["conversation_id"]
    marks = {
        mine[0]: {"read": 1, "delivered": 1},
        hers: {"read": 1},
        mine[1]: {"delivered": 99},
        "nowhere": {"delivered": 1},
        mine[2]: {},
    }
    ack = await ann.call("marks:set", {"marks": marks})
    errors = {name: item.pop("error")["code"] for name, item in ack["marks"].items() if "error" in item}
    assert errors == {hers: "unknown_conversation", "nowhere": "unknown_conversation"}
    assert ack["marks"][mine[0]] == {"read": 1, "delivered": 1}
    assert ack["marks"][mine[1]] == {"delivered": 1}
    assert ack["marks"][mine[2]] == {}
    # Both marks of a conversation are one event.
    await ann.until(lambda: len(ann.named("marks:moved")) >= 2)
    assert [(moved.get("read"), moved.get("delivered")) for moved in ann.named("marks:moved")] == [
        (1, 1),
        (None, 1),
    ]
