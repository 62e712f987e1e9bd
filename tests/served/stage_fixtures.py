"""One cluster with a stage, for all tests of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, free_ports
from tests.served.devices import Devices, devices_of
from tests.served.stage import Staged


@pytest.fixture(scope="session")
async def running_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Staged]:
    settings = {**NODE_SETTINGS, "GRAPH": "tests.graphs.steps:graph"}
    made = Staged(LocalCluster(free_ports(2), 2, tmp_path_factory.mktemp("stage"), settings=settings))
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def stage(running_stage: Staged) -> AsyncIterator[Staged]:
    """The cluster with both nodes up. A node that the test before has killed is started again."""
    for port in running_stage.cluster.ports:
        status, _ = await running_stage.ask("POST", f"/nodes/{port}/start")
        assert status == 200
    yield running_stage
    await running_stage.close_readers()


@pytest.fixture
async def people(stage: Staged) -> AsyncIterator[Devices]:
    """Devices at its nodes."""
    async with devices_of(stage.cluster) as made:
        yield made
