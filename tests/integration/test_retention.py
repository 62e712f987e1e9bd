"""What is kept no longer is dropped from every conversation, a part in each step, and nothing else is."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.retention import ENTRIES_AT_ONCE, Kept, Retention
from sio_server.protocol.errors import Refused
from sio_server.protocol.events import ConversationCreate
from sio_server.protocol.position import Position
from sio_server.store.connection import connect
from sio_server.store.keys import conversation_keys, swept
from sio_server.store.partitions import partition
from sio_server.store.scripts import Scripts
from tests.integration.test_redis_connection import bare_redis, port_of

ANN = Author("ann", "Ann", "d-ann")
DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
async def own_redis(tmp_path_factory) -> AsyncIterator[Redis]:
    """A Redis on which nothing else sweeps."""
    async with bare_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture
async def scripts(own_redis: Redis) -> AsyncIterator[Scripts]:
    await own_redis.flushall()
    client = connect(f"redis://127.0.0.1:{port_of(own_redis)}/0")
    yield Scripts(client)
    await client.aclose()


@pytest.fixture
def log(scripts: Scripts) -> ConversationLog:
    return ConversationLog(scripts)


@pytest.fixture
async def conversation(scripts: Scripts, log: ConversationLog) -> str:
    return await create(scripts, log)


async def create(scripts: Scripts, log: ConversationLog) -> str:
    members = Members(scripts.redis, scripts, log, retention=0)
    request = ConversationCreate(request_id=uuid.uuid4().hex, agent="off", graph="work")
    return (await members.create(ANN, request))[0]


async def send(log: ConversationLog, conversation: str, count: int, first: int = 0, **more) -> None:
    for number in range(first, first + count):
        await log.append_message(conversation, ANN, f"m-{number}", f"text {number}", run_id=f"r-{number}", **more)


async def make_older(redis: Any, conversation: str, up_to: int, days: int) -> None:
    """The entries up to this seq were written so many days ago."""
    keys = conversation_keys(conversation)
    found = await redis.xrange(keys.log)
    await redis.delete(keys.log)
    for entry_id, fields in found:
        if int(entry_id.split("-")[0]) <= up_to:
            entry = json.loads(fields["e"])
            old = f"{2026 - days // 365 - 1}-01-01T00:00:00.000Z"
            fields["e"] = fields["e"].replace(entry["ts"], old, 1)
        await redis.xadd(keys.log, fields, id=entry_id)


async def sweep_all(retention: Retention) -> int:
    """Sweep until there is nothing to do; return how many rounds it took."""
    rounds = 1
    while (await retention.sweep()).more:
        rounds += 1
    return rounds


async def test_a_changed_retention_applies_to_conversations_that_exist_already(scripts, log, conversation):
    await send(log, conversation, 450)
    assert (await Retention(scripts, Kept()).sweep()).entries == 0
    rounds = await sweep_all(Retention(scripts, Kept(entries=100)))
    assert rounds >= (451 - 100) / ENTRIES_AT_ONCE  # no step looks at more
    page = await log.page(conversation, "ann", after=0, limit=200)
    assert (page.bounds.first, page.bounds.head, len(page.entries)) == (352, 451, 100)
    assert await scripts.redis.xlen(conversation_keys(conversation).log) == 100
    # Entries that come later are counted by the step that appends them.
    await send(log, conversation, 1, 450)
    assert (await log.page(conversation, "ann", after=0, limit=200)).bounds.first == 353


async def test_entries_are_dropped_by_age_down_to_the_last_one(scripts, log, conversation):
    await send(log, conversation, 9)
    await make_older(scripts.redis, conversation, 4, 400)
    retention = Retention(scripts, Kept(entries_ms=30 * DAY_MS))
    await sweep_all(retention)
    page = await log.page(conversation, "ann", after=0, limit=200)
    assert (page.bounds.first, page.bounds.head, page.entries[0][0]) == (5, 10, 5)
    # A device that has not seen what is gone is told so.
    epoch = page.bounds.epoch
    asked = {"snapshot": 50, "limit": 200, "max_bytes": 100_000}
    missed = await log.read_missed(conversation, "ann", Position(epoch, 2), **asked)
    assert missed.after == 4
    await make_older(scripts.redis, conversation, 10, 400)
    await sweep_all(Retention(scripts, Kept(entries_ms=29 * DAY_MS)))
    page = await log.page(conversation, "ann", limit=200)
    assert (page.bounds.first, page.bounds.head, list(page.entries)) == (11, 10, [])
    missed = await log.read_missed(conversation, "ann", None, **asked)
    assert (missed.after, list(missed.page.entries)) == (10, [])
    await send(log, conversation, 1, 9)
    page = await log.page(conversation, "ann", after=0, limit=200)
    assert [seq for seq, _ in page.entries] == [11]


async def test_results_of_requests_are_forgotten_by_age_and_their_entries_stay(scripts, log, conversation):
    await send(log, conversation, 450)
    await make_older(scripts.redis, conversation, 440, 400)
    sent = conversation_keys(conversation).sent
    assert await scripts.redis.hlen(sent) == 451
    await sweep_all(Retention(scripts, Kept(results_ms=30 * DAY_MS)))
    kept = {name for name in await scripts.redis.hkeys(sent) if " " in name}
    assert kept == {f"ann m-{number}" for number in range(439, 449 + 1)}
    assert (await log.page(conversation, "ann", limit=200)).bounds.first == 1
    # One that is kept is still answered as before, and the message after one that was forgotten is in order.
    again = await log.append_message(conversation, ANN, "m-449", "text 449", run_id="r")
    assert (again[0]["seq"], again[1]) == (451, False)
    await log.append_message(conversation, ANN, "next", "x", run_id="r", after="m-438")
    with pytest.raises(Refused) as refused:
        await log.append_message(conversation, ANN, "other", "x", run_id="r", after="m-437")
    assert refused.value.code == "out_of_order"


async def test_a_conversation_is_swept_once_until_the_settings_change_or_it_is_due(scripts, log, conversation):
    other = await create(scripts, log)
    first, second = Retention(scripts, Kept()), Retention(scripts, Kept())
    assert (await first.sweep()).conversations == 2
    assert (await second.sweep()).conversations == 0
    assert (await Retention(scripts, Kept(entries=100)).sweep()).conversations == 2
    await scripts.redis.zadd(swept(partition(other)), {other: 1})
    assert (await Retention(scripts, Kept(entries=100)).sweep()).conversations == 1


async def test_what_is_swept_in_the_millisecond_of_the_settings_is_not_due_again(scripts, conversation):
    since_ms = 4_000_000_000_000  # the clock has not come beyond it
    about = {
        "retention": 0,
        "entries_kept_ms": 0,
        "results_kept_ms": 0,
        "at_most": ENTRIES_AT_ONCE,
        "has_files": False,
        "archives": False,
    }
    await scripts.conversation("sweep", conversation, since_ms=since_ms, **about)
    listed = swept(partition(conversation))
    assert await scripts.redis.zrangebyscore(listed, "-inf", since_ms) == []


async def test_what_a_run_needs_is_kept_until_it_has_ended(scripts, log, conversation):
    await send(log, conversation, 3)
    await send(log, conversation, 1, 3, answer=True)
    await send(log, conversation, 3, 4)
    await make_older(scripts.redis, conversation, 8, 400)
    await sweep_all(Retention(scripts, Kept(entries_ms=DAY_MS)))
    assert (await log.page(conversation, "ann", limit=200)).bounds.first == 5


async def test_a_conversation_that_expired_leaves_the_list_of_those_that_are_swept(scripts, log, conversation):
    listed = swept(partition(conversation))
    await scripts.redis.delete(*conversation_keys(conversation).all()[:8])
    assert await scripts.redis.zscore(listed, conversation) is not None
    await Retention(scripts, Kept(entries=100)).sweep()
    assert await scripts.redis.zscore(listed, conversation) is None
