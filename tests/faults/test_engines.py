"""The servers that the README names, beside the bundled Redis 8: Valkey 9, Redis 7.0, Redis 6.2.

Each serves the tour and a chaos, by the program, as people start it; `REDIS_SERVER` says which.
"""

from __future__ import annotations

import pytest

from tests.engines import engine, first_port
from tests.faults.test_scenes import play_scenes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


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
async def test_a_chaos_holds_behind_sentinels(tmp_path, monkeypatch, name):
    if name != "bundled":
        monkeypatch.setenv("REDIS_SERVER", engine(name))
    own = ("--port", str(first_port()), "--data-dir", str(tmp_path / "cluster"))
    command = ("up", "--redis", "sentinel", "--tour", "--once", *own)
    status, told, facts = await play_scenes(tmp_path, ("chaos",), *CHAOS, "--lang", "en", command=command)
    assert status == 0, told
    assert facts["chaos"]["acked"] > 20
    assert facts["chaos"]["lost"] == 0
    assert facts["chaos"]["faults"].keys() >= {"redis_kill", "redis_pause"}


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
async def test_the_tour_holds_while_nodes_are_killed_on_each_topology(tmp_path, topology):
    own = ("--port", str(first_port()), "--data-dir", str(tmp_path / "cluster"))
    command = ("up", "--redis", topology, "--tour", "--once", *own)
    status, told, facts = await play_scenes(tmp_path, SCENES, "--lang", "en", command=command)
    assert status == 0, told
    assert facts.keys() >= {"consistency", "recovery", "failover", "devices", "approval", "node-failure"}
    assert facts["node-failure"]["lost"] == 0
    assert facts["node-failure"]["runs_taken_over"] >= 1


async def test_a_chaos_holds_on_a_redis_cluster(tmp_path):
    own = ("--port", str(first_port()), "--data-dir", str(tmp_path / "cluster"))
    command = ("up", "--redis", "cluster", "--tour", "--once", *own)
    status, told, facts = await play_scenes(tmp_path, ("chaos",), *CHAOS, "--lang", "en", command=command)
    assert status == 0, told
    assert facts["chaos"]["acked"] > 20
    assert facts["chaos"]["lost"] == 0
    assert facts["chaos"]["faults"].keys() & {"redis_kill", "redis_pause"}


@pytest.mark.parametrize("name", ["valkey", "debian"])
async def test_a_redis_cluster_of_each_engine_is_resharded(tmp_path, monkeypatch, name):
    monkeypatch.setenv("REDIS_SERVER", engine(name))
    status, told, facts = await play_scenes(tmp_path, ("reshard",), "--lang", "en")
    assert status == 0, told
    assert facts["reshard"]["lost"] == 0
    assert facts["reshard"]["faults"]["slot_move"] >= 2


async def test_a_failover_holds_on_valkey(tmp_path, monkeypatch):
    monkeypatch.setenv("REDIS_SERVER", engine("valkey"))
    status, told, facts = await play_scenes(tmp_path, ("redis-failover",), "--lang", "en")
    assert status == 0, told
    assert facts["redis-failover"]["lost"] == 0
