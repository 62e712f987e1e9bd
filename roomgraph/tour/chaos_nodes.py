"""The nodes of the chaos: what they are told at their start, their clocks, and which steps they have executed."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from roomgraph.check.history import Execution
from roomgraph.tour import moved_clock, step_graph
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.step_graph import read_executions
from sio_server.gateway.sessions.auth import Tokens

GRAPH = "roomgraph.tour.step_graph:steps"
STEPS = "steps"  # the name under which that is served
RETAINED = 100  # entries that are kept of conversations which the last node creates
TOKEN_S = 7 * 86_400
# By its name: what imports the program imports the tour.
NODE_PROGRAM = "roomgraph.clock_node"


def prepare(cluster: OwnCluster) -> None:
    """Say how the nodes are to be started; to be called before they are.

    They share a secret, so that the scene can issue tokens; they serve the graph whose steps are recorded, unless
    the user has named another one; conversations that the last node creates keep their newest entries only; and
    their clocks can be moved while they run.
    """
    cluster.settings["AUTH_SECRET"] = os.environ.get("AUTH_SECRET") or secrets.token_hex(32)
    if not {"GRAPH", "LANGGRAPH_JSON"} & ({*cluster.settings} | {*os.environ}):
        cluster.settings |= {"GRAPH": GRAPH, step_graph.FILE: str(_steps_file(cluster).resolve())}
    cluster.node_command = [sys.executable, "-m", NODE_PROGRAM, "node"]
    for port in cluster.ports:
        set_clock(cluster, port, 0)
        cluster.node_settings[port] = {moved_clock.FILE: str(_clock_file(cluster, port).resolve())}
    cluster.node_settings[cluster.ports[-1]]["LOG_RETENTION"] = str(RETAINED)


def set_clock(cluster: OwnCluster, port: int, ahead_s: int) -> None:
    """Move a node's clock to so many seconds ahead of the right time, or behind it."""
    path = _clock_file(cluster, port)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(f"{ahead_s}\n", encoding="utf-8")
    new.replace(path)  # in one step: the node may be reading it


def tokens(cluster: OwnCluster) -> Tokens:
    """What issues tokens that its nodes accept."""
    secret = cluster.settings["AUTH_SECRET"].partition(",")[0].strip()
    issuer = os.environ.get("AUTH_ISSUER", "")
    return Tokens(secret, os.environ.get("AUTH_AUDIENCE", "roomgraph"), issuer=issuer)


def executions(cluster: OwnCluster) -> Iterator[Execution]:
    """The steps that its nodes have executed."""
    return read_executions(_steps_file(cluster))


def _clock_file(cluster: OwnCluster, port: int) -> Path:
    return cluster.data_dir / f"clock-{port}"


def _steps_file(cluster: OwnCluster) -> Path:
    return cluster.data_dir / "steps.jsonl"
