"""A request that changes something has one result, however often it is repeated, whatever has happened since."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_clients import Refused
from sio_server.conversation.author import Author
from sio_server.protocol.events import CHANGES, MAX_TEXT_BYTES, ConversationCreate
from sio_server.store.keys import REQUEST_KEPT_MS, ConversationKeys, user_request
from sio_server.store.scripts import Request
from tests.conftest import RawClient
from tests.served.devices import Device, Devices
from tests.waiting import within

pytest_plugins = ["tests.served.fixtures"]

ANN = Author("ann", "Ann", "d")
BOB = Author("bob", "Bob", "d")


def code(ack: dict[str, Any]) -> str:
    return str(ack["error"]["code"])


async def keep_from_nodes(redis: Redis, conversation_id: str) -> None:
    """No node executes the conversation's runs, as if another had its lease."""
    lease = ConversationKeys(conversation_id).lease
    await redis.hset(lease, mapping={"owner": "nobody", "token": "0", "run_id": "none"})
    await redis.pexpire(lease, 60_000)


async def ask_to_approve(ann: Device) -> str:
    """The id of a question of the agent."""
    entry = await ann.ended((await ann.conversation.send("ask 1")).run_id)
    return str(entry.data["interrupts"][0]["interrupt_id"])


async def nothing(ann: Device, run_id: str) -> None:
    """The reply was lost, and the request is repeated at once."""


async def the_run_ends(ann: Device, run_id: str) -> None:
    await ann.ended(run_id)


async def a_later_turn_ends(ann: Device, run_id: str) -> None:
    await ann.ended(run_id)
    await ann.ended((await ann.conversation.send("hello")).run_id)


async def the_agent_asks_again(ann: Device, run_id: str) -> None:
    await ann.ended(run_id)
    await ask_to_approve(ann)


async def the_user_leaves(ann: Device, run_id: str) -> None:
    await ann.ended(run_id)
    await ann.conversation.leave()


@pytest.mark.parametrize(
    "since", [nothing, the_run_ends, a_later_turn_ends, the_agent_asks_again, the_user_leaves]
)
async def test_an_approval_that_is_repeated_gets_its_first_answer_whatever_has_happened_since(
    devices: Devices, since: Any
) -> None:
    ann = await devices.start("asker")
    there = {"conversation_id": ann.conversation.id, "interrupt_id": await ask_to_approve(ann)}
    answer = {"request_id": "approval", "value": "approve", **there}
    first = await ann.client.request("interrupt:respond", answer)
    await since(ann, first["run_id"])
    assert await ann.client.request("interrupt:respond", answer) == first
    with pytest.raises(Refused) as refused:
        await ann.client.request("interrupt:respond", answer | {"value": "reject"})
    assert refused.value.code == "request_id_reused"


@pytest.mark.parametrize("since", [nothing, the_run_ends, a_later_turn_ends, the_user_leaves])
async def test_a_regenerate_that_is_repeated_names_the_run_that_it_began(devices: Devices, since: Any) -> None:
    ann = await devices.start("asker")
    final = await ann.ended((await ann.conversation.send("hello")).run_id)
    request = {"conversation_id": ann.conversation.id, "request_id": "again", "seq": final.seq}
    first = await ann.client.request("run:regenerate", request)
    await since(ann, first["run_id"])
    assert await ann.client.request("run:regenerate", request) == first
    with pytest.raises(Refused) as refused:
        await ann.client.request("run:regenerate", request | {"seq": final.seq - 1})
    assert refused.value.code == "request_id_reused"


async def test_a_stop_that_is_repeated_stops_nothing_that_was_begun_later(
    redis, log, members, new_id, turns
) -> None:
    await keep_from_nodes(redis, new_id)
    await members.create(ANN, ConversationCreate(request_id="create", conversation_id=new_id, access="open"))
    await log.append_message(new_id, ANN, "m1", "one", run_id=f"r1-{new_id}")
    await log.append_message(new_id, ANN, "m2", "two", run_id=f"r2-{new_id}")
    stop = Request("ann", "stop", "5" * 40)
    assert await turns.stop(new_id, ANN, None, request=stop) == [f"r1-{new_id}", f"r2-{new_id}"]
    await log.append_message(new_id, ANN, "m3", "three", run_id=f"r3-{new_id}")
    assert await turns.stop(new_id, ANN, None, request=stop) == [f"r1-{new_id}", f"r2-{new_id}"]
    assert await redis.zrange(ConversationKeys(new_id).unfinished, 0, -1) == [f"r3-{new_id}"]
    with pytest.raises(Refused) as refused:
        await turns.stop(new_id, ANN, None, request=Request("ann", "stop", "6" * 40))
    assert refused.value.code == "request_id_reused"
    await turns.stop(new_id, ANN, None)


