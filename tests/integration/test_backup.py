"""A copy of the live append-only file, restored into another Redis, has all that was acked before it was made."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid

import pytest
from redis.asyncio import Redis

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog, Handed
from sio_server.conversation.members import Members
from sio_server.protocol.events import ConversationCreate
from sio_server.store.connection import connect
from sio_server.store.format import check_format
from sio_server.store.scripts import Scripts
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.waiting import within

ANN = Author("ann", "Ann", "d-ann")
KEPT = ("--appendonly", "yes", "--appendfsync", "always")


def url_of(redis: Redis) -> str:
    return f"redis://127.0.0.1:{port_of(redis)}/0"


@pytest.mark.faults
async def test_what_was_acked_before_a_live_copy_is_in_the_restored_redis(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    acked: list[int] = []
    many = asyncio.Event()
    async with bare_redis(here, *KEPT) as redis:
        client = connect(url_of(redis))
        await check_format(client)
        log = ConversationLog(Scripts(client))
        request = ConversationCreate(request_id=uuid.uuid4().hex, agent="off", graph="work")
        conversation, _ = await Members(client, Scripts(client), log, retention=0).create(ANN, request)

        async def write() -> None:
            while True:
                ack, _ = await log.append_message(conversation, ANN, uuid.uuid4().hex, "x" * 200, run_id="r")
                acked.append(ack["seq"])
                if len(acked) >= 300:
                    many.set()

        writers = [asyncio.create_task(write()) for _ in range(4)]
        async with within(60.0, "some messages"):
            await many.wait()
        # As docs/data.md says: no rewrite begins while the files are copied, and none is on.
        await redis.config_set("auto-aof-rewrite-percentage", 0)
        assert (await redis.info("persistence"))["aof_rewrite_in_progress"] == 0
        before = list(acked)
        await asyncio.to_thread(shutil.copytree, here / "appendonlydir", there / "appendonlydir")
        await redis.config_set("auto-aof-rewrite-percentage", 100)
        epoch = (await log.page(conversation, "ann", limit=1)).bounds.epoch
        last, _ = await log.append_message(conversation, ANN, uuid.uuid4().hex, "after the copy", run_id="r")
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await client.aclose()
    async with bare_redis(there, *KEPT) as redis:
        client = connect(url_of(redis))
        await check_format(client)
        log = ConversationLog(Scripts(client))
        seqs: list[int] = []
        while page := (await log.page(conversation, "ann", after=len(seqs), limit=200)).entries:
            seqs += [json.loads(text)["seq"] for _, text in page]
        assert seqs == list(range(1, len(seqs) + 1))
        assert set(before) <= set(seqs)
        assert last["seq"] not in seqs
        # A device that has seen more than the copy is told to start over, and no seq stands for two entries.
        assert await log.verify(conversation, Handed(epoch, last["seq"], last["ts"])) != epoch
        await client.aclose()
