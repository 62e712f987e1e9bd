"""The dialog measures durations by monotonic clocks only: a clock that is set back changes nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

DIALOG = Path(__file__).parents[2] / "sio_server" / "dialog"
GRAPHS = DIALOG / "graphs"  # what an agent says may well depend on the date
WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}


def wall_clock_reads(source: str) -> Iterator[str]:
    """Every read of a wall clock in a module, also by an imported name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            name = ".".join(ast.unparse(node).split(".")[-2:])
            if name in WALL_CLOCK:
                yield name
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if f"time.{alias.name}" in WALL_CLOCK)


def test_nothing_in_the_dialog_reads_a_wall_clock():
    modules = [path for path in DIALOG.rglob("*.py") if GRAPHS not in path.parents]
    assert len(modules) > 10
    assert {path.name: reads for path in modules if (reads := list(wall_clock_reads(path.read_text())))} == {}


@pytest.mark.parametrize(
    "line",
    ["import time\nx = time.time()", "from time import time", "import datetime\ny = datetime.datetime.now()"],
)
def test_a_read_of_a_wall_clock_would_be_found(line):
    assert list(wall_clock_reads(line))