async def entry_types(client: RawClient, conversation_id: str) -> list[str]:
    page = await client.call("history:read", {"conversation_id": conversation_id})
    return [entry["type"] for entry in page["entries"]]


async def test_joins_and_leaves_that_are_repeated_do_not_undo_what_came_later(raw_client, new_id) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    create = {"request_id": "create", "conversation_id": new_id, "access": "open", "agent": "off"}
    assert (await ann.call("conversation:create", create))["created"]
    join = {"request_id": "join", "conversation_id": new_id}
    leave = {"request_id": "leave", "conversation_id": new_id}
    assert (await bob.call("conversation:join", join))["joined"]
    assert (await bob.call("conversation:leave", leave))["left"]
    # The join was answered, but its user is no member any more: there is nothing to be told.
    assert code(await bob.call("conversation:join", join)) == "not_a_member"
    joined = await bob.call("conversation:join", {"conversation_id": new_id})
    assert joined["joined"]
    assert (await bob.call("conversation:leave", leave))["left"]
    assert [e["conversation_id"] for e in (await bob.call("conversation:list", {}))["conversations"]] == [new_id]
    again = await bob.call("conversation:join", join | {"position": joined["position"]})
    assert (again["joined"], again["verdict"], again["entries"]) == (True, "resumed", [])
    again = await ann.call("conversation:create", create)
    assert (again["created"], again["head"]) == (True, 4)
    assert await entry_types(ann, new_id) == [
        "conversation_created",
        "member_joined",
        "member_left",
        "member_joined",
    ]
    assert code(await ann.call("conversation:create", create | {"title": "x"})) == "request_id_reused"
    assert code(await bob.call("conversation:leave", {**leave, "request_id": "join"})) == "request_id_reused"
    await ann.settled()
    changes = [(e["change"], e["conversation_id"]) for e in ann.named("conversation:changed")]
    assert changes.count(("joined", new_id)) == 1, "the repetition was told to nobody"


async def test_a_create_that_names_no_id_makes_one_conversation_however_often_it_is_repeated(raw_client) -> None:
    ann = await raw_client(0)
    elsewhere = await raw_client(1, token=ann.token, device_id="other")
    create = {"request_id": "new", "title": "Plans", "agent": "off"}
    first = await ann.call("conversation:create", create)
    await ann.call("message:send", {"conversation_id": first["conversation_id"], "text": "hello"})
    again = await elsewhere.call("conversation:create", create)
    assert (again["created"], again["conversation_id"]) == (True, first["conversation_id"])
    assert again["head"] == first["head"] + 1, "the result is that of now"
    other = await ann.call("conversation:create", create | {"request_id": "another"})
    assert other["conversation_id"] != first["conversation_id"]
    assert code(await ann.call("conversation:create", create | {"title": "Other"})) == "request_id_reused"


async def test_invitations_and_drafts_that_are_repeated_get_their_first_answer(raw_client) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    room = (await ann.call("conversation:create", {"agent": "off"}))["conversation_id"]
    invite = {"request_id": "invite", "conversation_id": room, "user_ids": [bob.user_id]}
    assert (await ann.call("conversation:invite", invite))["invited"] == [bob.user_id]
    draft = {"request_id": "draft", "conversation_id": room, "text": "first"}
    rev = (await ann.call("draft:save", draft))["rev"]
    await ann.call("draft:save", {"conversation_id": room, "text": "second"})
    await bob.call("conversation:join", {"conversation_id": room})
    await bob.call("conversation:leave", {"conversation_id": room})
    assert (await ann.call("draft:save", draft))["rev"] == rev
    joined = await ann.call("conversation:join", {"conversation_id": room})
    assert joined["draft"]["text"] == "second"
    await ann.call("conversation:leave", {"conversation_id": room})
    assert (await ann.call("conversation:invite", invite))["invited"] == [bob.user_id]
    assert (await ann.call("draft:save", draft))["rev"] == rev
    assert code(await ann.call("conversation:invite", invite | {"user_ids": ["eve"]})) == "request_id_reused"
    assert code(await ann.call("draft:save", draft | {"text": "third"})) == "request_id_reused"
    assert code(await bob.call("conversation:join", {"conversation_id": room})) == "unknown_conversation"
    await bob.settled()
    invited = [e for e in bob.named("conversation:changed") if e["change"] == "invited"]
    assert len(invited) == 1, "the invitation that was repeated was told again"


