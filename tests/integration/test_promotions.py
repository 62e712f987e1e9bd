"""After Sentinel has replaced the primary nothing takes the place of what the one before may have shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.runs import ClaimedRun, Runs
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import connect
from sio_server.store.keys import conversation_channel, stats
from sio_server.store.partitions import partition
from sio_server.store.scripts import Scripts
from tests.bus import hearing
from tests.conftest import free_ports

ANN = Author("ann", "Ann", "d-ann")

Promote = Callable[[str], Awaitable[None]]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Redis of its own: no node takes the runs."""
    server = LocalCluster(free_ports(1), 1, tmp_path)
    await server.start_redis()
    client = connect(server.redis_url)
    yield client
    await client.aclose()
    await server.stop()


@pytest.fixture
def promote(redis: Redis, new_id: str) -> Promote:
    """What a node notes on its first connection to a new primary, for the partition of one conversation."""

    async def note(failover: str) -> None:
        await redis.hset(stats(partition(new_id)), "primary", failover)

    return note


def new(conversation_id: str, agent: str = "off") -> ConversationCreate:
    asked = ConversationCreate(request_id=f"create-{conversation_id}", access="open", agent=agent)  # type: ignore[arg-type]
    return asked.model_copy(update={"conversation_id": conversation_id})


async def append(log, conversation_id: str, request_id: str) -> dict[str, object]:
    ack, _ = await log.append_message(conversation_id, ANN, request_id, "hi", run_id=f"r-{request_id}")
    return dict(ack)


async def test_the_first_entry_after_a_failover_begins_a_new_epoch_and_those_behind_it_do_not(
    redis, log, members, new_id, promote
):
    await members.create(ANN, new(new_id))
    before = await append(log, new_id, "m1")
    await promote("1")
    async with hearing(redis, conversation_channel(new_id)) as ear:
        first, second = [await append(log, new_id, name) for name in ("m2", "m3")]
        heard = [(await ear.text()).split("\n")[0] for _ in range(3)]
    assert before["epoch"] != first["epoch"] == second["epoch"]
    assert heard[0] == f"R {first['epoch']}", "nodes are told before the entry comes"
    assert [head[0] for head in heard[1:]] == ["E", "E"]
    assert (first["seq"], second["seq"]) == (3, 4)
    again = await append(log, new_id, "m1")
    assert again == before, "what was acked stays so"
    await promote("2")
    assert (await append(log, new_id, "m4"))["epoch"] not in (before["epoch"], first["epoch"])


async def test_a_conversation_from_before_sentinel_starts_over_with_the_first_failover_and_not_with_sentinel(
    redis, log, members, new_id, promote
):
    await members.create(ANN, new(new_id))
    before = await append(log, new_id, "m1")
    await redis.hset(stats(partition(new_id)), "primary0", "4")
    await promote("4")
    assert (await append(log, new_id, "m2"))["epoch"] == before["epoch"]
    await promote("5")
    assert (await append(log, new_id, "m3"))["epoch"] != before["epoch"]


async def test_a_conversation_that_was_not_used_since_before_sentinel_starts_over_after_a_failover(
    redis, log, members, new_id, promote
):
    await members.create(ANN, new(new_id))
    before = await append(log, new_id, "m1")
    await redis.hset(stats(partition(new_id)), "primary0", "4")
    await promote("5")
    assert (await append(log, new_id, "m2"))["epoch"] != before["epoch"]


async def test_a_conversation_that_was_created_after_a_failover_does_not_start_over(log, members, new_id, promote):
    await promote("1")
    await members.create(ANN, new(new_id))
    epoch = (await log.get_view(new_id, "ann")).bounds.epoch
    assert (await append(log, new_id, "m1"))["epoch"] == epoch


async def test_reading_after_a_failover_begins_a_new_epoch_only_where_a_run_may_have_said_more(
    log, members, new_id, promote
):
    async def epoch() -> str:
        return (await log.get_view(new_id, "ann")).bounds.epoch

    await members.create(ANN, new(new_id, agent="always"))
    first = await epoch()
    await promote("1")
    assert await epoch() == first
    asked = await append(log, new_id, "m1")
    assert await epoch() == asked["epoch"] != first
    await promote("2")
    assert await epoch() == await epoch() != asked["epoch"]


async def test_an_attempt_that_is_claimed_after_a_failover_belongs_to_the_new_epoch(
    redis, log, members, new_id, promote
):
    await members.create(ANN, new(new_id, agent="always"))
    before = await append(log, new_id, "m1")
    await promote("1")
    run = await Runs(Scripts(redis), "n-test", "n-test").claim_run(new_id)
    assert isinstance(run, ClaimedRun)
    assert run.epoch == (await log.get_view(new_id, "ann")).bounds.epoch != before["epoch"]
