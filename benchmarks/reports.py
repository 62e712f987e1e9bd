"""What the benchmarks show and are told: options, tables, the file of figures, one line for an error."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from benchmarks.load_generator import BenchmarkError
from sio_server.local.errors import ClusterError
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.open_files import raise_open_files


def add_common_options(parser: argparse.ArgumentParser, names: Sequence[str], *, rounds: int = 5) -> None:
    """`--only`, `--json`, and `--rounds` unless there are none."""
    parser.add_argument(
        "--only", nargs="+", choices=names, default=list(names), metavar="NAME", help=", ".join(names)
    )
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"(default: {rounds})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")


def parse_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line; a file that cannot be written is told before anything is measured."""
    options = parser.parse_args()
    if options.json:
        try:
            with options.json.open("a", encoding="utf-8"):
                pass
        except OSError as exc:
            parser.error(f"--json {options.json}: {exc.strerror}; name a file that can be written")
    return options


def new_table(title: str, first: str, columns: Sequence[str]) -> Table:
    """A table for a terminal of 80 columns."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures, if a file was named."""
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def run(benchmark: Callable[[], Awaitable[int]]) -> None:
    """Run a benchmark as a program, and end with its exit status."""
    raise_open_files()

    async def awaited() -> int:
        return await benchmark()

    try:
        sys.exit(asyncio.run(awaited()))
    except (BenchmarkError, ClusterError, NoEmbeddedRedis) as exc:
        sys.exit(f"✘ {exc}")
