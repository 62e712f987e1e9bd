"""What the figures of the other benchmarks mean for a number of devices: nodes, Redis, memory.

    python -m benchmarks.cost_model --fanout fanout.json --connections connections.json

A message costs its nodes a part for itself and a part for each delivery; both come from rooms of 1, 10 and 100 by
least squares of relative errors. What devices do is assumed: the options say how often they write and connect.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.reports import new_table

DEVICES = (10_000, 1_000_000, 100_000_000)
FULL = 0.6  # of a core: what is above is for a node's death and for peaks
NAME = "ours"


@dataclass(frozen=True)
class Costs:
    """CPU in microseconds, memory in kB."""

    send: float
    delivery: float
    connect: float
    disconnect: float
    idle_per_s: float  # of a connection: pings
    kb: float
    redis: float  # of a message
    redis_commands: float
    redis_bytes: float


@dataclass(frozen=True)
class Habits:
    """What devices do."""

    message_every_s: float
    members: int
    connect_every_s: float


@dataclass(frozen=True)
class Needs:
    """What a number of devices takes."""

    messages_per_s: float
    node_cores: float
    node_gb: float
    redis_cores: float
    redis_mb_per_s: float

    @property
    def nodes(self) -> int:
        """Nodes, each of which has one core."""
        return math.ceil(self.node_cores / FULL)

    @property
    def redises(self) -> int:
        """Redis servers, each of which executes scripts on one core."""
        return math.ceil(self.redis_cores / FULL)


def split(us_by_members: dict[int, float]) -> tuple[float, float]:
    """CPU of a message as a part for itself and one for each delivery: the line that fits best."""
    # Weighted by 1/cost², so that each size of room counts alike.
    points = [(members, us, 1 / us**2) for members, us in us_by_members.items()]
    total = sum(weight for *_, weight in points)
    mean_x = sum(x * weight for x, _, weight in points) / total
    mean_y = sum(y * weight for _, y, weight in points) / total
    above = sum(weight * (x - mean_x) * (y - mean_y) for x, y, weight in points)
    slope = above / sum(weight * (x - mean_x) ** 2 for x, _, weight in points)
    return mean_y - slope * mean_x, slope


def costs_of(fanout: dict[str, Any], connections: dict[str, Any], clients: int) -> Costs:
    """The costs in the files of `fanout` and `connections`."""
    at = fanout["medians"][NAME]
    send, delivery = split(
        {int(n): each["node_us_per_message"] for n, each in at.items() if n in ("1", "10", "100")}
    )
    of = connections["figures"][NAME]
    return Costs(
        send=send,
        delivery=delivery,
        connect=of["connect_us_many"],
        disconnect=of["disconnect_us_many"],
        idle_per_s=of["idle_cpu"] / clients * 1e6,
        kb=of["pss_kb"],
        redis=at["10"]["redis_us_per_message"],
        redis_commands=at["10"]["redis_commands_per_message"],
        redis_bytes=at["10"]["redis_bytes_per_message"],
    )


def needs_of(devices: int, costs: Costs, habits: Habits) -> Needs:
    """What so many devices take that are all connected."""
    messages = devices / habits.message_every_s
    connects = devices / habits.connect_every_s
    node_us = (
        messages * (costs.send + habits.members * costs.delivery)
        + connects * (costs.connect + costs.disconnect)
        + devices * costs.idle_per_s
    )
    return Needs(
        messages_per_s=messages,
        node_cores=node_us / 1e6,
        node_gb=devices * costs.kb / 1e6,
        redis_cores=messages * costs.redis / 1e6,
        redis_mb_per_s=messages * costs.redis_bytes / 1e6,
    )


def main() -> None:
    """Print the costs and what they come to."""
    parser = argparse.ArgumentParser(description="What the figures mean for a number of devices.")
    parser.add_argument("--fanout", type=Path, required=True, metavar="FILE", help="of benchmarks.fanout --json")
    parser.add_argument(
        "--connections", type=Path, required=True, metavar="FILE", help="of benchmarks.connections"
    )
    parser.add_argument("--many", type=int, default=8000, help="clients of benchmarks.connections (default: 8000)")
    parser.add_argument("--message-every", type=float, default=300, help="seconds, of a device (default: 300)")
    parser.add_argument("--members", type=int, default=10, help="devices that get a message (default: 10)")
    parser.add_argument("--connect-every", type=float, default=1800, help="seconds, of a device (default: 1800)")
    options = parser.parse_args()
    fanout, connections = (
        json.loads(file.read_text(encoding="utf-8")) for file in (options.fanout, options.connections)
    )
    costs = costs_of(fanout, connections, options.many)
    habits = Habits(options.message_every, options.members, options.connect_every)
    console = Console()
    table = new_table("What things cost", "thing", ["figure"])
    for name, value in vars(costs).items():
        table.add_row(name, f"{value:,.1f}")
    needs = new_table("Devices, and what they take", "", [f"{devices:,}" for devices in DEVICES])
    all_needs = [needs_of(devices, costs, habits) for devices in DEVICES]
    for name in ("messages_per_s", "node_cores", "nodes", "node_gb", "redis_cores", "redises", "redis_mb_per_s"):
        needs.add_row(name, *(f"{getattr(each, name):,.1f}".removesuffix(".0") for each in all_needs))
    console.print(table, needs)


if __name__ == "__main__":
    main()
