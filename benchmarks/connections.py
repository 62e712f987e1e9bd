"""What a connection costs: memory while idle, CPU to connect and to disconnect, and a return of many at once.

    python -m benchmarks.connections --json connections.json

One node of each server, one after another. CPU is measured with few and with many clients connected; what the node
uses meanwhile for those that are connected already (pings) is measured before and subtracted. "Connected" means
that the client has been told so: with Roomgraph its token has been checked and its session is in Redis by then.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.contenders import KINDS, Contender, Kind, install
from benchmarks.fanout import rooms_of
from benchmarks.load_generator import Generator
from benchmarks.machine import described
from benchmarks.reports import add_common_options, new_table, parse_options, run, write_json
from sio_server.open_files import raise_open_files

NAMES = ("ours", "stock", "channels", "node-pubsub", "node-streams", "bare-picows")
FEW, MANY, STEP = 1000, 8000, 1000
SETTLE_S = 3.0  # news of connections may be batched, and memory given back
OTHERS, FAN_OUT, RATE = 1000, 10, 100  # clients that talk while the others return, and their messages a second
RETURNING, AT_ONCE = 5000, 1000

Figures = dict[str, Any]


async def idle_cost(contender: Contender) -> float:
    """CPU seconds a second of the node, with the clients that are connected now."""
    before = contender.spent()
    result = await contender.generator.run(f"idle {SETTLE_S}")
    return (contender.spent() - before).nodes / float(result["seconds"])


async def cost_of_step(contender: Contender, first: int) -> tuple[float, float]:
    """CPU µs of a connect and of a disconnect, of clients `first` and following, in the midst of those before."""
    costs = []
    for command in (contender.generator.connect, contender.generator.disconnect):
        quiet = await idle_cost(contender)
        before = contender.spent()
        result = await command(first, STEP)
        settled = await contender.generator.run(f"idle {SETTLE_S}")
        used = (contender.spent() - before).nodes - quiet * (result["seconds"] + settled["seconds"])
        costs.append(used / STEP * 1e6)
    return costs[0], costs[1]


async def measure_idle(kind: Kind, many: int, folder: Path) -> Figures:
    """Memory, and CPU of connects and disconnects at two numbers of clients."""
    contender = Contender(kind, 1, folder)
    figures: Figures = {}
    try:
        await contender.start()
        contender.add_clients(many + STEP)
        generator = contender.generator
        # Code is compiled and caches are filled before anything counts.
        for _ in range(3):
            await generator.connect(0, 300)
            await generator.disconnect(0, 300)
        await generator.run(f"idle {SETTLE_S}")
        rss, pss = contender.memory_kb()
        await generator.connect(0, FEW)
        figures["connect_us_few"], figures["disconnect_us_few"] = await cost_of_step(contender, FEW)
        await generator.connect(FEW, many - FEW)
        figures["idle_cpu"] = await idle_cost(contender)
        rss_many, pss_many = contender.memory_kb()
        figures["rss_kb"], figures["pss_kb"] = (rss_many - rss) / many, (pss_many - pss) / many
        figures["connect_us_many"], figures["disconnect_us_many"] = await cost_of_step(contender, many)
    finally:
        await contender.stop()
    return figures


async def measure_return(kind: Kind, folder: Path) -> Figures:
    """The p99 of clients that talk, before and while thousands of others connect."""
    contender = Contender(kind, 1, folder)
    returning = Generator(kind.name)
    try:
        await contender.start()
        contender.add_clients(OTHERS)
        rooms = rooms_of(FAN_OUT, OTHERS)
        await contender.fill_rooms(rooms)
        talking = contender.generator
        talking.rooms((members, contender.message(room, 100)) for room, members in rooms.items())
        await contender.new_generator(returning)
        contender.add_clients(RETURNING, returning)
        await returning.connect(0, RETURNING, AT_ONCE)
        await returning.disconnect(0, RETURNING)
        await talking.run(f"open {kind.warm_s} {RATE}")
        await talking.run(f"idle {SETTLE_S}")
        before = await talking.run(f"open 5 {RATE}")
        meanwhile = await talking.begin(f"open 600 {RATE}")
        came = await returning.connect(0, RETURNING, AT_ONCE)
        await talking.stop()
        during = await meanwhile
    finally:
        await returning.close()
        await contender.stop()
    return {
        "p99_ms_before": before["p99_us"] / 1000,
        "p99_ms_during": during["p99_us"] / 1000,
        "return_s": came["seconds"],
        "return_refused": came["failed"],
    }


async def measure_all(options: argparse.Namespace, on_step: Callable[[str], None]) -> dict[str, Figures]:
    """Figures by the server's name."""
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="connections-") as folder:
        for name in options.only:
            on_step(f"{name}: {options.many} connections")
            figures[name] = await measure_idle(KINDS[name], options.many, Path(folder) / "idle")
            on_step(f"{name}: a return of {RETURNING}")
            figures[name] |= await measure_return(KINDS[name], Path(folder) / "return")
    return figures


async def main(options: argparse.Namespace) -> int:
    """Measure, tell, and return the exit status."""
    console = Console()
    install([KINDS[name] for name in options.only])
    files = raise_open_files()
    possible = (files - 500) // STEP * STEP - STEP
    if options.many > possible:
        console.print(f"Only {files} files may be open (ulimit -n): {possible} clients instead of {options.many}.")
        options.many = possible
    with console.status("") as status:
        figures = await measure_all(options, status.update)
    costs = new_table(
        f"A connection: kB of {options.many:,} idle ones, CPU (µs) at {FEW:,} and at {options.many:,}",
        "server",
        ["RSS", "PSS", "connect", "disconnect"],
    )
    returns = new_table(
        f"A return of {RETURNING:,}: p99 of the others (ms)", "server", ["before", "during", "ratio", "it took"]
    )
    for name, of in figures.items():
        costs.add_row(
            KINDS[name].title,
            f"{of['rss_kb']:.1f}",
            f"{of['pss_kb']:.1f}",
            f"{of['connect_us_few']:.0f}, {of['connect_us_many']:.0f}",
            f"{of['disconnect_us_few']:.0f}, {of['disconnect_us_many']:.0f}",
        )
        before, during = of["p99_ms_before"], of["p99_ms_during"]
        cells = f"{before:.1f}", f"{during:.1f}", f"{during / before:.1f}", f"{of['return_s']:.1f} s"
        returns.add_row(KINDS[name].title, *cells)
    console.print(costs, returns)
    write_json(options.json, {"machine": described(), "figures": figures})
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Memory and CPU of connections, and a return of many at once.")
    add_common_options(parser, NAMES, rounds=0)
    parser.add_argument("--many", type=int, default=MANY, help=f"idle clients (default: {MANY})")
    return parse_options(parser)


if __name__ == "__main__":
    run(lambda: main(arguments()))
