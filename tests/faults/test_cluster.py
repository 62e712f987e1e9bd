"""Commands to a Redis Cluster continue when the primary of a shard dies and its replica takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack

import pytest
from redis.exceptions import RedisError

from sio_server.conversation.author import Author
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ConversationCreate
from sio_server.store.keys import ConversationKeys
from sio_server.store.partitions import partition
from sio_server.store.scripts import Scripts
from sio_server.store.slots import SLOTS, slot_of
from tests.integration.test_redis_connection import bare_redis, port_of
from tests.integration.test_routed import form
from tests.waiting import poll

pytestmark = pytest.mark.faults

ANN = Author("ann", "Ann", "d-ann")
OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
SWITCH_S = 6.0


async def test_messages_are_acked_once_when_the_primary_of_their_shard_dies(tmp_path_factory):
    async with AsyncExitStack() as stack:
        folders = [tmp_path_factory.mktemp("shard") for _ in range(4)]
        *servers, replica = [await stack.enter_async_context(bare_redis(folder, *OPTIONS)) for folder in folders]
        shards = await form(servers)
        first = servers[0]
        await replica.execute_command("CLUSTER", "MEET", "127.0.0.1", port_of(first))
        first_id = await first.execute_command("CLUSTER", "MYID")
        await poll(lambda: follows(replica, first_id))
        await poll(lambda: is_linked(replica))
        await poll(lambda: know_all([*servers, replica]))

        scripts = Scripts(shards.client)
        log = ConversationLog(scripts)
        where = next(f"c-{n}" for n in range(100) if slot_of(ConversationKeys(f"c-{n}").log) < SLOTS / 3)
        assert partition(where) < 32
        new = ConversationCreate(request_id="create", conversation_id=where, access="open", agent="off")
        await Members(shards.client, scripts, log, retention=0).create(ANN, new)
        acked: list[int] = []
        stopping = False

        async def write() -> None:
            while not stopping:
                with contextlib.suppress(Unavailable):
                    ack, _ = await log.append_message(where, ANN, f"m{len(acked)}", "hello", run_id="r")
                    acked.append(int(ack["seq"]))
                await asyncio.sleep(0.005)

        async def until_acked(more: int) -> float:
            began, goal = time.monotonic(), len(acked) + more
            await poll(lambda: len(acked) >= goal)
            return time.monotonic() - began

        writing = asyncio.ensure_future(write())
        await until_acked(20)
        # The client of the test tries again for some seconds when the server is gone.
        dying = asyncio.ensure_future(first.execute_command("SHUTDOWN", "NOSAVE", "NOW", "FORCE"))
        died = await until_acked(20)
        print(f"20 more were acked {died:.2f} s after the death of the primary")
        assert died < SWITCH_S
        stopping = True
        await asyncio.gather(writing, dying, return_exceptions=True)
        assert writing.exception() is None
        assert acked == list(range(2, 2 + len(acked)))
        assert (await log.page(where, "ann", limit=1)).bounds.head == acked[-1]
        await shards.client.aclose()


async def follows(replica, primary_id: str) -> bool:
    with contextlib.suppress(RedisError):  # it has not met the primary yet
        return bool(await replica.execute_command("CLUSTER", "REPLICATE", primary_id))
    return False


async def know_all(servers) -> bool:
    """Whether all know all, and whom the replica follows: otherwise nobody votes for it."""
    told = [str(await server.execute_command("CLUSTER", "NODES")) for server in servers]
    return all(nodes.count("connected") == 4 and nodes.count("slave") == 1 for nodes in told)


async def is_linked(replica) -> bool:
    return "connected" in await replica.execute_command("ROLE")
