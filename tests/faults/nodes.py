"""What a node's process and its metrics tell, and figures as they are reported."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from sio_server.local.cluster import LocalCluster

SOAK = bool(os.environ.get("SOAK"))


def megabytes(cluster: LocalCluster, port: int) -> float:
    """The resident memory of a node."""
    pids = json.loads((cluster.data_dir / "processes.json").read_text())
    pages = int(Path(f"/proc/{pids[f'node-{port}']}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def log_file(cluster: LocalCluster, port: int) -> Path:
    return cluster.data_dir / "logs" / f"node-{port}.log"


async def metrics(port: int) -> dict[str, float]:
    """The metrics of a node: name with labels -> value."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {
        found[1]: float(found[2]) for line in lines if (found := re.fullmatch(r"([a-z_]+(?:\{.*\})?) (\S+)", line))
    }


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies; of few values the highest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def ms(values: Sequence[float]) -> str:
    """Seconds, as figures for people."""
    if not values:
        return "none"
    return (
        f"p50 {quantile(values, 0.5) * 1000:.0f} ms, p99 {quantile(values, 0.99) * 1000:.0f} ms, "
        f"max {max(values) * 1000:.0f} ms (n={len(values)})"
    )
