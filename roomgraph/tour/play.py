"""Plays the scenes in order and sums up."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from roomgraph.tour.approval import play_approval
from roomgraph.tour.chaos import play_chaos
from roomgraph.tour.chaos_nodes import prepare
from roomgraph.tour.consistency import play_consistency
from roomgraph.tour.devices import play_devices
from roomgraph.tour.failover import play_failover
from roomgraph.tour.latency import play_latency
from roomgraph.tour.load import play_load
from roomgraph.tour.node_failure import play_node_failure
from roomgraph.tour.own import OwnCluster
from roomgraph.tour.recovery import play_recovery
from roomgraph.tour.redis_failover import play_redis_failover
from roomgraph.tour.reshard import play_reshard
from roomgraph.tour.stage import Stage
from roomgraph.tour.status import play_status
from sio_clients.errors import RoomgraphError
from sio_server.language import load_texts

Part = Callable[[Stage], Awaitable[dict[str, Any] | None]]

# The parts of each scene, by the names of their facts. A part that returns None was left out.
SCENES: dict[str, dict[str, Part]] = {
    "consistency": {"consistency": play_consistency},
    "recovery": {"recovery": play_recovery, "failover": play_failover},
    "devices": {"devices": play_devices},
    "approval": {"approval": play_approval},
    "status": {"status": play_status},
}
# Spare scenes: played when they are named. All but `load` break nodes, Redis and networks.
SPARE_SCENES: dict[str, dict[str, Part]] = {
    "load": {"load": play_load},
    "node-failure": {"node-failure": play_node_failure},
    "latency": {"latency": play_latency},
    "chaos": {"chaos": play_chaos},
    "redis-failover": {"redis-failover": play_redis_failover},
    "reshard": {"reshard": play_reshard},
}
BREAKING = frozenset({"node-failure", "latency", "chaos", "redis-failover", "reshard"})
BAD_NETWORKS = frozenset({"latency", "chaos"})
BAD_REDIS_NETWORKS = frozenset({"latency"})  # which there are to a single Redis only
REPLICATED = frozenset({"redis-failover"})  # on a Redis with replicas and sentinels
SHARDED = frozenset({"reshard"})  # on a Redis Cluster
_ALL = SCENES | SPARE_SCENES


def prepare_cluster(cluster: OwnCluster, scenes: Sequence[str]) -> None:
    """Say how nodes are to be started for these scenes; to be called before they are."""
    if "chaos" in scenes:
        prepare(cluster)
    if cluster.replicated is not None or cluster.redis_cluster is not None:
        cluster.settings.setdefault("DURABLE_REPLICAS", "1")


def check_scenes(names: Sequence[str] | None) -> list[str]:
    """The scenes to play; all but the spare ones when none is named. Raises ValueError for an unknown one."""
    for name in names or ():
        if name not in _ALL:
            raise ValueError(f"--scene {name}: there is no such scene; write one of {', '.join(_ALL)}")
    return [name for name in _ALL if name in (names or SCENES)]


async def play(
    urls: Sequence[str],
    *,
    console: Console,
    language: str,
    clients: int,
    scenes: Sequence[str],
    json_file: Path | None,
    alone: bool,
    nodes: OwnCluster | None = None,
    seed: int | None = None,
    duration: float = 30.0,
) -> bool:
    """Play `scenes` on the nodes `urls`; return whether all passed. Raises NotConnected when no node answers.

    A scene in which a process exited unexpectedly does not pass, whatever the scene itself found.

    `alone`: no other client uses the cluster and `urls` are all its nodes, so its figures can be known exactly.
    `nodes`: they may be killed and started again. `seed` and `duration` are those of the chaos;
    without a seed it is another one each time.
    """
    texts = load_texts(language, "roomgraph", "tour")
    results: dict[str, dict[str, Any]] = {}
    seed = random.randrange(100_000) if seed is None else seed
    async with Stage(
        urls, console, texts, clients, alone=alone, nodes=nodes, seed=seed, duration=duration
    ) as stage:
        console.print(
            f"\n[bold]Roomgraph[/] · {texts('title', clients=clients, nodes=len(urls))}\n", highlight=False
        )
        for number, name in enumerate(scenes, 1):
            console.print(Rule(texts("scene", number=number, name=texts(name)), align="left", style="blue"))
            stage.new_recording()
            for part, act in _ALL[name].items():
                ended_before = len(nodes.unexpected_ends) if nodes else 0
                stage.report = None
                try:
                    facts = await act(stage)
                except (RoomgraphError, RuntimeError) as exc:
                    stage.verdict(False, "crashed", reason=exc)
                    facts = {"ok": False, "error": str(exc)}
                ended = [end.process for end in nodes.unexpected_ends[ended_before:]] if nodes else []
                if ended:
                    stage.verdict(False, "ended", processes=", ".join(ended))
                    facts = {**(facts or {}), "ok": False, "unexpected_ends": ended}
                if facts is not None:
                    evidence = _evidence(stage, part, failed=not facts["ok"]) if name in BREAKING else {}
                    results[part] = {**facts, **evidence}
    ok = all(result["ok"] for result in results.values())
    if ok:
        console.print(f"[bold green]{texts('held')}[/]")
    else:
        broken = ", ".join(name for name, result in results.items() if not result["ok"])
        console.print(f"[bold red]{texts('broken', names=broken)}[/]")
    if json_file is not None:
        _write_facts(json_file, {"ok": ok, "scenes": results})
        console.print(Text(texts("json", path=json_file)), soft_wrap=True)
    return ok


def _evidence(stage: Stage, part: str, *, failed: bool) -> dict[str, Any]:
    """Which promises were broken; when the part has failed, or crashed, also the file that keeps its history."""
    told: dict[str, Any] = {}
    if stage.report is not None:
        told["anomalies"] = [{"kind": one.kind, "detail": one.detail} for one in stage.report.anomalies]
    if failed and any(stage.recorder.sends()):
        told["history"] = stage.keep_history(f"roomgraph-{part}-")
        stage.say("history.kept", path=told["history"])
    return told


def _write_facts(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