async def test_renames_and_sign_outs_that_are_repeated_do_not_undo_what_came_later(raw_client) -> None:
    ann = await raw_client(0, device_id="laptop")
    phone = await raw_client(1, token=ann.token, device_id="phone")
    rename = {"request_id": "rename", "device_id": "phone", "device_name": "One"}
    first = await ann.call("device:rename", rename)
    await ann.call("device:rename", {"device_id": "phone", "device_name": "Two"})
    assert await ann.call("device:rename", rename) == first
    names = {d["device_id"]: d["device_name"] for d in (await ann.call("device:list", {}))["devices"]}
    assert names["phone"] == "Two"
    assert code(await ann.call("device:rename", rename | {"device_name": "Three"})) == "request_id_reused"
    sign_out = {"request_id": "out", "device_id": "phone"}
    first = await ann.call("device:sign_out", sign_out)
    assert (first["ok"], first["sessions"]) == (True, 1)
    await phone.closed()
    assert await ann.call("device:sign_out", sign_out) == first
    assert code(await ann.call("device:sign_out", sign_out | {"device_id": "laptop"})) == "request_id_reused"
    assert ann.sio.connected


@pytest.mark.parametrize("event", sorted(CHANGES))
async def test_a_request_that_changes_something_and_has_no_request_id_is_refused(raw_client, event: str) -> None:
    client = await raw_client(0)
    ack = await client.sio.call(event, {"conversation_id": "c"}, timeout=5)
    assert code(ack) == "invalid_payload"
    assert "request_id" in ack["error"]["message"]


async def test_a_refusal_is_not_kept_since_it_has_changed_nothing(raw_client, new_id) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    join = {"request_id": "join", "conversation_id": new_id}
    assert code(await bob.call("conversation:join", join)) == "unknown_conversation"
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    assert (await bob.call("conversation:join", join))["joined"]


async def test_a_result_is_kept_as_long_as_the_last_entry_that_the_request_made(
    redis, log, members, new_id, turns
) -> None:
    """With a retention of 100 entries; the stop makes two."""
    keys, numbers = ConversationKeys(new_id), count(1)
    await keep_from_nodes(redis, new_id)

    async def send() -> None:
        await log.append_message(new_id, BOB, f"b{next(numbers)}", "x", run_id="")

    await members.create(
        ANN, ConversationCreate(request_id="create", conversation_id=new_id, access="open", agent="mention")
    )
    await members.join(BOB, new_id, Request("bob", "join", "1" * 40))
    for name in ("one", "two"):
        await log.append_message(new_id, ANN, name, "@agent hi", run_id=f"{name}-{new_id}")
    stop = Request("ann", "stop", "2" * 40)
    assert len(await turns.stop(new_id, ANN, None, request=stop)) == 2  # seq 5 and 6
    while (head := (await log.get_view(new_id, "ann")).bounds.head) < 105:
        assert await redis.hexists(keys.sent, "bob join") == (head - 99 <= 2)
        await send()
    assert await redis.hexists(keys.sent, "ann stop"), "its second entry is still there"
    assert len(await turns.stop(new_id, ANN, None, request=stop)) == 2
    await send()
    assert not await redis.hexists(keys.sent, "ann stop")
    assert await turns.stop(new_id, ANN, None, request=stop) == []
    # This time it has made no entry.
    assert 0 < await redis.pttl(keys.request("ann", "stop")) <= REQUEST_KEPT_MS


