"""How long a message takes to its members at the same moderate load on every server: p50, p99 and p99.9.

    python -m benchmarks.latency --json latency.json

As `benchmarks.fanout`, but messages come at a fixed rate, and a delivery's latency counts from when its message
was due: a server that falls behind does not get fewer of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.contenders import KINDS, Contender, Kind, install
from benchmarks.fanout import CLIENTS, NODES, rooms_of, warm
from benchmarks.machine import described
from benchmarks.reports import add_common_options, new_table, parse_options, run, write_json

FAN_OUTS = (10, 100)
DELIVERIES = 3000  # a second: a third of what the slowest server can do on one core
WHAT = ("p50_us", "p99_us", "p999_us")

Figures = dict[str, float]


async def measure(
    kinds: Sequence[Kind], options: argparse.Namespace, on_step: Callable[[str], None]
) -> dict[str, dict[int, list[Figures]]]:
    """The figures of each round, by the server's name and the fan-out."""
    figures: dict[str, dict[int, list[Figures]]] = {kind.name: {n: [] for n in FAN_OUTS} for kind in kinds}
    rooms = {name: members for n in FAN_OUTS for name, members in rooms_of(n, options.clients).items()}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latency-")))
        contenders = []
        for kind in kinds:
            on_step(f"start {kind.name}")
            contender = Contender(kind, NODES, folder)
            stack.push_async_callback(contender.stop)
            await contender.start()
            contender.add_clients(options.clients)
            await contender.fill_rooms(rooms)
            await warm(contender, [str(n) for n in FAN_OUTS], options.size, options.clients)
            contenders.append(contender)
        for number in range(options.rounds):
            for n in FAN_OUTS:
                for contender in contenders[:: 1 if number % 2 else -1]:
                    on_step(f"round {number + 1} of {options.rounds}: {contender.kind.name}, rooms of {n}")
                    generator = contender.generator
                    some = rooms_of(n, options.clients)
                    generator.rooms((each, contender.message(name, options.size)) for name, each in some.items())
                    rate = options.deliveries / n
                    await generator.run(f"open 0.5 {rate}")
                    result = await generator.run(f"open {options.seconds} {rate}")
                    figures[contender.kind.name][n].append({what: result[what] for what in WHAT})
    return figures


async def main(options: argparse.Namespace) -> int:
    """Measure, tell, and return the exit status."""
    console = Console()
    kinds = [KINDS[name] for name in options.only]
    install(kinds)
    with console.status("") as status:
        figures = await measure(kinds, options, status.update)
    medians = {
        name: {
            n: {what: statistics.median(each[what] for each in rounds) for what in WHAT}
            for n, rounds in at.items()
        }
        for name, at in figures.items()
    }
    title = f"Latency of a delivery in ms at {options.deliveries:,} deliveries a second: p50 / p99 / p99.9"
    table = new_table(title, "server", [f"rooms of {n}" for n in FAN_OUTS])
    for name, at in medians.items():
        cells = (" / ".join(f"{at[n][what] / 1000:.1f}" for what in WHAT) for n in FAN_OUTS)
        table.add_row(KINDS[name].title, *cells)
    console.print(table)
    write_json(options.json, {"machine": described(), "medians": medians, "rounds": figures})
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Latency at the same moderate load on every server.")
    add_common_options(parser, list(KINDS))
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"(default: {CLIENTS})")
    parser.add_argument("--deliveries", type=int, default=DELIVERIES, help=f"a second (default: {DELIVERIES})")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each figure (default: 5)")
    parser.add_argument("--size", type=int, default=100, help="bytes of text in a message (default: 100)")
    return parse_options(parser)


if __name__ == "__main__":
    run(lambda: main(arguments()))
