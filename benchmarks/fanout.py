"""Deliveries per CPU second of a server's nodes, by the number of members of a room, against other servers.

    python -m benchmarks.fanout --json fanout.json

Two nodes of each server share one core; Redis and the load generator have the other. 1,000 websocket clients, half
of them on each node, are in rooms of 1, 10, 100 and 1,000; each room has a message in flight all the time. The
servers take turns: every round measures each of them at each size, and the figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import KINDS, Contender, Kind, install
from benchmarks.machine import described
from benchmarks.reports import add_common_options, new_table, parse_options, run, write_json

# Members of a room, and messages in flight in each. With one in flight in a single room of 1,000, servers wait
# between two messages and have nothing to join; with 20 they do not.
LOADS = ("1", "10", "100", "1000", "1000x20")
CLIENTS = 1000
NODES = 2
SETTLE_S = 0.3  # of load before each figure

Figures = dict[str, float]
Summaries = Mapping[str, Mapping[str, Figures]]


def parse_load(load: str) -> tuple[int, int]:
    """`100` as (100, 1), `1000x20` as (1000, 20). Raises ValueError."""
    fan_out, _, in_flight = load.partition("x")
    return int(fan_out), int(in_flight or 1)


def rooms_of(fan_out: int, clients: int) -> dict[str, list[int]]:
    """Rooms of `fan_out` neighbours, half on each node; their first members, who send, are on both nodes."""
    rooms = {}
    for number in range(clients // fan_out):
        members = list(range(number * fan_out, (number + 1) * fan_out))
        turned = number % fan_out
        rooms[f"room-{fan_out}-{number}"] = members[turned:] + members[:turned]
    return rooms


async def measure_once(contender: Contender, load: str, seconds: float, size: int, clients: int) -> Figures:
    """One figure: a short run that is not counted, then the run."""
    fan_out, in_flight = parse_load(load)
    rooms = rooms_of(fan_out, clients)
    generator = contender.generator
    generator.rooms((members, contender.message(room, size)) for room, members in rooms.items())
    await generator.run(f"closed {SETTLE_S} {in_flight}")
    await contender.until_quiet()
    before = contender.spent()
    result = await generator.run(f"closed {seconds} {in_flight}")
    await contender.until_quiet()
    spent = contender.spent() - before
    return {
        "deliveries_per_cpu_s": result["deliveries"] / spent.nodes,
        "deliveries_per_s": result["deliveries"] / result["seconds"],
        "node_us_per_message": spent.nodes / result["messages"] * 1e6,
        "redis_us_per_message": spent.redis / result["messages"] * 1e6,
        "redis_commands_per_message": spent.commands / result["messages"],
        "redis_bytes_per_message": spent.redis_bytes / result["messages"],
        "bytes_per_delivery": result["bytes"] / result["deliveries"],
        "p50_ms": result["p50_us"] / 1000,
        "p99_ms": result["p99_us"] / 1000,
        "generator_share": result["cpu_share"],
    }


async def warm(contender: Contender, loads: Sequence[str], size: int, clients: int) -> None:
    """Load until code is compiled and allocators have what they need."""
    for load in loads:
        fan_out, in_flight = parse_load(load)
        rooms = rooms_of(fan_out, clients)
        contender.generator.rooms((members, contender.message(room, size)) for room, members in rooms.items())
        await contender.generator.run(f"closed {contender.kind.warm_s / len(loads)} {in_flight}")


async def measure(
    kinds: Sequence[Kind],
    loads: Sequence[str],
    rounds: int,
    seconds: float,
    size: int = 100,
    clients: int = CLIENTS,
    on_step: Callable[[str], None] = lambda step: None,
) -> dict[str, dict[str, list[Figures]]]:
    """The figures of each round, by the server's name and the load. All servers run all the time."""
    figures: dict[str, dict[str, list[Figures]]] = {kind.name: {load: [] for load in loads} for kind in kinds}
    sizes = {parse_load(load)[0] for load in loads}
    rooms = {name: members for n in sizes for name, members in rooms_of(n, clients).items()}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fanout-")))
        contenders = []
        for kind in kinds:
            on_step(f"start {kind.name}")
            contender = Contender(kind, NODES, folder)
            stack.push_async_callback(contender.stop)
            await contender.start()
            contender.add_clients(clients)
            await contender.fill_rooms(rooms)
            contenders.append(contender)
        for contender in contenders:
            on_step(f"warm {contender.kind.name}")
            await warm(contender, loads, size, clients)
        for number in range(rounds):
            for load in loads:
                # In both directions: what comes before a server is not always the same.
                for contender in contenders[:: 1 if number % 2 else -1]:
                    name = contender.kind.name
                    on_step(f"round {number + 1} of {rounds}: {name}, rooms of {load}")
                    figures[name][load].append(await measure_once(contender, load, seconds, size, clients))
    return figures