async def test_what_made_no_entry_is_kept_for_a_day(redis, raw_client, new_id) -> None:
    ann = await raw_client(0, device_id="laptop")
    created = await ann.call("conversation:create", {"request_id": "new", "agent": "off"})
    there = {"conversation_id": created["conversation_id"]}
    await ann.call("draft:save", {"request_id": "draft", "text": "x", **there})
    await ann.call("device:rename", {"request_id": "rename", "device_id": "laptop", "device_name": "L"})
    for key in (
        ConversationKeys(created["conversation_id"]).request(ann.user_id, "draft"),
        user_request(ann.user_id, "rename"),
    ):
        assert REQUEST_KEPT_MS - 60_000 < await redis.pttl(key) <= REQUEST_KEPT_MS


# The order of messages


async def test_a_message_is_refused_until_the_one_before_it_is_in_the_log(raw_client, new_id) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    room = {"conversation_id": new_id}
    await ann.call("conversation:create", {**room, "access": "open", "agent": "off"})
    await bob.call("conversation:join", room)
    second = {**room, "request_id": "m2", "after": "m1", "text": "two"}
    # That of another user is another one.
    await bob.call("message:send", {**room, "request_id": "m1", "text": "of Bob"})
    ack = await ann.call("message:send", second)
    assert (code(ack), ack["error"]["retryable"]) == ("out_of_order", True)
    first = await ann.call("message:send", {**room, "request_id": "m1", "text": "one"})
    ack = await ann.call("message:send", second)
    assert ack["seq"] == first["seq"] + 1
    assert await ann.call("message:send", second | {"after": None}) == ack, (
        "without `after` it is the same request"
    )
    edit = {**room, "request_id": "m4", "after": "m3", "seq": ack["seq"], "text": "edited"}
    assert code(await ann.call("message:edit", edit)) == "out_of_order"
    assert (await ann.call("message:edit", edit | {"after": "m2"}))["ok"]


async def test_a_message_whose_predecessor_retention_has_dropped_is_not_refused_for_ever(
    redis, log, members, new_id
) -> None:
    """The user's last message that was dropped counts as there; and nobody need name one that was acked."""
    await members.create(
        ANN, ConversationCreate(request_id="create", conversation_id=new_id, access="open", agent="off")
    )
    await members.join(BOB, new_id)
    for name in ("a1", "a2"):
        await log.append_message(new_id, ANN, name, name, run_id="")
    for number in range(100):
        await log.append_message(new_id, BOB, f"b{number}", "x", run_id="")
    assert await redis.hget(ConversationKeys(new_id).sent, "ann") == "a2"
    with pytest.raises(Refused) as refused:
        await log.append_message(new_id, ANN, "a3", "three", run_id="", after="a1")
    assert refused.value.code == "out_of_order"
    ack, new = await log.append_message(new_id, ANN, "a3", "three", run_id="", after="a2")
    assert new
    await log.append_message(new_id, ANN, "a4", "four", run_id="", after="a3")
    assert (await log.append_message(new_id, ANN, "a3", "three", run_id=""))[0] == ack


async def test_messages_that_are_sent_at_once_keep_their_order_over_lost_connections(new_client, cluster) -> None:
    ann = await new_client(node=0)
    conversation = await ann.create(agent="off")
    acked = 0
    enough = asyncio.Event()

    async def send(number: int) -> int:
        nonlocal acked
        ack = await conversation.send(f"{number}")
        acked += 1
        if acked % 20 == 0:
            enough.set()
        return ack.seq

    sends = [asyncio.create_task(send(number)) for number in range(100)]
    for node in (1, 2, 0):
        async with within(10, "acks"):
            await enough.wait()
        enough.clear()
        await ann.go_offline()  # acks of what is on its way are lost
        await ann.go_online(cluster.urls[node])
    seqs = await asyncio.gather(*sends)
    assert seqs == sorted(seqs)
    texts = [entry.text for entry in await conversation.log() if entry.type == "message"]
    assert texts == [str(number) for number in range(100)]


async def test_messages_that_are_sent_at_once_keep_their_order_when_one_in_the_middle_is_refused(
    new_client,
) -> None:
    ann = await new_client(node=0)
    conversation = await ann.create(agent="off")
    texts = [str(number) for number in range(20)]
    texts[5] = texts[6] = "x" * (MAX_TEXT_BYTES + 1)
    results = await asyncio.gather(*map(conversation.send, texts), return_exceptions=True)
    assert [getattr(result, "code", "") for result in results[5:7]] == ["payload_too_large"] * 2
    logged = [entry.text for entry in await conversation.log() if entry.type == "message"]
    assert logged == texts[:5] + texts[7:]
