"""One cluster of two nodes that serves the zoo, with the model servers that its agents ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import free_ports
from tests.providers.server import Providers
from tests.served.devices import Devices, devices_of
from tests.served.zoo import Zoo, settings_of


@pytest.fixture(scope="session")
async def zoo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Zoo]:
    """The cluster. A graph that fails is tried once."""
    folder = tmp_path_factory.mktemp("zoo")
    notes = folder / "notes"
    async with Providers() as models:
        cluster = LocalCluster(free_ports(2), 2, folder / "cluster", settings=settings_of(models, notes))
        try:
            await cluster.start()
            yield Zoo(cluster, models, notes)
        finally:
            await cluster.stop()


@pytest.fixture
async def zoo_devices(zoo: Zoo) -> AsyncIterator[Devices]:
    """Devices at its nodes."""
    async with devices_of(zoo.cluster) as made:
        yield made


@pytest.fixture
def no_rule_is_broken(zoo: Zoo) -> Iterator[None]:
    """No request of an agent may be refused by a provider."""
    zoo.models.refused.clear()
    yield
    assert zoo.models.refused == []
