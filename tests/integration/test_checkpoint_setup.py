"""A dialog that starts while Redis goes away and comes back waits for it, with whatever saver."""

from __future__ import annotations

import asyncio
import time

import pytest

from sio_server.dialog.savers.store import CheckpointStore
from sio_server.local.proxy import Proxy
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import end_tasks
from tests.served.dialogs import graph_of, said

pytest_plugins = ["tests.served.dialog_fixtures"]

THERE_S = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015)  # so that it goes away in the middle of one step or another
AWAY_S = 0.6  # longer than the connections try again by themselves


@pytest.mark.parametrize("kind", ["redis", "plain"])
async def test_the_store_is_set_up_when_redis_goes_away_meanwhile(cluster, kind):
    proxy = Proxy([])
    there = ("127.0.0.1", cluster.redis_port)
    await proxy.start()

    async def come_and_go() -> None:
        for seconds in THERE_S:
            await asyncio.sleep(AWAY_S)
            proxy.targets = [there]
            await asyncio.sleep(seconds)
            proxy.targets = []
            proxy.reset()
        proxy.targets = [there]

    store = CheckpointStore(f"redis://127.0.0.1:{proxy.port}/0", "redis")
    coming = asyncio.create_task(come_and_go())
    try:
        await asyncio.wait_for(store.set_up(), 30)
    finally:
        await end_tasks([coming])
        await store.close()
        await proxy.close()


async def test_the_set_up_ends_with_a_reason_when_redis_stays_away():
    proxy = Proxy([])
    await proxy.start()
    store = CheckpointStore(f"redis://127.0.0.1:{proxy.port}/0", "redis")
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="the checkpoint store could not be set up"):
            await store.set_up(wait_s=0.1)
        # The connections try again by themselves for a while before they say that Redis is away.
        assert time.monotonic() - began < 5
    finally:
        await store.close()
        await proxy.close()


async def test_a_dialog_that_starts_while_redis_is_away_serves_when_it_is_there(dialogs, lone_redis):
    proxy = Proxy([])
    await proxy.start()
    try:
        host = await dialogs.serve(
            graph_of(lambda state: said("well")), redis_url=f"redis://127.0.0.1:{proxy.port}/0"
        )
        conversation = await dialogs.conversation()
        run_id = await dialogs.send(conversation)
        proxy.targets = [("127.0.0.1", lone_redis.redis_port)]
        answer = await dialogs.ended_with(conversation, run_id)
        assert (answer.type, answer.text) == ("answer", "well")
        assert host.failing == []
        await host.stop(0.0)
    finally:
        await proxy.close()
