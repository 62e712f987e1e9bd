"""The nodes of the chaos: what they are told at their start, their clocks, and which steps they have executed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from roomgraph.check.history import Execution
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.step_graph import FILE, read_executions
from sio_server.gateway.sessions.auth import Tokens

GRAPH = "roomgraph.tour.step_graph:steps"
STEPS = "steps"  # the name under which that is served
RETAINED = 100  # entries that are kept of conversations which the last node creates
LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib")
TOKEN_S = 7 * 86_400


def prepare(cluster: OwnCluster) -> None:
    """Say how the nodes are to be started; to be called before they are.

    They share a secret, so that the scene can issue tokens; they serve the graph whose steps are recorded, unless
    the user has named another one; conversations that the last node creates keep their newest entries only; and
    with libfaketime their clocks can be moved while they run.
    """
    cluster.settings["AUTH_SECRET"] = os.environ.get("AUTH_SECRET") or secrets.token_hex(32)
    if not {"GRAPH", "LANGGRAPH_JSON"} & ({*cluster.settings} | {*os.environ}):
        cluster.settings |= {"GRAPH": GRAPH, FILE: str(_steps_file(cluster).resolve())}
    library = find_faketime()
    for port in cluster.ports:
        settings = cluster.node_settings.setdefault(port, {})
        if library is not None:
            set_clock(cluster, port, 0)
            settings |= {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(_clock_file(cluster, port).resolve()),
                "FAKETIME_CACHE_DURATION": "1",  # seconds until a jump is seen
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }
    cluster.node_settings[cluster.ports[-1]]["LOG_RETENTION"] = str(RETAINED)


def find_faketime() -> Path | None:
    """The library that gives a process another clock, where it is installed."""
    paths = (Path(folder) / "faketime" / "libfaketime.so.1" for folder in LIBRARIES)
    return next((path for path in paths if path.exists()), None)


def can_jump(cluster: OwnCluster) -> bool:
    """Whether the clocks of its nodes can be moved."""
    return all("LD_PRELOAD" in cluster.node_settings.get(port, {}) for port in cluster.ports)


def set_clock(cluster: OwnCluster, port: int, ahead_s: int) -> None:
    """Move a node's clock to so many seconds ahead of the right time, or behind it."""
    path = _clock_file(cluster, port)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(f"{ahead_s:+d}\n", encoding="utf-8")
    new.replace(path)  # in one step: the node may be reading it


def tokens(cluster: OwnCluster) -> Tokens:
    """What issues tokens that its nodes accept."""
    return Tokens(cluster.settings["AUTH_SECRET"], os.environ.get("AUTH_AUDIENCE", "roomgraph"))


def executions(cluster: OwnCluster) -> Iterator[Execution]:
    """The steps that its nodes have executed."""
    return read_executions(_steps_file(cluster))


def _clock_file(cluster: OwnCluster, port: int) -> Path:
    return cluster.data_dir / f"clock-{port}"


def _steps_file(cluster: OwnCluster) -> Path:
    return cluster.data_dir / "steps.jsonl"