def medians(figures: Mapping[str, Sequence[Figures]]) -> dict[str, Figures]:
    """Of each load the median of every figure."""
    return {
        load: {what: statistics.median(each[what] for each in rounds) for what in rounds[0]}
        for load, rounds in figures.items()
    }


def ratio(summaries: Summaries, name: str, others: Sequence[str], load: str) -> float | None:
    """Deliveries per CPU second of one against the best of some others, of those that were measured."""
    rates = [summaries[other][load]["deliveries_per_cpu_s"] for other in others if other in summaries]
    return summaries[name][load]["deliveries_per_cpu_s"] / max(rates) if rates and name in summaries else None


RATIOS = (
    ("ours : Node's best", "ours", ("node-pubsub", "node-sharded", "node-streams")),
    ("joined : Node's best", "ours-joined", ("node-pubsub", "node-sharded", "node-streams")),
    ("ours : python-socketio", "ours", ("stock",)),
    ("ours : bare", "ours", ("bare", "bare-picows")),
)


def tables_of(summaries: Summaries) -> list[Table]:
    """The figures for people, in 80 columns."""
    loads = list(next(iter(summaries.values())))
    columns = [load.replace("x", " x") for load in loads]
    rates = new_table("Deliveries per CPU second of the nodes, by members of a room", "server", columns)
    costs = new_table("CPU of Redis per message (µs), and bytes of a delivery", "server", [*columns, "bytes"])
    for name, at in summaries.items():
        rates.add_row(KINDS[name].title, *(f"{at[load]['deliveries_per_cpu_s']:,.0f}" for load in loads))
        size = at[loads[0]]["bytes_per_delivery"]
        costs.add_row(
            KINDS[name].title, *(f"{at[load]['redis_us_per_message']:.0f}" for load in loads), f"{size:.0f}"
        )
    rates.add_section()
    for title, name, others in RATIOS:
        ratios = [ratio(summaries, name, others, load) for load in loads]
        if all(each is not None for each in ratios):
            rates.add_row(title, *(f"{each:.2f}" for each in ratios), style="bold")
    return [rates, costs]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deliveries per CPU second, by the size of rooms.")
    add_common_options(parser, list(KINDS))
    said = f"members of a room, and messages in flight in each unless it is one (default: {' '.join(LOADS)})"
    parser.add_argument("--loads", nargs="+", default=list(LOADS), metavar="N[xM]", help=said)
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"(default: {CLIENTS})")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each figure (default: 3)")
    parser.add_argument("--size", type=int, default=100, help="bytes of text in a message (default: 100)")
    return parse_options(parser)


async def main(options: argparse.Namespace) -> int:
    console = Console()
    kinds = [KINDS[name] for name in options.only]
    install(kinds)
    with console.status("") as status:
        what = options.loads, options.rounds, options.seconds, options.size, options.clients
        figures = await measure(kinds, *what, on_step=status.update)
    summaries = {name: medians(each) for name, each in figures.items()}
    for table in tables_of(summaries):
        console.print(table)
    share = max(each["generator_share"] for at in summaries.values() for each in at.values())
    console.print(f"The load generator used {share:.0%} of its core at most.", highlight=False)
    write_json(options.json, {"machine": described(), "medians": summaries, "rounds": figures})
    return 0


if __name__ == "__main__":
    run(lambda: main(arguments()))
