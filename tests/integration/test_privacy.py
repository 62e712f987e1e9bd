"""Nobody receives, reads or writes a conversation they are not a member of."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from sio_server.gateway.sessions.auth import Tokens
from sio_server.protocol.events import MADE_ID_PREFIX
from sio_server.store.keys import ConversationKeys
from tests.conftest import SECRET


def of(client, conversation_id: str) -> list[tuple[str, dict]]:
    """Every event that this client got of a conversation."""
    return [
        (name, payload)
        for name, payload in client.events
        if isinstance(payload, dict) and payload.get("conversation_id") == conversation_id
    ]


async def test_a_non_member_receives_nothing_and_cannot_tell_whether_a_conversation_exists(raw_client):
    ann, eve = await raw_client(0), await raw_client(1, name="Eve")
    private = (await ann.call("conversation:create", {"agent": "off"}))["conversation_id"]
    attempts: dict[str, dict[str, Any]] = {
        "conversation:join": {},
        "history:read": {},
        "entry:read": {"seq": 1, "page": 0},
        "members:list": {},
        "conversation:invite": {"user_ids": [eve.user_id]},
        "conversation:rename": {"title": "x"},
        "conversation:configure": {"agent": "off"},
        "list:set": {"pinned": True},
        "message:search": {"query": "x"},
        "conversation:delete": {},
        "members:remove": {"user_id": ann.user_id},
        "message:send": {"request_id": "c", "text": "hi"},
        "draft:save": {"text": "x"},
    }
    for event, rest in attempts.items():
        real = await eve.call(event, {"conversation_id": private, **rest})
        none = await eve.call(event, {"conversation_id": private + "-none", **rest})
        assert real == none, event
        assert real["error"]["code"] == "unknown_conversation"
    marks = await eve.call("marks:set", {"marks": {private: {"read": 1}, f"{private}-none": {"delivered": 1}}})
    assert {item["error"]["code"] for item in marks["marks"].values()} == {"unknown_conversation"}
    sync = await eve.call("session:sync", {"positions": {private: None}})
    assert sync["conversations"][private]["error"]["code"] == "unknown_conversation"
    typing = await eve.call("typing:set", {"conversation_id": private, "typing": True})
    assert typing["error"]["code"] == "not_a_member"
    await ann.call("message:send", {"conversation_id": private, "request_id": "c", "text": "secret"})
    await ann.call("typing:set", {"conversation_id": private, "typing": True})
    await eve.settled()
    assert of(eve, private) == []


async def test_a_member_who_left_receives_nothing_later_on_any_device(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    phone = await raw_client(2, token=bob.token)
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    for device in (bob, phone):
        await device.call("conversation:join", {"conversation_id": new_id})
    await bob.call("conversation:leave", {"conversation_id": new_id})
    secret = await ann.call("message:send", {"conversation_id": new_id, "request_id": "c", "text": "secret"})
    await ann.call("typing:set", {"conversation_id": new_id, "typing": True})
    for device in (bob, phone):
        await device.settled()
        seqs = [p["seq"] for name, p in of(device, new_id) if name == "entry:appended"]
        assert seqs[-1] == secret["seq"] - 1, "its own leaving is the last thing it sees"
        assert not [name for name, _ in of(device, new_id) if name == "typing:changed"]
    assert (await bob.call("history:read", {"conversation_id": new_id}))["error"]["code"] == "not_a_member"


async def test_leaving_while_another_device_joins_leaks_nothing(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    phone = await raw_client(2, token=bob.token)
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    for turn in range(15):
        await bob.call("conversation:join", {"conversation_id": new_id})
        await asyncio.gather(
            bob.call("conversation:leave", {"conversation_id": new_id}),
            phone.call("session:sync", {"positions": {new_id: None}}),
            ann.call("message:send", {"conversation_id": new_id, "request_id": f"x{turn}", "text": "between"}),
        )
        after = await ann.call(
            "message:send", {"conversation_id": new_id, "request_id": f"c{turn}", "text": "secret"}
        )
        for device in (bob, phone):
            await device.settled()
            got = [p["seq"] for name, p in of(device, new_id) if name == "entry:appended"]
            assert after["seq"] not in got, turn


async def test_a_draft_is_shown_on_the_users_own_devices_only(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    laptop = await raw_client(2, token=ann.token)
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})
    await ann.call("draft:save", {"conversation_id": new_id, "text": "private"})
    await bob.settled()
    assert not bob.named("draft:changed")
    await laptop.until(lambda: laptop.named("draft:changed"))
    join = await bob.call("conversation:join", {"conversation_id": new_id})
    assert join["draft"] is None


async def test_nobody_can_ask_by_creating_it_whether_a_private_conversation_exists(raw_client: Any) -> None:
    """The server makes the ids of private conversations, and no client can choose such an id."""
    ann, eve = await raw_client(0), await raw_client(1, name="Eve")
    private = (await ann.call("conversation:create", {"agent": "off"}))["conversation_id"]
    assert private.startswith(MADE_ID_PREFIX)
    for access in ("invitation", "open"):
        answers = [
            await client.call("conversation:create", {"conversation_id": conversation_id, "access": access})
            for client in (ann, eve)
            for conversation_id in (private, MADE_ID_PREFIX + "0" * 32)
        ]
        assert {answer["error"]["code"] for answer in answers} == {"invalid_payload"}
        assert all(answer == answers[0] for answer in answers)
    refused = await eve.call("conversation:create", {"conversation_id": "plans", "access": "invitation"})
    assert refused["error"]["code"] == "invalid_payload"
    join = [
        await eve.call("conversation:join", {"conversation_id": conversation_id})
        for conversation_id in (private, MADE_ID_PREFIX + "0" * 32)
    ]
    assert join[0] == join[1]


async def test_ids_of_two_users_with_the_same_request_id_differ(raw_client: Any) -> None:
    ann, eve = await raw_client(0), await raw_client(1, name="Eve")
    create = {"request_id": "m1", "agent": "off"}
    ids = {(await client.call("conversation:create", create))["conversation_id"] for client in (ann, eve)}
    assert len(ids) == 2


async def test_a_repeated_create_names_the_same_conversation_also_when_its_result_is_forgotten(
    raw_client: Any, redis: Any
) -> None:
    ann = await raw_client(0)
    create = {"request_id": "plans", "agent": "off"}
    first = await ann.call("conversation:create", create)
    assert await redis.hdel(ConversationKeys(first["conversation_id"]).sent, f"{ann.user_id} plans")
    again = await ann.call("conversation:create", create)
    assert (again["created"], again["conversation_id"]) == (True, first["conversation_id"])
    assert await redis.delete(ConversationKeys(first["conversation_id"]).request(ann.user_id, "plans"))
    other = await ann.call("conversation:create", {**create, "title": "Other"})
    assert other["error"]["code"] == "request_id_reused"
    await ann.settled()
    told = [e for e in ann.named("conversation:changed") if e["conversation_id"] == first["conversation_id"]]
    assert len(told) == 1, "the repetition was told to nobody"


@pytest.mark.parametrize("name", ["constructor", "toString", "hasOwnProperty", "prototype"])
async def test_ids_that_are_names_in_javascript_or_lua_are_ids_as_any_other(
    raw_client: Any, new_client: Any, name: str
) -> None:
    user_id = f"{name}:{uuid.uuid4().hex[:8]}"
    token = Tokens(SECRET, "roomgraph").issue(user_id, "Ann", 600)
    ann = await raw_client(token=token, device_id=name)
    create = {"conversation_id": name, "request_id": name, "access": "open", "agent": "off"}
    await ann.call("conversation:create", create)  # of this user or of an earlier test's
    joined = await ann.call("conversation:join", {"conversation_id": name})
    assert joined["ok"], joined
    sent = await ann.call("message:send", {"conversation_id": name, "request_id": f"{name}.1", "text": name})
    again = await ann.call("message:send", {"conversation_id": name, "request_id": f"{name}.1", "text": name})
    assert (sent["ok"], again["seq"]) == (True, sent["seq"])
    assert await ann.mark(name, read=sent["seq"]) == {"read": sent["seq"]}
    synced = await ann.call("session:sync", {"positions": {name: None}})
    assert synced["conversations"][name]["reads"][user_id] == sent["seq"]
    assert (await ann.call("device:rename", {"device_id": name, "device_name": name}))["ok"]
    reader = await new_client(token=token, device_id=f"{name}2")
    conversation = await reader.join(name)
    ack = await conversation.send("from the SDK")
    async for entry in conversation.entries():
        if entry.seq == ack.seq:
            break
    assert entry.text == "from the SDK"
