"""Reactions and answers to messages: entries of the log, each change once."""

from __future__ import annotations

from typing import Any

from sio_server.store.keys import MAX_REACTIONS, conversation_keys

EMOJI = ["👍", "👎", "❤️", "🎉", "😄", "😢", "🚀", "👀", "🔥", "✅", "🙏"]


async def opened(raw_client: Any, new_id: str) -> tuple[Any, Any, int]:
    """Ann and Bob in an open conversation, and the seq of a message of Ann's."""
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})
    ack = await ann.call("message:send", {"conversation_id": new_id, "text": "hello"})
    return ann, bob, ack["seq"]


async def test_a_reaction_is_an_entry_once_and_can_be_taken_back(raw_client: Any, new_id: str) -> None:
    ann, bob, seq = await opened(raw_client, new_id)
    request = {"conversation_id": new_id, "seq": seq, "reaction": "👍", "set": True}
    given = await bob.call("reaction:set", request)
    assert given == {"ok": True, **request, "entry_seq": seq + 1}
    entry = await ann.event("entry:appended", type="reaction_changed")
    assert entry["data"] == {"user_id": bob.user_id, "name": "Bob", "to": seq, "reaction": "👍", "set": True}
    assert await bob.call("reaction:set", request) == given, "it is as it should be"
    taken = await bob.call("reaction:set", {**request, "set": False})
    assert taken["entry_seq"] == seq + 2
    assert (await bob.call("reaction:set", {**request, "set": False}))["entry_seq"] is None
    assert (await ann.call("history:read", {"conversation_id": new_id}))["head"] == seq + 2


async def test_reactions_are_not_unread_and_begin_no_run(raw_client: Any) -> None:
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    made = await ann.call("conversation:create", {"agent": "mention", "invite": [bob.user_id]})
    room = {"conversation_id": made["conversation_id"]}
    await bob.call("conversation:join", room)
    seq = (await ann.call("message:send", {**room, "text": "hello"}))["seq"]
    read = await ann.mark(room["conversation_id"], read=seq)
    assert read["read"] == seq
    await bob.call("reaction:set", {**room, "seq": seq, "reaction": "🎉", "set": True})
    (listed,) = (await ann.call("conversation:list", {}))["conversations"]
    assert (listed["unread"], listed["last_entry"]["text"]) == (0, "hello")
    assert not ann.named("run:changed")


async def test_a_reaction_needs_an_entry_that_says_something_and_an_emoji(
    raw_client: Any, new_id: str, redis: Any
) -> None:
    ann, bob, seq = await opened(raw_client, new_id)
    eve = await raw_client(2, name="Eve")
    request = {"conversation_id": new_id, "seq": seq, "reaction": "👍", "set": True}

    async def code(client: Any, **changed: Any) -> str:
        ack = await client.call("reaction:set", {**request, **changed})
        return str(ack["error"]["code"])

    assert await code(eve) == "not_a_member"
    assert await code(bob, seq=1) == "not_found"  # the beginning of the conversation
    assert await code(bob, seq=seq + 99) == "not_found"
    assert await code(bob, reaction="like") == "invalid_payload"
    for reaction in EMOJI[:MAX_REACTIONS]:
        assert (await bob.call("reaction:set", {**request, "reaction": reaction}))["ok"]
    assert await code(bob, reaction=EMOJI[MAX_REACTIONS]) == "invalid_payload"
    assert (await ann.call("reaction:set", {**request, "reaction": EMOJI[MAX_REACTIONS]}))["ok"], "it is another's"
    await ann.call("message:delete", {"conversation_id": new_id, "seq": seq})
    assert await code(bob, reaction="👍", set=False) == "not_found"
    assert await redis.hlen(conversation_keys(new_id).reactions) == 2


async def test_a_message_answers_one_that_is_there(raw_client: Any, new_id: str) -> None:
    ann, bob, seq = await opened(raw_client, new_id)
    ack = await bob.call("message:send", {"conversation_id": new_id, "text": "hi", "reply_to": seq})
    entry = await ann.event("entry:appended", seq=ack["seq"])
    assert entry["data"]["reply_to"] == seq
    edited = await bob.call(
        "message:edit", {"conversation_id": new_id, "seq": ack["seq"], "text": "hi!", "reply_to": seq}
    )
    assert (await ann.event("entry:appended", seq=edited["seq"]))["data"]["reply_to"] == seq
    for wrong in (1, 0, seq + 99):
        refused = await bob.call("message:send", {"conversation_id": new_id, "text": "x", "reply_to": wrong})
        assert refused["error"]["code"] == "invalid_payload", wrong
        assert refused["error"]["message"].startswith("reply_to")
    await ann.call("message:delete", {"conversation_id": new_id, "seq": seq})
    refused = await bob.call("message:send", {"conversation_id": new_id, "text": "x", "reply_to": seq})
    assert refused["error"]["code"] == "invalid_payload"


async def test_a_repeated_send_with_another_reply_is_another_message(raw_client: Any, new_id: str) -> None:
    ann, _, seq = await opened(raw_client, new_id)
    request = {"conversation_id": new_id, "request_id": "same", "text": "hi", "reply_to": seq}
    first = await ann.call("message:send", request)
    assert await ann.call("message:send", request) == first
    other = await ann.call("message:send", {**request, "reply_to": None})
    assert other["error"]["code"] == "request_id_reused"
