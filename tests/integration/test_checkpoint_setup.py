"""A node that starts while Redis goes away and comes back waits for it, with whatever saver."""

from __future__ import annotations

import asyncio

import pytest

from sio_server.dialog.savers.store import CheckpointStore
from sio_server.local.proxy import Proxy
from sio_server.tasks import end_tasks

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

    store = CheckpointStore(f"redis://127.0.0.1:{proxy.port}/0", kind)
    coming = asyncio.create_task(come_and_go())
    try:
        await asyncio.wait_for(store.set_up(), 30)
    finally:
        await end_tasks([coming])
        await store.close()
        await proxy.close()
