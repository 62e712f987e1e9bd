"""A node that lost the bus notices, says so, and makes good what its devices missed."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from sio_clients import ChatClient, Entry, guest_token
from sio_server.cluster.status import read_status
from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.store.connection import connect
from sio_server.store.scripts import Scripts
from tests.bus import bus_lost
from tests.conftest import RawClient
from tests.marking import mark_read
from tests.waiting import Inbox, first_of, poll, within

pytestmark = pytest.mark.faults


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http:
        async with http.get(url + "/ready") as response:
            return response.status, await response.json()


async def until_ready(url: str, wanted: int, timeout: float) -> float:
    """Poll /ready until it answers `wanted`; returns how long that took."""
    began = time.monotonic()
    last: list[Any] = []

    async def is_wanted() -> bool:
        last[:] = await ready(url)
        return bool(last[0] == wanted)

    await poll(is_wanted, f"{wanted} of {url}/ready", timeout, came=lambda: last)
    return time.monotonic() - began


def _is_at(head: int, entry: Entry) -> bool:
    return entry.seq >= head


async def test_entries_published_while_the_bus_was_lost_reach_every_device(start_cluster):
    cluster = await start_cluster(nodes=2)
    redis: Redis = connect(cluster.redis_url)
    log = ConversationLog(Scripts(redis))
    user_id, token = await guest_token(cluster.urls[0], "Ann")
    author = Author(user_id, "Ann", "elsewhere")
    async with ChatClient(cluster.urls[0], token) as zero, ChatClient(cluster.urls[1], token) as one:
        conversation = await zero.create(access="open", agent="off")
        views = [conversation, await one.join(conversation.id)]
        marks: Inbox[dict[str, Any]] = Inbox()
        one.on("conversation:synced", marks)
        head = 1
        for turn in range(10):
            # What is appended while no node has the bus is published to nobody: no later entry shows the gap.
            async with bus_lost(redis):
                for number in range(3):
                    ack, _ = await log.append_message(
                        conversation.id, author, f"c{turn}-{number}", "x", run_id="r"
                    )
                    head = ack["seq"]
                await mark_read(log, conversation.id, user_id, head)
            for view in views:
                await first_of(view.entries(), partial(_is_at, head), f"entry {head}", 5)
        assert head == 31
        await marks.first(lambda synced: synced["reads"] == {user_id: 31}, "the last mark", 5)
    await redis.aclose()


async def test_an_old_leave_that_is_read_late_does_not_put_out_a_member_who_has_come_back(start_cluster):
    cluster = await start_cluster(nodes=1)
    redis: Redis = connect(cluster.redis_url)
    people = []
    for name in ("Ann", "Bob"):
        _, token = await guest_token(cluster.urls[0], name)
        person = RawClient()
        await person.connect(cluster.urls[0], {"token": token})
        people.append(person)
    ann, bob = people
    room = {"conversation_id": "c"}
    await ann.call("conversation:create", {**room, "access": "open", "agent": "off"})
    await bob.call("conversation:join", room)
    for turn in range(5):
        # The leave and the return both come to the node by reading, after the return has been carried out.
        await redis.client_kill_filter(_type="pubsub", skipme=False)
        await bob.call("conversation:leave", room)
        await bob.call("conversation:join", room)
        ack = await ann.call("message:send", {**room, "request_id": f"m{turn}", "text": "still there?"})

        def has_it(seq: int = ack["seq"]) -> bool:
            read = [entry for synced in bob.named("conversation:synced") for entry in synced["entries"]]
            return any(entry["seq"] == seq for entry in [*bob.named("entry:appended"), *read])

        await bob.until(has_it)
        assert (await bob.call("typing:set", {**room, "typing": True}))["ok"] is True
    for person in people:
        await person.sio.disconnect()
    await redis.aclose()


async def test_a_hung_redis_is_noticed_within_five_seconds_and_no_handler_waits_for_it(start_cluster):
    cluster = await start_cluster(nodes=2)
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls[0], token) as client:
        conversation = await client.create(access="open", agent="off")
        await cluster.signal_redis(signal.SIGSTOP)
        try:
            sending = asyncio.create_task(conversation.send("while Redis hangs"))
            assert await until_ready(cluster.urls[0], 503, 6) < 5
            status, body = await ready(cluster.urls[0])
            assert (status, body["ready"]) == (503, False)
            assert not (body["redis"] and body["bus"])
        finally:
            await cluster.signal_redis(signal.SIGCONT)
        # The same send, repeated by the client, is in the log once.
        async with within(20, "the ack"):
            ack = await sending
        await until_ready(cluster.urls[0], 200, 10)
        texts = [entry.text for entry in await conversation.log() if entry.type == "message"]
        assert (texts, ack.seq) == (["while Redis hangs"], 2)


async def test_a_redis_that_hung_for_long_makes_nobody_look_offline(start_cluster):
    cluster = await start_cluster(nodes=3)
    _, ann_token = await guest_token(cluster.urls[0], "Ann")
    carl_id, carl_token = await guest_token(cluster.urls[2], "Carl")
    carl = RawClient()
    await carl.connect(cluster.urls[2], {"token": carl_token})
    bob_id, bob_token = await guest_token(cluster.urls[0], "Bob")
    async with ChatClient(cluster.urls[0], ann_token) as ann, ChatClient(cluster.urls[1], bob_token) as bob:
        conversation = await ann.create(access="open", agent="off")
        await bob.join(conversation.id)
        await carl.call("conversation:join", {"conversation_id": conversation.id})
        presence: Inbox[dict[str, Any]] = Inbox()
        ann.on("presence:changed", presence)
        await cluster.signal_redis(signal.SIGSTOP)
        await asyncio.sleep(7)  # longer than a node may be silent: the length of the pause is the fault itself
        await cluster.signal_redis(signal.SIGCONT)
        for url in cluster.urls:
            await until_ready(url, 200, 10)
        # A node that is lost now is judged and reaped. Whoever else was to be reaped has been by then.
        await cluster.signal_node(cluster.ports[2], signal.SIGKILL)
        await presence.first(lambda told: told == {"user_id": carl_id, "online": False}, "Carl's going")
        assert {"user_id": bob_id, "online": False} not in presence.items
        members = {member["user_id"]: member["online"] for member in await conversation.members()}
        assert members[bob_id] is True


async def test_a_session_that_ended_while_redis_hung_is_counted_no_more(start_cluster):
    cluster = await start_cluster(nodes=1)
    _, token = await guest_token(cluster.urls[0], "Ann")
    client = RawClient()
    await client.connect(cluster.urls[0], {"token": token})
    redis = connect(cluster.redis_url)
    assert (await read_status(redis))["active_sessions"] == 1
    await cluster.signal_redis(signal.SIGSTOP)
    await client.sio.disconnect()
    # Until the node has tried to write the session's end, and could not.
    assert await until_ready(cluster.urls[0], 503, 6) < 5
    await cluster.signal_redis(signal.SIGCONT)

    async def is_empty() -> bool:
        return not (await read_status(redis))["active_sessions"]

    await poll(is_empty, "the end of the session", 10)
    await redis.aclose()


async def test_a_send_during_a_hung_redis_is_answered_with_a_retryable_error_in_time(start_cluster):
    cluster = await start_cluster(nodes=1)
    _, token = await guest_token(cluster.urls[0], "Ann")
    client = RawClient()
    await client.connect(cluster.urls[0], {"token": token})
    await client.call("conversation:create", {"conversation_id": "c", "access": "open", "agent": "off"})
    await cluster.signal_redis(signal.SIGSTOP)
    try:
        began = time.monotonic()
        ack = await client.call("message:send", {"conversation_id": "c", "request_id": "m", "text": "hi"})
        took = time.monotonic() - began
    finally:
        await cluster.signal_redis(signal.SIGCONT)
    assert ack["error"]["code"] == "unavailable"
    assert ack["error"]["retryable"] is True
    # Two tries of a second each, and the wait between; the rest is for a noisy machine.
    assert took < 8
    await client.sio.disconnect()
