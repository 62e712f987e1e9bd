"""The benchmarks in their short form: their figures are there, and later turns cost no more than early ones."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.turn_cost import DIALOG, LIMIT, exceeded, points_of
from tests.conftest import free_ports
from tests.waiting import within

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


async def run_benchmark(*args: str, script: str = "turn_cost.py") -> tuple[int, str]:
    """Run it as people do; its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(BENCHMARKS / script), *args),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with within(100, "the end of the benchmark"):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.faults
async def test_a_later_turn_moves_as_many_bytes_as_an_early_one_and_leaves_as_many_checkpoints(
    tmp_path: Path,
) -> None:
    file = tmp_path / "turn_cost.json"
    status, said = await run_benchmark("--json", str(file), "--turns", "30", "--port", str(free_ports(9)))

    assert file.stat().st_size, said
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert list(figures["savers"]) == ["redis", "plain"], said
    assert list(figures["baseline"]) == ["redis-unpruned"]
    for summary in [*figures["savers"].values(), *figures["baseline"].values()]:
        assert list(summary["turns"]) == ["10", "20", "30"]
        for at in summary["turns"].values():
            assert all(at[what] > 0 for what in ("ms", "bytes", "commands")), summary
    for name, summary in figures["savers"].items():
        first, *_, last = summary["turns"].values()
        assert last["bytes"] <= LIMIT * first["bytes"], name
        # How many deltas show a text is a matter of time.
        assert abs(last["commands"] - first["commands"]) <= 0.1 * first["commands"], name
        assert last["checkpoint_keys"] == first["checkpoint_keys"], name
    # Where nothing is pruned they grow: that they do not is no artefact of how they are counted.
    first, *_, last = figures["baseline"]["redis-unpruned"]["turns"].values()
    assert last["checkpoint_keys"] > 2 * first["checkpoint_keys"]

    # The milliseconds may be anything on a busy machine, but the exit status says what they were.
    problems = exceeded(figures["savers"])
    assert status == (1 if problems else 0), said
    assert max(map(len, said.splitlines())) <= 80


def test_what_costs_too_much_in_the_end_is_named_with_its_saver() -> None:
    savers = {
        "redis": {"ratios": {"ms": 1.5, "bytes": 1.51, "commands": 9.0}},
        "plain": {"ratios": {"ms": 2.25, "bytes": 1.0, "commands": 1.0}},
    }
    assert [problem.split(" times")[0] for problem in exceeded(savers)] == [
        "redis: the last point costs 1.51",
        "plain: the last point costs 2.25",
    ]


@pytest.mark.parametrize(
    ("turns", "points"),
    [(500, (10, 100, 500)), (200, (10, 100, 200)), (100, (10, 50, 100)), (40, (10, 20, 40)), (30, (10, 20, 30))],
)
def test_the_benchmark_measures_each_point_at_the_same_place_in_the_dialog(
    turns: int, points: tuple[int, ...]
) -> None:
    assert points_of(turns) == points
    assert {point % len(DIALOG) for point in points} == {0}


async def test_a_number_of_turns_that_makes_no_points_is_refused_with_what_to_write(tmp_path: Path) -> None:
    status, said = await run_benchmark("--json", str(tmp_path / "f.json"), "--turns", "35")
    assert status == 2
    assert "--turns 35: write a multiple of 10, at least 30" in said


async def test_appends_are_measured_beside_what_redis_can_do_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "append.json"
    short = ("--seconds", "0.1", "--at-once", "4", "--limit", "loop", "--port", str(free_ports(1) + 379))
    status, said = await run_benchmark("--json", str(file), *short, script="append.py")
    assert status == 0, said
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert [row["appendfsync"] for row in figures["rows"]] == ["always", "no"]
    for row in figures["rows"]:
        assert min(row[what] for what in ("appends_per_s", "appends_per_cpu_s", "ms", "limit_per_s")) > 0
    assert max(map(len, said.splitlines())) <= 80
