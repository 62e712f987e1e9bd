"""Nodes survive a planned failover: the primary hands over to its replica, and stays there as a replica."""

from __future__ import annotations

import time

import aiohttp
import pytest

from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, free_ports
from tests.integration.test_dialog import ask
from tests.integration.test_redis_connection import port_of, redis_pair
from tests.waiting import poll

pytestmark = pytest.mark.faults

SWITCH_S = 3.0  # between the last ack before and the first ack after, on a busy machine


async def test_sends_and_runs_continue_on_the_new_primary_and_no_node_stays_on_the_old_one(tmp_path):
    async with redis_pair(tmp_path) as (primary, replica, proxy):
        settings = {**NODE_SETTINGS, "CHECKPOINTER": "plain"}
        url = f"redis://127.0.0.1:{proxy.port}/0"
        cluster = LocalCluster(free_ports(2), 2, tmp_path / "cluster", redis_url=url, settings=settings)
        try:
            await cluster.start()
            _, token = await guest_token(cluster.urls[0], "Ann")
            async with ChatClient(cluster.urls, token) as ann, ChatClient(cluster.urls[::-1], token) as phone:
                conversation = await ann.create(agent="mention")
                followed = await phone.join(conversation.id)
                for number in range(10):
                    await conversation.send(f"before {number}")
                proxy.targets = [("127.0.0.1", port_of(replica))]
                began = time.monotonic()
                await primary.execute_command("FAILOVER", "TO", "127.0.0.1", port_of(replica))
                for number in range(20):
                    ack = await conversation.send(f"after {number}")  # the SDK repeats it until it is acked
                    if number == 0:
                        assert time.monotonic() - began < SWITCH_S

                async def phone_has_all() -> bool:
                    return followed.position is not None and followed.position.seq >= ack.seq

                async def only_the_test_is_connected() -> bool:
                    clients = await primary.client_list()
                    return [client["flags"] for client in clients if client["flags"] not in ("M", "S")] == ["N"]

                await poll(phone_has_all)
                await poll(only_the_test_is_connected)
                assert (await ask(conversation, "@concierge what can you do?")).type == "answer"
                async with aiohttp.ClientSession() as http:
                    for node in cluster.urls:
                        async with http.get(f"{node}/ready") as ready:
                            assert ready.status == 200
        finally:
            await cluster.stop()
