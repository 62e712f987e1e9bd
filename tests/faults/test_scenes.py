"""The spare scenes as people play them, by the command, on a cluster of their own: exit status and facts."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from roomgraph.tour import play as tour
from roomgraph.tour.schedule import schedule
from tests.waiting import poll

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
SOAK = bool(os.environ.get("SOAK"))
COUNTS = ("sent", "acked", "lost", "duplicated", "reordered")


async def play(tmp_path: Path, scene: str, *options: str, timeout: float = 200) -> tuple[int, str, dict[str, Any]]:
    """Play a scene as a person would, with nothing else running; returns exit status, output and facts."""
    status, told, facts = await play_scenes(tmp_path, [scene], *options, timeout=timeout)
    return status, told, facts[scene]


async def play_scenes(
    tmp_path: Path,
    scenes: Sequence[str],
    *options: str,
    command: Sequence[str] = ("tour",),
    timeout: float = 200,
) -> tuple[int, str, dict[str, Any]]:
    """The same of several scenes, one of which has to be a spare one, on one cluster; facts by their names."""
    facts = tmp_path / "facts.json"
    env = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "PORT", "AUTH_MODE")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roomgraph", *command, "--json", str(facts), *options),
        *(word for scene in scenes for word in ("--scene", scene)),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**env, "COLUMNS": "80"},
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), timeout)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    told = output.decode() + errors.decode()
    assert "Traceback" not in told
    assert process.returncode is not None
    # But for what is there to be copied.
    lines = [line for line in output.decode().splitlines() if "json" not in line and "redis+" not in line]
    assert all(len(line) <= 80 for line in lines), told
    return process.returncode, told, json.loads(facts.read_text())["scenes"]


def assert_nothing_is_lost(facts: dict[str, Any]) -> None:
    assert {name: facts[name] for name in COUNTS[2:]} == {"lost": 0, "duplicated": 0, "reordered": 0}
    assert facts["acked"] == facts["sent"] > 50


async def test_the_scene_in_which_a_node_dies_under_load_holds(tmp_path):
    status, told, facts = await play(tmp_path, "node-failure", "--lang", "en")
    assert status == 0, told
    assert facts["ok"] is True
    assert_nothing_is_lost(facts)
    assert facts["faults"] == {"node_kill": 1}
    assert facts["moved"]
    assert all(device["from"] == facts["node"] != device["to"] for device in facts["moved"])
    assert 0 <= facts["recovery_s"] <= 3  # nothing may have been written while its devices were away
    assert 0 < facts["latency_ms"]["p50"] <= facts["latency_ms"]["p99"] <= 1000
    assert 1 <= facts["runs_taken_over"] <= facts["runs"] == 6
    assert f"Node {facts['node']}, with" in told


async def test_the_scene_with_a_slow_network_and_a_node_that_is_cut_off_holds(tmp_path):
    status, told, facts = await play(tmp_path, "latency", "--lang", "zh")
    assert status == 0, told
    assert facts["ok"] is True
    assert_nothing_is_lost(facts)
    assert facts["faults"] == {"slow": 2, "partition": 1}
    slow, slower = facts["steps"]
    assert (slow["delay_ms"], slower["delay_ms"]) == (100, 500)
    assert slow["p50"] >= 100
    assert slower["p50"] >= 500
    assert (slow["taken_over"], slower["taken_over"]) == (0, 0)
    assert facts["not_ready_s"] <= 5
    assert facts["was_ready"] is True
    assert facts["moved_s"] <= 6
    assert "网络已恢复" in told


async def test_the_scene_in_which_redis_fails_over_holds(tmp_path):
    status, told, facts = await play(tmp_path, "redis-failover", "--lang", "en")
    assert status == 0, told
    assert_nothing_is_lost(facts)
    assert facts["faults"] == {"redis_kill": 1, "redis_pause": 1, "planned_failover": 1}
    assert [step["fault"] for step in facts["steps"]] == ["killed", "paused", "planned"]
    # One step need not begin with the primary of the step before: on a machine that stands still for longer than
    # down-after-milliseconds Sentinel moves it once more between them.
    assert all(step["from"] != step["to"] for step in facts["steps"])
    assert facts["recovery_s"] == max(step["back_s"] for step in facts["steps"]) > 0
    assert facts["runs"] >= 9
    assert all(step["runs_hit"] > 0 for step in facts["steps"])
    assert all(step["acked_s"] > 0 for step in facts["steps"])
    assert "took its place" in told
    assert "DURABLE_REPLICAS=2" in told


async def test_the_scene_in_which_a_redis_cluster_loses_primaries_and_moves_slots_holds(tmp_path):
    status, told, facts = await play(tmp_path, "reshard", "--lang", "en")
    assert status == 0, told
    assert_nothing_is_lost(facts)
    assert facts["faults"] == {
        **{"slot_move": facts["faults"]["slot_move"], "redis_kill": 2, "redis_pause": 1},
        **{"planned_failover": 3, "shard_cut": 1},
    }
    assert facts["faults"]["slot_move"] >= 2
    assert 0 < facts["recovery_s"] <= 15
    assert sorted(step["fault"] for step in facts["steps"]) == [
        "cut",
        "killed",
        "killed",
        "paused",
        *3 * ["planned"],
    ]
    runs = facts["runs"]
    assert runs >= 18
    assert f"{runs} of {runs} answers ended exactly once" in told


async def test_chaos_holds_and_its_seed_repeats_it(tmp_path):
    status, told, facts = await play(tmp_path, "chaos", "--seed", "7", "--duration", "12", "--lang", "en")
    assert status == 0, told
    assert facts["ok"] is True
    assert_nothing_is_lost_of_what_was_acked(facts)
    assert (facts["seed"], facts["duration_s"], facts["anomalies"]) == (7, 12, [])
    planned = Counter(fault.kind.value for fault in schedule(7, 12, nodes=3, devices=5))
    # On a slow machine a fault that would have to wait until the end is left out.
    assert facts["faults"].keys() <= planned.keys()
    assert all(count <= planned[kind] for kind, count in facts["faults"].items())
    assert sum(facts["faults"].values()) >= len(planned) / 2
    assert facts["runs"] >= 3
    assert "Seed 7" in told


def assert_nothing_is_lost_of_what_was_acked(facts: dict[str, Any]) -> None:
    assert {name: facts[name] for name in COUNTS[2:]} == {"lost": 0, "duplicated": 0, "reordered": 0}
    assert 20 < facts["acked"] <= facts["sent"]
    assert facts["recovery_s"] is not None
    assert facts["latency_ms"]["p50"] <= facts["latency_ms"]["p99"]


@pytest.mark.skipif(not SOAK, reason="ten minutes each: SOAK=1")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 7, 42])
async def test_a_chaos_of_ten_minutes_breaks_no_promise(tmp_path, seed):
    options = ("--seed", str(seed), "--duration", "600", "--lang", "en")
    status, told, facts = await play(tmp_path, "chaos", *options, timeout=1100)
    assert status == 0, told
    assert_nothing_is_lost_of_what_was_acked(facts)
    assert facts["anomalies"] == []


async def test_a_scene_in_which_a_node_exits_unexpectedly_does_not_pass(start_cluster, tmp_path, monkeypatch):
    cluster = await start_cluster(nodes=2)

    async def looks_well(stage: Any) -> dict[str, Any]:
        os.kill(cluster.pids[f"node-{cluster.ports[1]}"], signal.SIGKILL)
        await poll(lambda: cluster.unexpected_ends)
        return {"ok": True}

    monkeypatch.setitem(tour._ALL, "status", {"status": looks_well})
    output, facts = io.StringIO(), tmp_path / "facts.json"
    passed = await tour.play(
        cluster.urls[:1],
        console=Console(file=output),
        language="en",
        clients=3,
        scenes=["status"],
        json_file=facts,
        alone=False,
        nodes=cluster,
    )
    assert not passed
    ended = f"node-{cluster.ports[1]}"
    assert json.loads(facts.read_text())["scenes"]["status"] == {"ok": False, "unexpected_ends": [ended]}
    assert f"Processes exited unexpectedly: {ended}." in output.getvalue()
