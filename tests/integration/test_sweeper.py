"""What fails in a sweep is counted and tried again, and nothing else waits for it."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sio_server.conversation.retention import Kept, Retention
from sio_server.data import sweeper as sweeper_
from sio_server.data.archive import Archive
from sio_server.data.archive_store import ArchiveStore
from sio_server.data.sweeper import Sweeper
from sio_server.protocol.errors import Unavailable
from sio_server.store.keys import SWEEPER, conversation_keys, swept
from sio_server.store.partitions import partition
from sio_server.tasks import end_tasks
from tests.integration.test_archive import SECRET, Archived
from tests.integration.test_archive import archived as archived
from tests.integration.test_user_deletion import ANN, BOB, EVE, Place
from tests.integration.test_user_deletion import place as place
from tests.integration.test_user_deletion import server as server
from tests.waiting import within


class Failures:
    """How often each phase has failed."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.changed = asyncio.Event()

    def __call__(self, phase: str) -> None:
        self.counted[phase] += 1
        self.changed.set()

    async def several(self, phase: str) -> None:
        async with within(30.0, f"{phase} has failed twice"):
            while self.counted[phase] < 2:
                self.changed.clear()
                await self.changed.wait()


def sweeper_of(place: Place, retention: Retention, failures: Failures, archive: Archive | None = None) -> Sweeper:
    return Sweeper(place.redis, retention, place.deletions, "node", archive, failures)


@pytest.mark.parametrize(
    "garbage",
    [b"garbage", gzip.compress(b"no json"), gzip.compress(b'["{}", []]\n'), gzip.compress(b"x" * 999)[:-9]],
    ids=["no gzip", "no json", "no entry", "cut off"],
)
async def test_an_object_that_cannot_be_read_stops_nothing_else(
    archived: Archived, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    monkeypatch.setattr(sweeper_, "LOOK_S", 0.01)
    broken, whole = await archived.create(BOB, ANN), await archived.create(BOB, EVE)
    seq = await archived.send(broken, ANN, SECRET)
    assert await archived.archive.add(broken, 1, seq)
    await archived.send(whole, EVE, SECRET)
    archived.objects()[0].write_bytes(garbage)
    with pytest.raises(Unavailable, match="cannot be read"):
        await archived.log.page(broken, "bob", after=0, limit=10)
    for user in (ANN, EVE):
        await archived.deletions.begin(user.user_id)
    failures = Failures()
    task = asyncio.create_task(sweeper_of(archived, archived.retention, failures, archived.archive).run())
    await failures.several("deletion")
    assert not task.done()
    assert not await archived.deletions.is_pending(EVE.user_id)
    assert await archived.deletions.is_pending(ANN.user_id)
    await end_tasks([task])
    warnings = [one.getMessage() for one in caplog.records if "phase=deletion" in one.getMessage()]
    assert len(warnings) == 1, "not at each look"
    assert f"id={ANN.user_id}" in warnings[0]


async def test_a_conversation_that_cannot_be_swept_is_tried_after_the_others(place: Place, monkeypatch) -> None:
    broken, whole = await place.create(ANN), await place.create(ANN)
    for conversation in (broken, whole):
        for number in range(9):
            await place.send(conversation, ANN, f"text {number}")
    run = place.scripts.conversation

    async def failing(name: str, conversation: str, *args: Any, **more: Any) -> Any:
        if name == "sweep" and conversation == broken:
            raise Unavailable("out of memory")
        return await run(name, conversation, *args, **more)

    monkeypatch.setattr(place.scripts, "conversation", failing)
    for conversation in (broken, whole):
        await place.redis.zadd(swept(partition(conversation)), {conversation: 0})
    retention = Retention(place.scripts, Kept(entries=5))
    found = await retention.sweep()
    assert list(found.failed) == [broken]
    assert not found.more, "it is tried again at the next look"
    assert await place.redis.xlen(conversation_keys(whole).log) == 5
    assert await place.redis.zscore(swept(partition(broken)), broken) > 0
    assert (await retention.sweep()).conversations == 1
    monkeypatch.setattr(place.scripts, "conversation", run)
    assert (await retention.sweep()).entries == 5


async def test_an_archive_that_cannot_be_used_is_not_tried_for_each_conversation(
    archived: Archived, monkeypatch
) -> None:
    asked = 0

    async def put(store: ArchiveStore, name: str, lines: Any) -> None:
        nonlocal asked
        asked += 1
        raise Unavailable("away")

    monkeypatch.setattr(ArchiveStore, "put", put)
    monkeypatch.setattr(Retention, "_since_ms", lambda self: asyncio.sleep(0, 10**15))
    for _ in range(5):
        conversation = await archived.create(ANN)
        for number in range(205):
            await archived.send(conversation, ANN, f"text {number}")
    assert len((await archived.retention.sweep()).failed) == 3
    assert asked == 3


async def test_the_node_that_sweeps_stays_so_however_long_its_work_takes(
    place: Place, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sweeper_, "RENEW_S", 0.01)
    monkeypatch.setattr(sweeper_, "LOOK_S", 0.01)
    done = asyncio.Event()

    class Long(Retention):
        async def sweep(self) -> Any:
            await place.redis.delete(SWEEPER)  # as if it had expired
            while not await place.redis.exists(SWEEPER):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            done.set()
            return await super().sweep()

    task = asyncio.create_task(sweeper_of(place, Long(place.scripts, Kept()), Failures()).run())
    async with within(30.0, "the lock is renewed"):
        await done.wait()
    await end_tasks([task])
