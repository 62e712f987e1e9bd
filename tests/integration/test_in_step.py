"""What one device of a user does shows on the others; presence follows the sessions."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sio_server.store.keys import user_sessions
from tests.waiting import Inbox


async def test_sends_marks_drafts_and_typing_of_one_device_show_on_the_others(raw_client, new_id):
    phone = await raw_client(0)
    laptop = await raw_client(1, token=phone.token)
    await phone.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await laptop.until(lambda: laptop.named("conversation:changed"))
    news = laptop.named("conversation:changed")[0]
    assert (news["conversation_id"], news["change"]) == (new_id, "joined")
    sync = await laptop.call("session:sync", {"positions": {new_id: None}})
    assert sync["conversations"][new_id]["verdict"] == "snapshot"

    await phone.call("message:send", {"conversation_id": new_id, "request_id": "c1", "text": "hi"})
    await laptop.until(lambda: laptop.named("entry:appended"))
    assert laptop.named("entry:appended")[0]["data"]["text"] == "hi"

    await phone.mark(new_id, read=2)
    await laptop.until(lambda: laptop.named("marks:moved"))
    assert laptop.named("marks:moved")[0]["read"] == 2

    await phone.call("draft:save", {"conversation_id": new_id, "text": "not yet"})
    await laptop.until(lambda: laptop.named("draft:changed"))
    assert laptop.named("draft:changed")[0]["draft"]["text"] == "not yet"
    sync = await laptop.call("session:sync", {"positions": {new_id: None}})
    result = sync["conversations"][new_id]
    assert (result["draft"]["text"], list(result["reads"].values())) == ("not yet", [2])

    await phone.call("typing:set", {"conversation_id": new_id, "typing": True})
    await laptop.until(lambda: laptop.named("typing:changed"))


async def test_every_echo_names_the_session_beside_the_device(raw_client, new_id):
    phone = await raw_client(0, device_id="browser")
    tab = await raw_client(1, token=phone.token, device_id="browser")
    session_id = phone.named("session:opened")[0]["session_id"]
    by = {"device_id": "browser", "session_id": session_id}
    await phone.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    assert (await tab.event("conversation:changed"))["by"] == {"user_id": phone.user_id, **by}
    await tab.call("session:sync", {"positions": {new_id: None}})
    await phone.call("draft:save", {"conversation_id": new_id, "text": "not yet"})
    await phone.call("typing:set", {"conversation_id": new_id, "typing": True})
    await phone.mark(new_id, read=1)
    for client in (phone, tab):
        draft = (await client.event("draft:changed"))["draft"]
        for echo in (draft, await client.event("typing:changed"), await client.event("marks:moved")):
            assert echo.items() >= by.items()
    sync = await tab.call("session:sync", {"positions": {new_id: None}})
    assert sync["conversations"][new_id]["draft"] == {"rev": 1, **by, "text": "not yet"}


async def test_an_sdk_client_has_the_latest_draft_of_its_user_also_one_of_its_own_from_before(new_client, new_id):
    before = await new_client("Ann", device_id="browser")
    mine = await before.create(conversation_id=new_id, access="open", agent="off")
    beside = await new_client(node=1, token=before.token, device_id="browser")
    theirs = await beside.join(new_id)
    drafts: Inbox[dict[str, Any]] = Inbox()
    beside.on("draft:changed", drafts)
    await mine.save_draft("half")
    await drafts.first(lambda event: event["draft"]["session_id"] == before.session_id, "the draft", 5)
    assert (mine.draft, theirs.draft) == ("half", "half")
    await before.go_offline()
    await theirs.save_draft("half a thought")
    await before.go_online()
    assert mine.draft == "half a thought"
    again = await new_client(node=2, token=before.token, device_id="browser")
    assert (await again.join(new_id)).draft == "half a thought"


async def test_leaving_on_one_device_ends_it_on_all(raw_client, new_id):
    phone = await raw_client(0)
    laptop = await raw_client(1, token=phone.token)
    await phone.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await laptop.call("session:sync", {"positions": {new_id: None}})
    await phone.call("conversation:leave", {"conversation_id": new_id})
    await laptop.until(lambda: any(e["type"] == "member_left" for e in laptop.named("entry:appended")))
    assert (await laptop.call("conversation:list", {}))["conversations"] == []


async def test_an_invitation_shows_at_once_and_in_the_list_until_it_is_taken(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    await ann.call(
        "conversation:create",
        {"conversation_id": new_id, "access": "open", "title": "Plans", "agent": "off", "invite": [bob.user_id]},
    )
    await bob.until(lambda: bob.named("conversation:changed"))
    assert bob.named("conversation:changed")[0]["change"] == "invited"
    item = {"conversation_id": new_id, "title": "Plans", "role": "invited"}
    assert (await bob.call("conversation:list", {}))["conversations"] == [item]
    await bob.call("conversation:join", {"conversation_id": new_id})
    (item,) = (await bob.call("conversation:list", {}))["conversations"]
    assert (item["role"], item["position"]["seq"], item["unread"]) == ("member", 2, 0)
    await ann.call("message:send", {"conversation_id": new_id, "request_id": "c1", "text": "hi"})
    (item,) = (await bob.call("conversation:list", {}))["conversations"]
    assert item["unread"] == 1
    await bob.mark(new_id, read=3)
    (item,) = (await bob.call("conversation:list", {}))["conversations"]
    assert item["unread"] == 0


async def test_only_the_owner_invites_where_invitations_are_the_owners(raw_client, new_id):
    ann, bob, cid = await raw_client(0), await raw_client(1, name="Bob"), await raw_client(2, name="Cid")
    await ann.call(
        "conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off", "invites": "owner"}
    )
    joined = await bob.call("conversation:join", {"conversation_id": new_id})
    assert (joined["invites"], joined["role"]) == ("owner", "member")
    asked = {"conversation_id": new_id, "user_ids": [cid.user_id]}
    assert (await bob.call("conversation:invite", asked))["error"]["code"] == "not_allowed"
    await cid.settled()
    assert not [p for p in cid.named("conversation:changed") if p["change"] == "invited"]
    assert (await ann.call("conversation:invite", asked))["invited"] == [cid.user_id]


async def test_a_user_is_online_while_one_device_remains(raw_client, new_id):
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})

    def told(user_id: str) -> list[bool]:
        return [p["online"] for p in ann.named("presence:changed") if p["user_id"] == user_id]

    def online(devices: list[dict]) -> int:
        return sum(device["online"] for device in devices)

    phone = await raw_client(2, token=bob.token)
    assert online(phone.named("session:opened")[0]["devices"]) == 2
    await bob.sio.disconnect()
    await phone.until(lambda: any(online(p["devices"]) == 1 for p in phone.named("devices:changed")))
    await ann.settled()
    assert told(bob.user_id) == []
    await phone.sio.disconnect()
    await ann.until(lambda: told(bob.user_id) == [False])
    roles = (await ann.call("members:list", {"conversation_id": new_id}))["members"]
    assert {m["user_id"]: m["online"] for m in roles} == {ann.user_id: True, bob.user_id: False}
    back = await raw_client(0, token=bob.token)
    await ann.until(lambda: told(bob.user_id) == [False, True])
    device, *others = back.named("session:opened")[0]["devices"]
    assert [s["session_id"] for s in device["sessions"]] == [back.named("session:opened")[0]["session_id"]]
    assert online(others) == 0


@pytest.mark.faults
async def test_a_dead_nodes_sessions_vanish_by_themselves(start_cluster):
    from redis.asyncio import Redis

    from sio_clients import ChatClient, guest_token

    cluster = await start_cluster(nodes=2)
    redis = Redis.from_url(cluster.redis_url)
    ann_id, ann_token = await guest_token(cluster.urls[0], "Ann")
    bob_id, bob_token = await guest_token(cluster.urls[0], "Bob")
    async with ChatClient(cluster.urls[0], ann_token) as ann, ChatClient(cluster.urls[1], bob_token) as bob:
        conversation = await ann.create(access="open", agent="off")
        await bob.join(conversation.id)
        presence: Inbox[dict[str, Any]] = Inbox()
        ann.on("presence:changed", presence)
        assert await redis.hlen(user_sessions(bob_id)) == 1
        await cluster.signal_node(cluster.ports[1], signal.SIGKILL)
        await presence.first(lambda told: told["user_id"] == bob_id and not told["online"], "Bob's going", 15)
        assert [told for told in presence.items if told["user_id"] == bob_id] == [
            {"user_id": bob_id, "online": False}
        ]
        assert await redis.hlen(user_sessions(bob_id)) == 0
        assert await redis.hlen(user_sessions(ann_id)) == 1
        assert len(await redis.keys("rg:node:*:sessions")) == 1
    await redis.aclose()
