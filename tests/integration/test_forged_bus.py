"""A client that may publish on the bus, but not write to Redis, alters no log, ends nothing and breaks no node."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from sio_server.conversation.log import Handed
from sio_server.store.keys import conversation_channel, user_channel
from tests.bus import entry_message, framed
from tests.integration.test_dialog import next_of
from tests.waiting import Inbox, poll


def false_entry(
    conversation_id: str, epoch: str, seq: int, type: str = "message", n: int | None = None, **data: Any
) -> str:
    """An entry with the number that its seq has in a conversation without runs, or `n`."""
    said = {"role": "user", "user_id": "mallory", "name": "Ann", "text": "send me your password", **data}
    entry = {"v": 2, "conversation_id": conversation_id, "epoch": epoch, "seq": seq, "type": type}
    entry["n"] = n or seq
    entry |= {"ts": "2026-11-23T07:12:00.844Z", "data": said}
    about = said["user_id"] if type == "member_left" else said.get("run_id", "-")
    return entry_message(entry, about)


async def tell(redis: Redis, conversation_id: str, message: Any) -> None:
    """Publish on the channel of a conversation, which some node hears."""
    assert await redis.spublish(conversation_channel(conversation_id), message) > 0


@pytest.fixture
async def pair(raw_client, new_id):
    """Ann and Bob in a conversation, on two nodes, and the epoch of its log."""
    ann, bob = await raw_client(0), await raw_client(1, name="Bob")
    created = await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await bob.call("conversation:join", {"conversation_id": new_id})
    await ann.until(lambda: [e for e in ann.named("entry:appended") if e["seq"] == 2])
    return ann, bob, created["position"]["epoch"]


async def send(client, conversation_id: str, request_id: str) -> int:
    ack = await client.call(
        "message:send", {"conversation_id": conversation_id, "request_id": request_id, "text": request_id}
    )
    assert ack["ok"], ack
    return ack["seq"]


def entries_of(client) -> list[dict[str, Any]]:
    """The entries that were delivered, one by one or because a node had missed them, without those of markers."""
    found: list[dict[str, Any]] = []
    for name, payload in client.events:
        if name in ("entry:appended", "conversation:synced"):
            found += [payload] if name == "entry:appended" else payload["entries"]
    return [entry for entry in found if not entry["conversation_id"].startswith("marker-")]


def seqs(client) -> list[int]:
    return [entry["seq"] for entry in entries_of(client)]


async def test_garbage_and_the_library_s_own_commands_are_ignored(cluster, pair, redis, new_id):
    ann, bob, _ = pair
    sids = [client.named("session:opened")[0]["session_id"] for client in (ann, bob)]
    in_it = {"conversation_id": new_id, "n": 3}
    garbage: list[Any] = [
        b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\xff\xfe\x00",
        b'N 3\n42["run:written",{"text":"\xff"}]',
        "[" * 200_000,
        "E " * 200_000,
        "",
        "\n",
        framed("X", "session:opened", {"user_id": "mallory"}),
        framed("N", "run:written", in_it),
        framed("N three", "run:written", in_it),
        framed("N 3", "run:finished", in_it),
        framed("N 3", "conversation:synced", in_it),
        framed("N 3", "run:written", in_it)[:-1],
        framed("D", "devices:changed", {"devices": []}),
        "S " + " ".join(sids) + '\n{"reason":"signed_out"}',
    ]
    for sid in sids:
        for method in ("disconnect", "close_room", "leave_room", "enter_room", "callback"):
            command = {"method": method, "sid": sid, "namespace": "/", "room": sid, "ignore_queue": False}
            garbage.append(json.dumps({**command, "host_id": "x", "id": 1, "args": []}))
    users = [user_channel(client.user_id) for client in (ann, bob)]
    for message in garbage * 20:
        await tell(redis, new_id, message)
        for channel in users:
            assert await redis.spublish(channel, message) == 1
    for turn in range(3):
        await send(ann, new_id, f"m{turn}")
    await bob.until(lambda: seqs(bob)[-1:] == [5])
    assert seqs(bob) == [2, 3, 4, 5] or seqs(bob) == [3, 4, 5]
    async with aiohttp.ClientSession() as http:
        for url in cluster.urls:
            async with http.get(f"{url}/ready") as response:
                assert response.status == 200
    assert all(not client.named("session:ended") and client.sio.connected for client in (ann, bob))


async def test_a_gap_before_a_forged_entry_is_not_waited_for(pair, redis, new_id):
    """A gap that cannot be filled must not make a node read for ever, nor hold up what is true."""
    ann, bob, epoch = pair
    await tell(redis, new_id, false_entry(new_id, epoch, 10**12))
    await tell(redis, new_id, false_entry(new_id, epoch, 7))
    await tell(redis, new_id, false_entry(new_id, epoch, 7, n=3))
    await asyncio.gather(ann.settled(), bob.settled())

    async def scripts_run() -> int:
        return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])

    async def are_done() -> bool:
        """Whether few scripts run now: nodes that go on reading run hundreds, and what other tests left ends."""
        before = await scripts_run()
        await asyncio.sleep(0.5)  # the time in which their reads are counted
        return await scripts_run() - before < 100

    await poll(are_done, "the end of the nodes' reading", 20)
    for turn in range(6):  # also where a false entry lay
        await send(ann, new_id, f"m{turn}")
    for client in (ann, bob):
        await client.until(lambda client=client: seqs(client)[-1:] == [8])
        texts = [entry["data"].get("text") for entry in entries_of(client)]
        assert "send me your password" not in texts
        assert seqs(client) == sorted(set(seqs(client)))


async def test_a_forged_entry_is_in_no_log_and_gone_with_the_next_sync(pair, raw_client, redis, new_id):
    """The one false thing that can be shown is what seems to be the next entry; an ACL prevents it (test_acl)."""
    ann, bob, epoch = pair
    await tell(redis, new_id, false_entry(new_id, epoch, 3))
    assert await send(ann, new_id, "true") == 3
    page = await bob.call("history:read", {"conversation_id": new_id})
    assert [entry["data"].get("text") for entry in page["entries"]][2:] == ["true"]
    snapshot = await (await raw_client(2, token=bob.token)).call("conversation:join", {"conversation_id": new_id})
    assert (snapshot["head"], snapshot["entries"][-1]["data"]["text"]) == (3, "true")
    assert (await bob.call("conversation:join", {"conversation_id": new_id}))["entries"][-1]["data"][
        "text"
    ] == "true"


async def test_a_false_epoch_makes_a_node_ask_the_log_and_nothing_else(pair, redis, new_id):
    ann, bob, epoch = pair
    await tell(redis, new_id, false_entry(new_id, "another", 1))
    for client in (ann, bob):
        synced = await client.event("conversation:synced")
        assert (synced["position"], synced["entries"]) == ({"epoch": epoch, "seq": 2}, [])
    await send(ann, new_id, "m")
    await bob.until(lambda: seqs(bob)[-1:] == [3])
    for client in (ann, bob):
        assert not client.named("conversation:reset")


async def test_a_true_entry_whose_number_a_false_event_had_is_not_missed(pair, redis, new_id):
    ann, bob, _ = pair
    false = {
        "conversation_id": new_id,
        "n": 3,
        "run_id": "r",
        "version": 1,
        "part": 0,
        "text": "send me your password",
    }
    await tell(redis, new_id, framed("N 3", "run:written", false))
    for client in (ann, bob):
        await client.event("run:written")
    assert await send(ann, new_id, "true") == 3
    for client in (ann, bob):
        await client.event("conversation:reset")
        sync = await client.call("session:sync", {"positions": {new_id: None}})
        assert sync["conversations"][new_id]["entries"][-1]["data"]["text"] == "true"
    await send(ann, new_id, "next")
    await bob.until(lambda: seqs(bob)[-1:] == [4])


async def test_a_false_leaving_takes_no_membership(pair, redis, new_id):
    ann, bob, epoch = pair
    await tell(redis, new_id, false_entry(new_id, epoch, 3, "member_left", user_id=bob.user_id))
    assert await send(bob, new_id, "still-a-member") == 3
    members = await ann.call("members:list", {"conversation_id": new_id})
    assert {member["user_id"] for member in members["members"]} == {ann.user_id, bob.user_id}
    sync = await bob.call("session:sync", {"positions": {new_id: None}})
    assert sync["conversations"][new_id]["head"] == 3
    # Ann's node has delivered what the log does not hold: with her next message the log gets a new epoch.
    await send(ann, new_id, "and-is-told")
    await bob.until(lambda: bob.named("conversation:reset"))
    sync = await bob.call("session:sync", {"positions": {new_id: None}})
    texts = [entry["data"].get("text") for entry in sync["conversations"][new_id]["entries"]]
    assert texts[2:] == ["still-a-member", "and-is-told"]


async def test_a_forged_end_of_a_run_on_the_bus_ends_no_run(new_client, redis, new_id):
    client = await new_client()
    conversation = await client.create(conversation_id=new_id, access="open", agent="always", graph="echo")
    deltas: Inbox[Any] = Inbox()
    client.on("run:written", deltas)
    text = " ".join(f"word{n}" for n in range(150))
    ack = await conversation.send(text)
    await deltas.first(what="a delta")
    for type in ("stopped", "answer"):
        end = false_entry(new_id, "e", 3, type, n=10**9, run_id=ack.run_id)
        await tell(redis, new_id, end)
    answer = await next_of(conversation, "answer", "failed", "stopped")
    assert answer.type == "answer"
    assert "word149" in answer.text
    page = await client.request("history:read", {"conversation_id": new_id})
    assert [entry["type"] for entry in page["entries"]] == ["conversation_created", "message", "answer"]


async def test_a_new_epoch_of_a_log_is_told_to_the_sessions_of_every_node(pair, log, new_id):
    ann, bob, epoch = pair
    # An entry that was delivered and is not in the log any more: the log's end has been lost.
    new = await log.verify(new_id, Handed(epoch, 99, "2026-11-23T07:12:00.844Z"))
    assert new != epoch
    for client in (ann, bob):
        await client.until(lambda client=client: client.named("conversation:reset"))
        assert client.named("conversation:reset") == [{"conversation_id": new_id}]


async def test_a_false_reset_starts_no_conversation_over(pair, redis, new_id):
    ann, bob, _ = pair
    for turn in range(3):
        await tell(redis, new_id, "R ffffffffffff\n")
        seq = await send(ann, new_id, f"m{turn}")
        for client in (ann, bob):
            await client.until(lambda client=client, seq=seq: seqs(client)[-1:] == [seq])
    for client in (ann, bob):
        assert not client.named("conversation:reset")
        assert not client.named("conversation:synced")
