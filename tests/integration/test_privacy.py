"""Nobody receives, reads or writes a conversation they are not a member of."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sio_server.gateway.requests.conversations import GUESS_WRITES, ConversationRequests
from sio_server.gateway.sessions.limits import Limits, Rate
from sio_server.gateway.sessions.session import Session
from sio_server.protocol.errors import RateLimited, Refused
from sio_server.protocol.events import ClientEvent, ConversationCreate


def of(client, conversation_id: str) -> list[tuple[str, dict]]:
    """Every event that this client got of a conversation."""
    return [
        (name, payload)
        for name, payload in client.events
        if isinstance(payload, dict) and payload.get("conversation_id") == conversation_id
    ]


async def test_a_non_member_receives_nothing_and_cannot_tell_whether_a_conversation_exists(raw_client, new_id):
    ann, eve = await raw_client(0), await raw_client(1, name="Eve")
    await ann.call("conversation:create", {"conversation_id": new_id, "agent": "off"})
    attempts: dict[str, dict[str, Any]] = {
        "conversation:join": {},
        "history:read": {},
        "members:list": {},
        "conversation:invite": {"user_ids": [eve.user_id]},
        "message:send": {"request_id": "c", "text": "hi"},
        "draft:save": {"text": "x"},
    }
    for event, rest in attempts.items():
        real = await eve.call(event, {"conversation_id": new_id, **rest})
        none = await eve.call(event, {"conversation_id": new_id + "-none", **rest})
        assert real == none, event
        assert real["error"]["code"] == "unknown_conversation"
    marks = await eve.call("marks:set", {"marks": {new_id: {"read": 1}, f"{new_id}-none": {"delivered": 1}}})
    assert {item["error"]["code"] for item in marks["marks"].values()} == {"unknown_conversation"}
    sync = await eve.call("session:sync", {"positions": {new_id: None}})
    assert sync["conversations"][new_id]["error"]["code"] == "unknown_conversation"
    typing = await eve.call("typing:set", {"conversation_id": new_id, "typing": True})
    assert typing["error"]["code"] == "not_a_member"
    await ann.call("message:send", {"conversation_id": new_id, "request_id": "c", "text": "secret"})
    await ann.call("typing:set", {"conversation_id": new_id, "typing": True})
    await eve.settled()
    assert of(eve, new_id) == []


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


@pytest.mark.parametrize(
    ("creator", "access", "charged"),
    [("eve", "invitation", GUESS_WRITES), ("eve", "open", 0), ("ann", "invitation", 0)],
)
async def test_the_id_of_a_private_conversation_is_expensive_to_guess(
    members: Any, log: Any, new_id: str, creator: str, access: Any, charged: int
) -> None:
    """Of open conversations everybody may know, and of the own ones their members."""
    scripts: Any = None
    limits = Limits(scripts, user=(Rate(100, 3600),))
    catch_up: Any = SimpleNamespace(check_limit=lambda session, conversation_id: None)
    bus: Any = None
    requests = ConversationRequests(members, log, catch_up, bus, limits, ["echo"])
    ann, session = (Session("s", f"{new_id}-{name}", name, "d", "") for name in ("ann", creator))
    await members.create(
        ann.author, ConversationCreate(request_id="create", conversation_id=new_id, access=access, graph="echo")
    )
    with pytest.raises(Refused) as refused:
        await requests.create(
            session, ConversationCreate(request_id="guess", conversation_id=new_id, title="a guess")
        )
    assert refused.value.code == "conversation_exists"
    for _ in range(100 - charged):
        limits.spend_event(ClientEvent.MESSAGE_SEND, session.user_id)
    with pytest.raises(RateLimited):
        limits.spend_event(ClientEvent.MESSAGE_SEND, session.user_id)
