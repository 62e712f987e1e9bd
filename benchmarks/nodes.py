"""What a message costs the nodes that have no member of its room, with 1, 2, 4 and 8 nodes.

    python -m benchmarks.nodes --json nodes.json

All clients are on the first node, in rooms of 10, each with a message in flight, but for one on each other node,
which is in no room. What the other nodes use in as much time without any message is subtracted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.contenders import KINDS, Contender, Kind, install
from benchmarks.fanout import rooms_of
from benchmarks.machine import described
from benchmarks.reports import add_common_options, new_table, parse_options, run, write_json

NODES = (1, 2, 4, 8)
FAN_OUT = 10
CLIENTS = 100
NAMES = ("ours", "stock", "node-pubsub", "node-sharded", "node-streams")

Figures = dict[str, float]


async def measure(kind: Kind, nodes: int, seconds: float, folder: Path) -> Figures:
    """One server of so many nodes."""
    contender = Contender(kind, nodes, folder)
    try:
        await contender.start()
        contender.add_clients(CLIENTS, node=0)
        for other in range(1, nodes):  # a node that has no client at all may not listen yet
            contender.add_clients(1, node=other)
        rooms = rooms_of(FAN_OUT, CLIENTS)
        await contender.fill_rooms(rooms)
        generator = contender.generator
        generator.rooms((members, contender.message(room, 100)) for room, members in rooms.items())
        await generator.run(f"closed {kind.warm_s} 1")
        await contender.until_quiet()
        before = contender.spent()
        result = await generator.run(f"idle {seconds}")
        idle, idle_s = contender.spent() - before, result["seconds"]
        before = contender.spent()
        result = await generator.run(f"closed {seconds} 1")
        await contender.until_quiet()
        spent = contender.spent() - before
    finally:
        await contender.stop()
    messages = result["messages"]
    others = [
        busy - quiet * result["seconds"] / idle_s
        for busy, quiet in zip(spent.each_node[1:], idle.each_node[1:], strict=True)
    ]
    return {
        "messages": messages,
        "us_with_members": spent.each_node[0] / messages * 1e6,
        "us_each_without": sum(others) / len(others) / messages * 1e6 if others else 0.0,
        "redis_us": spent.redis / messages * 1e6,
        "redis_commands": spent.commands / messages,
        "redis_bytes": spent.redis_bytes / messages,
    }


async def measure_all(
    options: argparse.Namespace, on_step: Callable[[str], None]
) -> dict[str, dict[int, Figures]]:
    """Figures by the server's name and the number of nodes."""
    figures: dict[str, dict[int, Figures]] = {name: {} for name in options.only}
    with tempfile.TemporaryDirectory(prefix="nodes-") as folder:
        for nodes in NODES:
            for name in options.only:
                on_step(f"{name} with {nodes} nodes")
                figures[name][nodes] = await measure(
                    KINDS[name], nodes, options.seconds, Path(folder) / str(nodes)
                )
    return figures


async def main(options: argparse.Namespace) -> int:
    """Measure, tell, and return the exit status."""
    console = Console()
    install([KINDS[name] for name in options.only])
    with console.status("") as status:
        figures = await measure_all(options, status.update)
    columns = [f"{nodes} nodes" for nodes in NODES[1:]]
    table = new_table("CPU of a message on each node without members (µs)", "server", ["with members", *columns])
    redis = new_table("Redis, per message: CPU (µs), commands, bytes in and out", "server", ["1 node", *columns])
    for name, at in figures.items():
        with_members = f"{at[1]['us_with_members']:.0f}"
        cells = (f"{at[nodes]['us_each_without']:.1f}" for nodes in NODES[1:])
        table.add_row(KINDS[name].title, with_members, *cells)
        each = (at[nodes] for nodes in NODES)
        cells = (f"{of['redis_us']:.0f}, {of['redis_commands']:.1f}, {of['redis_bytes']:,.0f}" for of in each)
        redis.add_row(KINDS[name].title, *cells)
    console.print(table, redis)
    write_json(options.json, {"machine": described(), "figures": figures})
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What a message costs nodes that have no member of its room.")
    add_common_options(parser, NAMES, rounds=0)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each figure (default: 3)")
    return parse_options(parser)


if __name__ == "__main__":
    run(lambda: main(arguments()))
