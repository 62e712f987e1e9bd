"""One cluster of three nodes that serves the graphs of this folder, for all tests that leave it as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.served.devices import LANGGRAPH_JSON, Devices, devices_of

SERVED = {**NODE_SETTINGS, "LANGGRAPH_JSON": LANGGRAPH_JSON, "RUN_ATTEMPTS": "1", "CLAIMS": "tenant,roles"}


@pytest.fixture(scope="session")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """The cluster. A graph that fails is tried once."""
    async with cluster_in(tmp_path_factory.mktemp("served"), SERVED) as running:
        yield running


@pytest.fixture
async def devices(served: LocalCluster) -> AsyncIterator[Devices]:
    """Devices at its nodes."""
    async with devices_of(served) as made:
        yield made
