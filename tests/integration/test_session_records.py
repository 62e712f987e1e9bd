"""How sessions are kept in Redis: one round trip for a handshake, ends in batches, presence as it is at last."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from sio_server.gateway.sessions.ends import REMOVED_AT_ONCE
from sio_server.gateway.sessions.presence import AGAIN_S, COMING_S, OVERDUE_S, PresenceNews
from sio_server.gateway.sessions.session import Session
from sio_server.local.proxy import Proxy
from sio_server.protocol.errors import Unavailable
from sio_server.store.connection import connect
from sio_server.store.keys import (
    LEAVING,
    ConversationKeys,
    node_sessions,
    user_channel,
    user_conversations,
    user_room,
    user_sessions,
)
from sio_server.tasks import end_tasks
from sio_server.users.presence import PresenceRecords
from sio_server.users.sign_out import SignedOut
from tests.conftest import RawClient
from tests.integration.session_parts import GRACE_S, Edge, SessionParts, session_of
from tests.integration.test_redis_connection import bare_redis
from tests.integration.test_sign_out import token_of
from tests.waiting import poll, within


def session_on(node: str, user_id: str, device_id: str = "phone") -> Session:
    return Session(f"s-{node}-{user_id}", user_id, "Ann", device_id, "Phone", issued_ms=1)


@pytest.fixture
async def nodes(redis, new_id) -> AsyncIterator[list[SessionParts]]:
    """The sessions of two nodes."""
    made = [SessionParts(redis, f"node-{new_id}-{number}") for number in range(2)]
    yield made
    for parts in made:
        await parts.stop()


# A handshake


async def test_a_handshake_takes_one_call_of_redis_after_the_subscription(cluster, new_id):
    client, seen = RawClient(), []
    await client.connect(cluster.urls[0], {"token": token_of(f"{new_id}-first"), "device_id": "phone"})
    async with Redis.from_url(cluster.redis_url, decode_responses=True) as redis, redis.monitor() as monitor:
        newcomer = RawClient()
        await newcomer.connect(cluster.urls[0], {"token": token_of(new_id), "device_id": "phone"})
        await newcomer.until(lambda: newcomer.named("session:opened"))
        async with Redis.from_url(cluster.redis_url) as other:
            await other.echo(f"over-{new_id}")
        async with within(10, "the end of what Redis was asked"):
            async for command in monitor.listen():
                if f"over-{new_id}" in command["command"]:
                    break
                if new_id in command["command"] and command["client_type"] != "lua":
                    seen.append(command["command"].partition(" ")[0])
    for one in (client, newcomer):
        await one.sio.disconnect()
    assert seen == ["SSUBSCRIBE", "HSET", "EVALSHA"]


async def test_a_sign_out_between_the_subscription_and_the_writing_is_seen_by_the_writing(redis, nodes, new_id):
    parts, _ = nodes

    async def revoke_and_subscribe(channel: str) -> None:
        await Edge.subscribe(parts.edge, channel)
        await parts.refused_tokens.revoke(new_id)

    parts.edge.subscribe = revoke_and_subscribe
    with pytest.raises(SignedOut):
        await parts.sessions.open(session_of(new_id))
    assert parts.edge.channels == {user_channel(new_id): 0}
    await parts.ends.clean_up()
    assert await redis.exists(user_sessions(new_id), node_sessions(f"node-{new_id}-0")) == 0


async def test_without_its_users_channel_a_session_does_not_begin_and_is_not_written(redis, nodes, new_id):
    parts, _ = nodes

    async def refuse(channel: str) -> None:
        raise Unavailable("the bus is away")

    parts.edge.subscribe = refuse
    with pytest.raises(Unavailable):
        await parts.sessions.open(session_of(new_id))
    assert parts.sessions.find(f"s-{new_id}") is None
    assert await redis.exists(user_sessions(new_id), node_sessions(f"node-{new_id}-0")) == 0


@pytest.mark.parametrize("names_it", [True, False], ids=["newer than the reply", "older or newer"])
async def test_a_list_of_devices_that_overtakes_the_reply_is_not_lost(nodes, new_id, names_it):
    parts, _ = nodes
    session = session_of(new_id)
    on_bus = [
        {
            "device_id": "phone",
            "device_name": "Pocket",
            "sessions": [{"session_id": session.sid if names_it else "other"}],
        }
    ]
    write = parts.records.open

    async def overtaken(*args, **options):
        opened = await write(*args, **options)
        parts.sessions.rename_devices(user_room(new_id), on_bus)
        return opened

    parts.records.open = overtaken
    await parts.sessions.open(session)
    if names_it:
        assert session.devices is not None
        assert "Pocket" in session.devices
    else:
        assert session.devices is None, "it is read again, in the room"


async def test_a_session_that_a_reconcile_did_not_know_is_compared_again(redis, nodes, new_id):
    """Its user is signed out between the writing and the reply, and the bus has lost the news."""
    parts, _ = nodes
    session = session_of(new_id)
    write, compared = parts.records.open, asyncio.Event()
    reconcile = parts.mirror.reconcile

    async def reconcile_noted() -> None:
        await reconcile()
        compared.set()

    async def overtaken(*args, **options):
        opened = await write(*args, **options)
        await parts.refused_tokens.revoke(new_id)
        await redis.delete(user_sessions(new_id))
        parts.mirror.request_reconcile()
        await compared.wait()
        parts.records.open = write
        return opened

    parts.mirror.reconcile = reconcile_noted
    parts.records.open = overtaken
    reconciling = asyncio.create_task(parts.mirror.run_reconciles())
    await parts.sessions.open(session)
    await poll(lambda: parts.sessions.find(session.sid) is None, "the end of the session", 5)
    await end_tasks([reconciling])


# Ends


async def test_sessions_that_ended_while_redis_was_away_are_all_removed_when_it_is_back(redis, cluster, new_id):
    proxy = Proxy([("127.0.0.1", cluster.redis_port)])
    await proxy.start()
    client = connect(f"redis://127.0.0.1:{proxy.port}/0")
    parts = SessionParts(client, f"node-{new_id}")
    users = [f"{new_id}-{number}" for number in range(30)]
    removing = asyncio.create_task(parts.ends.run())
    for user_id in users:
        await parts.sessions.open(session_of(user_id))
    for user_id in users[:10]:
        parts.sessions.close(f"s-{user_id}")
    await proxy.close()
    for user_id in users[10:]:
        parts.sessions.close(f"s-{user_id}")
    await parts.ends.clean_up()
    again = Proxy([("127.0.0.1", cluster.redis_port)], port=proxy.port)
    await again.start()
    await parts.ends.clean_up()
    await parts.ends.clean_up()  # what the task had at hand has been put back by now
    assert await redis.exists(node_sessions(f"node-{new_id}"), *(user_sessions(user) for user in users)) == 0
    removing.cancel()
    await asyncio.gather(removing, return_exceptions=True)
    await client.aclose()
    await again.close()


@pytest.mark.faults
async def test_a_node_that_stops_leaves_none_of_its_sessions_in_redis(start_cluster, new_id):
    cluster = await start_cluster(nodes=1)
    users = [f"{new_id}-{number}" for number in range(REMOVED_AT_ONCE + 6)]
    clients = [RawClient() for _ in users]
    async with Redis.from_url(cluster.redis_url, decode_responses=True) as redis:
        for user_id, client in zip(users, clients, strict=True):
            await client.connect(cluster.urls[0], {"token": token_of(user_id), "device_id": "phone"})
        keys = [user_sessions(user_id) for user_id in users]
        of_node = [key async for key in redis.scan_iter(node_sessions("*"))]
        assert await redis.exists(*keys, *of_node) == len(users) + 1
        await cluster.signal_node(cluster.ports[0], signal.SIGTERM)
        assert await redis.exists(*keys, *of_node) == 0
    await asyncio.gather(*(client.sio.disconnect() for client in clients))


async def test_sessions_of_a_user_that_end_together_make_one_list_of_devices(cluster, nodes, new_id):
    parts, _ = nodes
    laptop = RawClient()
    await laptop.connect(cluster.urls[0], {"token": token_of(new_id), "device_id": "laptop"})
    tabs = [session_on(str(number), new_id, f"tab-{number}") for number in range(5)]
    for tab in tabs:
        await parts.sessions.open(tab)

    def online() -> list[int]:
        return [sum(d["online"] for d in told["devices"]) for told in laptop.named("devices:changed")]

    await laptop.until(lambda: online() == [2, 3, 4, 5, 6])
    for tab in tabs:
        parts.sessions.close(tab.sid)
    await parts.ends.clean_up()
    await laptop.until(lambda: online()[5:] == [1])
    await laptop.sio.disconnect()


# Presence


class PausedRecords(PresenceRecords):
    """Presence in a real Redis, whose replies come when `resumed` is set."""

    resumed: asyncio.Event

    async def online(self, user_ids: Sequence[str]) -> list[bool]:
        read = await super().online(user_ids)
        await self.resumed.wait()
        return read


async def a_member(redis: Redis, new_id: str) -> str:
    """A user in one conversation, by her id."""
    await redis.zadd(user_conversations(new_id), {new_id: 0, f"{new_id}-invited": 0})
    await redis.hset(ConversationKeys(new_id).members, new_id, "member")
    return new_id


@pytest.fixture
async def ann(redis, new_id) -> str:
    return await a_member(redis, new_id)


def told(*parts: SessionParts) -> list[tuple[bool, str]]:
    return [(payload["online"], room) for one in parts for _, payload, room in one.edge.emitted]


async def test_presence_is_told_to_conversations_of_which_the_user_is_a_member(nodes, ann):
    parts, _ = nodes
    await parts.sessions.open(session_on("a", ann))
    await parts.news.tell(time.monotonic() + COMING_S)
    assert told(parts) == [(True, f"conversation:{ann}")]
    parts.sessions.close(f"s-a-{ann}")
    await parts.ends.clean_up()
    await parts.news.tell(time.monotonic() + GRACE_S)
    assert told(parts)[1:] == [(False, f"conversation:{ann}")]


async def test_a_user_who_is_back_within_the_grace_on_any_node_makes_no_news(nodes, ann):
    here, there = nodes
    await here.sessions.open(session_on("a", ann))
    await here.news.tell(time.monotonic() + COMING_S)
    await here.news.tell(time.monotonic() + GRACE_S + AGAIN_S)
    here.edge.emitted.clear()
    for leaves, takes, device in ((here, here, "b"), (here, there, "c"), (there, here, "d")):
        leaves.sessions.close(next(iter(leaves.sessions.all())).sid)
        await leaves.ends.clean_up()
        await takes.sessions.open(session_on(device, ann))
    for parts in nodes:
        await parts.news.tell(time.monotonic() + GRACE_S + AGAIN_S)
        await parts.news.tell(time.monotonic() + GRACE_S + 2 * AGAIN_S)
    assert told(here, there) == []


async def test_the_grace_of_a_user_who_comes_and_goes_begins_with_the_last_session(nodes, ann):
    parts, _ = nodes
    await parts.sessions.open(session_on("a", ann))
    await parts.news.tell(time.monotonic() + COMING_S)
    await parts.news.tell(time.monotonic() + AGAIN_S)
    parts.sessions.close(f"s-a-{ann}")
    await parts.ends.clean_up()
    first_due = time.monotonic() + GRACE_S
    await parts.sessions.open(session_on("b", ann))
    parts.sessions.close(f"s-b-{ann}")
    await parts.ends.clean_up()
    await parts.news.tell(first_due)
    assert told(parts) == [(True, f"conversation:{ann}")]
    await parts.news.tell(time.monotonic() + GRACE_S)
    assert told(parts)[1:] == [(False, f"conversation:{ann}")]


@pytest.fixture
async def alone(tmp_path) -> AsyncIterator[Redis]:
    """A Redis in which no node looks for what is overdue."""
    async with bare_redis(tmp_path) as server:
        client = connect(f"redis://127.0.0.1:{server.connection_pool.connection_kwargs['port']}/0")
        yield client
        await client.aclose()


async def test_what_a_node_was_to_tell_that_has_died_another_one_tells(alone, new_id):
    dead, other = (SessionParts(alone, f"node-{number}") for number in range(2))
    ann = await a_member(alone, new_id)
    await dead.sessions.open(session_on("a", ann))
    await dead.news.tell(time.monotonic() + COMING_S)
    dead.sessions.close(f"s-a-{ann}")
    await dead.ends.clean_up()
    await other.news.tell_overdue()
    await other.news.tell(time.monotonic() + COMING_S)
    assert told(other) == [], "the grace has not passed"
    await alone.zadd(LEAVING, {ann: 1000 * (time.time() - OVERDUE_S - 1)})
    await other.news.tell_overdue()
    await other.news.tell(time.monotonic() + COMING_S)
    assert told(other) == [(False, f"conversation:{ann}")]
    assert await alone.zscore(LEAVING, ann) is None


async def test_of_a_user_who_is_back_nothing_is_overdue(alone, new_id):
    dead, other = (SessionParts(alone, f"node-{number}") for number in range(2))
    ann = await a_member(alone, new_id)
    await dead.sessions.open(session_on("a", ann))
    dead.sessions.close(f"s-a-{ann}")
    await dead.ends.clean_up()
    await other.sessions.open(session_on("b", ann))
    await alone.zadd(LEAVING, {ann: 1})
    await other.news.tell_overdue()
    await other.news.tell(time.monotonic() + GRACE_S + AGAIN_S)
    assert told(other) == []
    assert await alone.zscore(LEAVING, ann) is None


async def test_a_session_that_begins_and_ends_within_a_batch_makes_no_news(nodes, ann):
    parts, _ = nodes
    await parts.sessions.open(session_on("a", ann))
    parts.sessions.close(f"s-a-{ann}")
    await parts.ends.clean_up()
    await parts.news.tell(time.monotonic() + GRACE_S + AGAIN_S)
    assert told(parts) == []


async def test_the_last_word_is_true_when_a_user_comes_and_goes_on_two_nodes_at_once(redis, nodes, ann):
    """One node reads that the user is online, and says so only after the other one has said that she has gone."""
    slow, fast = nodes
    records = PausedRecords(redis)
    records.resumed = asyncio.Event()
    slow.news = PresenceNews(records, slow.edge.emit_soon, time.time, GRACE_S)
    slow.mirror._presence = slow.ends._presence = slow.news
    await slow.sessions.open(session_on("a", ann))
    telling = asyncio.create_task(slow.news.tell(time.monotonic() + COMING_S))
    await fast.sessions.open(session_on("b", ann))
    slow.sessions.close(f"s-a-{ann}")
    await slow.ends.clean_up()
    fast.sessions.close(f"s-b-{ann}")
    await fast.ends.clean_up()
    await fast.news.tell(time.monotonic() + GRACE_S)
    assert told(fast) == [(False, f"conversation:{ann}")]
    records.resumed.set()
    await telling
    assert told(slow) == [(True, f"conversation:{ann}")], "too late, and false"
    await slow.news.tell(time.monotonic() + GRACE_S + AGAIN_S)
    assert told(slow)[1:] == [(False, f"conversation:{ann}")]


async def test_a_user_whose_tokens_are_revoked_is_told_to_have_gone(nodes, ann):
    parts, _ = nodes
    session = session_on("a", ann)
    await parts.sessions.open(session)
    await parts.news.tell(time.monotonic() + COMING_S)
    await parts.refused_tokens.revoke(ann)
    parts.sign_outs.on_session_ended({"reason": "token_revoked", "by": None}, [session.sid])
    async with within(10, "the end of the session"):
        while parts.sign_outs._tasks:
            await asyncio.gather(*parts.sign_outs._tasks)
    await parts.ends.clean_up()
    await parts.news.tell(time.monotonic() + GRACE_S)
    assert told(parts)[1:] == [(False, f"conversation:{ann}")]
