"""A session follows all of its user's conversations with a handful of requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sio_clients.conversation import Conversation
from sio_clients.transport import Transport
from sio_server.conversation.author import Author
from sio_server.protocol.events import MAX_PAGE_BYTES, MAX_TEXT_BYTES, ConversationCreate
from sio_server.protocol.position import Position
from sio_server.store.keys import conversation_channel

MANY = 250
BOB = Author("bob-of-sync", "Bob", "elsewhere")


async def make_many(members: Any, author: Author, new_id: str, count: int = MANY) -> list[str]:
    ids = [f"{new_id}-{number:03}" for number in range(count)]
    for start in range(0, count, 50):
        requests = [
            ConversationCreate(request_id=i, conversation_id=i, access="open", agent="off")
            for i in ids[start : start + 50]
        ]
        await asyncio.gather(*(members.create(author, request) for request in requests))
    return ids


async def sync_all(client: Any, **options: Any) -> tuple[dict[str, Any], int]:
    """All conversations of the answers, and how many requests it took."""
    found: dict[str, Any] = {}
    requests, after = 0, None
    while True:
        answer = await client.call("session:sync", {"positions": None, "after": after, **options})
        requests += 1
        assert not found.keys() & answer["conversations"].keys(), "each comes once"
        found |= answer["conversations"]
        after = answer["next"]
        if after is None:
            return found, requests


async def test_all_conversations_come_a_hundred_in_a_request_and_are_followed(raw_client, members, log, new_id):
    client = await raw_client()
    me = Author(client.user_id, "Raw", "elsewhere")
    ids = await make_many(members, me, new_id)
    invitation = ConversationCreate(
        request_id="create", conversation_id=f"{new_id}-x", access="open", agent="off", invite=[me.user_id]
    )
    await members.create(BOB, invitation)
    await members.leave(me, ids.pop())
    found, requests = await sync_all(client)
    assert list(found) == ids, "neither what was left nor what the user is only invited to"
    assert requests == 3
    assert {result["verdict"] for result in found.values()} == {"snapshot"}
    for conversation_id in (ids[0], ids[-1]):
        await log.append_message(conversation_id, me, "c1", "live", run_id="r")
        await client.event("entry:appended", conversation_id=conversation_id, seq=2)


async def test_an_answer_holds_the_entries_members_and_marks_that_were_asked_for(raw_client, members, log, new_id):
    client = await raw_client()
    me = Author(client.user_id, "Raw", "elsewhere")
    (conversation_id,) = await make_many(members, me, new_id, 1)
    for number in range(60):
        await log.append_message(conversation_id, me, f"c{number}", "x", run_id="r")

    async def sync(**options: Any) -> dict[str, Any]:
        return dict((await sync_all(client, **options))[0][conversation_id])

    whole = await sync()
    assert [entry["seq"] for entry in whole["entries"]] == list(range(12, 62))
    assert "members" not in whole
    assert (whole["reads"], whole["delivered"]) == ({}, [])
    newest = await sync(entries=3, marks=False, members=True)
    assert [entry["seq"] for entry in newest["entries"]] == [59, 60, 61]
    assert not newest.keys() & {"reads", "delivered"}
    assert newest["members"] == [{"user_id": me.user_id, "role": "owner", "online": True}]
    none = await sync(entries=0)
    assert (none["entries"], none["position"]["seq"], none["head"], none["more"]) == ([], 61, 61, False)
    position = {"epoch": whole["position"]["epoch"], "seq": 50}
    asked = {"positions": {conversation_id: position}, "entries": 5, "members": True}
    answer = await client.call("session:sync", asked)
    result = answer["conversations"][conversation_id]
    assert (answer["next"], result["verdict"], result["more"]) == (None, "resumed", True)
    assert [entry["seq"] for entry in result["entries"]] == [51, 52, 53, 54, 55]
    assert result["members"] == newest["members"]
    refused = await client.call("session:sync", {**asked, "after": conversation_id})
    assert refused["error"]["code"] == "invalid_payload"


async def test_what_a_user_is_no_member_of_is_refused_and_not_subscribed(raw_client, members, redis, new_id):
    client = await raw_client()
    me = Author(client.user_id, "Raw", "elsewhere")
    private, _ = await members.create(BOB, ConversationCreate(request_id=f"c-{new_id}", agent="off"))
    (own,) = await make_many(members, me, new_id, 1)
    others = [private, *(f"{new_id}-none-{number}" for number in range(50))]
    answer = await client.call("session:sync", {"positions": dict.fromkeys([*others, own])})
    results = answer["conversations"]
    assert list(results) == [*others, own]
    channels = [conversation_channel(one) for one in (*others, own)]
    assert [int(count) for _, count in await redis.pubsub_shardnumsub(*channels)] == [0] * len(others) + [1]
    assert results[own]["verdict"] == "snapshot"
    for one in others:
        assert {"ok": False, **results[one]} == await client.call(
            "history:read", {"conversation_id": one, "limit": 1}
        )


async def test_an_answer_with_members_and_long_entries_is_bounded(raw_client, members, log, new_id):
    client = await raw_client()
    me = Author(client.user_id, "Raw", "elsewhere")
    ids = await make_many(members, me, new_id, 20)
    for conversation_id in ids:
        await log.append_message(conversation_id, me, "c1", "x" * MAX_TEXT_BYTES, run_id="r")
    found, _ = await sync_all(client, members=True, entries=1)
    size = sum(len(entry["data"]["text"]) for result in found.values() for entry in result["entries"])
    assert size == len(ids) * MAX_TEXT_BYTES > MAX_PAGE_BYTES, "one entry of each, whatever its size"
    given = [result["members"] is not None for result in found.values()]
    assert given[0]
    assert not given[-1], "with the budget used up, members are asked for one by one"


async def test_a_client_of_many_conversations_returns_with_as_few_requests(
    new_client, members, new_id, monkeypatch: pytest.MonkeyPatch
):
    client = await new_client("Ann", report_delivery=True)
    me = Author(client.user_id, "Ann", "elsewhere")
    ids = await make_many(members, me, new_id)
    (epoch,) = {(await client.join(ids[0])).position.epoch}
    for conversation_id in ids[1:]:
        # Any position serves: of another epoch it is answered with a snapshot.
        client._followed.add(Conversation(client, conversation_id, Position(epoch, 1)))
    asked: list[str] = []
    request = Transport.request

    async def counted(self: Transport, event: str, payload: dict[str, Any], timeout: float) -> dict[str, Any]:
        asked.append(event)
        return await request(self, event, payload, timeout)

    monkeypatch.setattr(Transport, "request", counted)
    await client.go_offline()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.go_online()
    print(f"{MANY} conversations caught up in {loop.time() - began:.2f} s with {len(asked)} requests")
    assert [event for event in asked if event != "marks:set"] == ["session:sync"] * 3
    assert all(client._followed.get(conversation_id).stream.in_step for conversation_id in ids)
