"""A Redis without nodes, for all tests of dialogs in their own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import free_ports
from tests.served.dialogs import Dialogs, dialogs_on


@pytest.fixture(scope="session")
async def lone_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Redis alone."""
    running = LocalCluster(free_ports(1), 0, tmp_path_factory.mktemp("redis"))
    try:
        await running.start_redis()
        yield running
    finally:
        await running.stop()


@pytest.fixture
async def dialogs(lone_redis: LocalCluster) -> AsyncIterator[Dialogs]:
    """Dialogs on it; it is empty when a test begins."""
    async with dialogs_on(lone_redis.redis_url) as made:
        yield made
