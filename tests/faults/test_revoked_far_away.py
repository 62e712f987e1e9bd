"""A node that did not hear of a revocation, because it slept or was cut off, ends the sessions when it is back."""

from __future__ import annotations

import asyncio
import signal

import pytest

from sio_server.cluster.local import LocalCluster
from tests.conftest import RawClient
from tests.integration.test_revocation import LIMIT_S, revoke
from tests.integration.test_sign_out import refusal, token_of

pytestmark = pytest.mark.faults


async def phone_of(user: str, cluster: LocalCluster) -> RawClient:
    client = RawClient()
    await client.connect(cluster.urls[1], {"token": token_of(user), "device_id": "phone"})
    return client


async def test_a_node_that_sleeps_or_is_cut_off_ends_them_when_it_is_back(start_cluster):
    cluster = await start_cluster(nodes=2, proxied=True)
    token = token_of("carl")
    asleep = await phone_of("ann", cluster)
    await cluster.signal_node(cluster.ports[1], signal.SIGSTOP)
    assert (await revoke(cluster.redis_url, "ann"))[0] == 0
    await cluster.signal_node(cluster.ports[1], signal.SIGCONT)
    await asleep.until(lambda: asleep.named("session:ended"), LIMIT_S)
    await asleep.closed()

    to_redis = cluster.redis_proxies[cluster.ports[1]]
    for lines in ([to_redis.up], [to_redis.down], [to_redis.up, to_redis.down]):
        cut_off = await phone_of("bob", cluster)
        for line in lines:
            line.blackhole = True
        assert (await revoke(cluster.redis_url, "bob"))[0] == 0
        await asyncio.sleep(1.5)  # so long that replies are late
        for line in lines:
            line.blackhole = False
        await cut_off.until(lambda cut_off=cut_off: cut_off.named("session:ended"), LIMIT_S)
        await cut_off.closed()
        assert cut_off.named("session:ended")[0]["reason"] == "token_revoked"
    assert await refusal(cluster.urls[0], token, "phone") == ""
