"""The options that several commands have, and what their values must be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from roomgraph.cli.console import MISTAKE, fail
from sio_server.language import LANGUAGES, detect_language

DEFAULT_URLS = [f"http://127.0.0.1:{port}" for port in (9000, 9001, 9002)]

Topology = Literal["single", "sentinel", "cluster"]

Clients = Annotated[int, typer.Option(min=3, max=50, help="How many clients play the tour.")]
Lang = Annotated[str | None, typer.Option(help="Language of the output, en or zh (default: from the locale).")]
Scene = Annotated[
    list[str] | None,
    typer.Option(
        "--scene",
        help="Play this scene only; may be given again. One of: consistency, recovery, devices, approval, status; "
        "or a spare one, which is played only when named: load, node-failure, latency, chaos, redis-failover, "
        "reshard.",
    ),
]
Duration = Annotated[float, typer.Option(min=5, max=86_400, help="How long the chaos lasts, in seconds.")]
Seed = Annotated[
    int | None, typer.Option(min=0, help="What the chaos is drawn from: the same seed, the same faults.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the facts to this file for a program.")]
Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url", help="Address of a node; may be given again (default: 9000, 9001, 9002 on this machine)."
    ),
]
GraphOption = Annotated[
    str | None,
    typer.Option(
        "--graph",
        help="The agent: concierge, echo, assistant or your own package.module:attribute (or GRAPH).",
    ),
]
LanggraphJson = Annotated[
    Path | None,
    typer.Option("--langgraph-json", help="Serve the graphs of a LangGraph project (or LANGGRAPH_JSON)."),
]


def language_or_fail(lang: str | None) -> str:
    """The language asked for, or that of the locale."""
    if lang is not None and lang not in LANGUAGES:
        fail(f"--lang {lang}: write en or zh", MISTAKE)
    return lang or detect_language()


def urls_or_fail(urls: list[str] | None) -> list[str]:
    """The addresses of nodes; without any, those on this machine, below BASE_PATH if it is set here too."""
    for url in urls or ():
        if not url.startswith(("http://", "https://")):
            fail(f"--url {url}: write an address such as http://127.0.0.1:9000", MISTAKE)
    if urls:
        return [url.rstrip("/") for url in urls]
    return [url + os.environ.get("BASE_PATH", "").rstrip("/") for url in DEFAULT_URLS]


def scenes_or_fail(names: list[str] | None, json_file: Path | None) -> list[str]:
    """The scenes to play, once it is known that their facts can be written afterwards."""
    from roomgraph.tour.play import check_scenes

    try:
        scenes = check_scenes(names)
    except ValueError as exc:
        fail(str(exc), MISTAKE)
    if json_file is not None:
        try:
            with json_file.open("a", encoding="utf-8"):
                pass
        except OSError as exc:
            fail(f"--json {json_file}: {exc.strerror}; name a file that can be written", MISTAKE)
    return scenes


def needs_proxies_or_fail(scenes: list[str], nodes: int) -> bool:
    """Whether scenes need proxied networks; fails when they need another cluster than the one asked for."""
    from roomgraph.tour.play import BAD_NETWORKS, BREAKING, REPLICATED, SHARDED

    for name in scenes:
        if name in BREAKING and nodes < 2:
            fail(f"--scene {name}: it breaks nodes, so it needs two at least: --nodes 3", MISTAKE)
        if name in BAD_NETWORKS | REPLICATED | SHARDED and "REDIS_URL" in os.environ:
            fail(f"--scene {name}: it breaks Redis too, so it needs one of its own: unset REDIS_URL", MISTAKE)
    return not BAD_NETWORKS.isdisjoint(scenes)


def topology_for(scenes: list[str], asked: Topology = "single") -> Topology:
    """With which Redis a cluster is started for these scenes; fails when they need different ones."""
    from roomgraph.tour.play import BAD_REDIS_NETWORKS, REPLICATED, SHARDED

    if (behind := REPLICATED.intersection(scenes)) and (sharded := SHARDED.intersection(scenes)):
        fail(f"--scene {min(behind)}, --scene {min(sharded)}: play them one after the other", MISTAKE)
    topology: Topology = asked if REPLICATED.isdisjoint(scenes) else "sentinel"
    topology = topology if SHARDED.isdisjoint(scenes) else "cluster"
    if topology != "single" and (single := BAD_REDIS_NETWORKS.intersection(scenes)):
        fail(f"--scene {min(single)}: it breaks the network to a single Redis; play it without --redis", MISTAKE)
    return topology
