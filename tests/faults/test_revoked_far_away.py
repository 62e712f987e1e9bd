"""A node that did not hear of a revocation, because it slept or was cut off, ends the sessions when it is back."""

from __future__ import annotations

import asyncio
import signal

import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import RawClient
from tests.integration.test_bus import until_ready
from tests.integration.test_revocation import LIMIT_S, revoke
from tests.integration.test_sign_out import refusal, token_of

pytestmark = pytest.mark.faults


async def phone_with(token: str, cluster: LocalCluster) -> RawClient:
    client = RawClient()
    await client.connect(cluster.urls[1], {"token": token, "device_id": "phone"})
    return client


async def test_a_node_that_slept_or_was_cut_off_ends_revoked_sessions_when_it_is_back(start_cluster):
    cluster = await start_cluster(nodes=2, proxied=True)
    token = token_of("carl")
    asleep = await phone_with(token_of("ann"), cluster)
    await cluster.signal_node(cluster.ports[1], signal.SIGSTOP)
    assert (await revoke(cluster.redis_url, "ann"))[0] == 0
    await cluster.signal_node(cluster.ports[1], signal.SIGCONT)
    await asleep.event("session:ended", LIMIT_S)
    await asleep.closed()

    to_redis = cluster.redis_proxies[cluster.ports[1]]
    for lines in ([to_redis.up], [to_redis.down], [to_redis.up, to_redis.down]):
        await until_ready(cluster.urls[1], 200, 10)  # it may have taken itself for cut off
        bobs = token_of("bob")
        cut_off = await phone_with(bobs, cluster)
        for line in lines:
            line.blackhole = True
        assert (await revoke(cluster.redis_url, "bob"))[0] == 0
        await asyncio.sleep(1.5)  # so long that replies are late
        for line in lines:
            line.blackhole = False
        # It is told, or sent away by a node that has been cut off for too long; nobody takes it back.
        await cut_off.closed(LIMIT_S)
        assert {ended["reason"] for ended in cut_off.named("session:ended")} <= {"token_revoked", "cut_off"}
        assert cut_off.named("session:ended")
        assert await refusal(cluster.urls[0], bobs, "phone") == "token_revoked"
    assert await refusal(cluster.urls[0], token, "phone") == ""
