"""`roomgraph up`: a cluster on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roomgraph.cli.console import MISTAKE, console, fail, run
from roomgraph.cli.options import (
    Clients,
    Duration,
    GraphOption,
    JsonFile,
    Lang,
    LanggraphJson,
    Scene,
    Seed,
    Topology,
    language_or_fail,
    needs_proxies_or_fail,
    scenes_or_fail,
    topology_for,
)

if TYPE_CHECKING:
    from sio_server.local.cluster import LocalCluster

Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the first node; the others follow it.")]
NodeCount = Annotated[int, typer.Option(min=1, max=16, help="How many nodes to start.")]


def up_command(
    port: Port = 9000,
    nodes: NodeCount = 3,
    tour: Annotated[bool, typer.Option("--tour", help="Play the tour when the nodes are ready.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the tour: exit status 0 if every scene passed, otherwise 1.")
    ] = False,
    clients: Clients = 5,
    scene: Scene = None,
    duration: Duration = 30.0,
    seed: Seed = None,
    json_file: JsonFile = None,
    lang: Lang = None,
    graph: GraphOption = None,
    langgraph_json: LanggraphJson = None,
    redis: Annotated[
        Topology,
        typer.Option(
            help="The Redis to start: one; a primary with two replicas and three sentinels; or a Redis Cluster of "
            "three primaries with a replica each."
        ),
    ] = "single",
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the data of earlier runs.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for data and logs (default: .data/PORT).")] = None,
) -> None:
    """Start a cluster on this machine: its own Redis (or that of REDIS_URL) and some nodes, for guests.

    A node or the bundled Redis that exits unexpectedly is restarted. Ctrl-C stops all that was started, and
    nothing else.
    """
    from roomgraph.tour.play import play, prepare_cluster
    from sio_server.language import load_texts
    from sio_server.local.cluster import LocalCluster
    from sio_server.local.up import up
    from sio_server.settings import SettingsError, redis_url_or_default

    language = language_or_fail(lang)
    scenes = scenes_or_fail(scene, json_file)
    try:
        redis_url = redis_url_or_default() if "REDIS_URL" in os.environ else None
    except SettingsError as exc:
        fail(str(exc), MISTAKE)
    if redis != "single" and redis_url is not None:
        fail(f"--redis {redis} starts a Redis of its own: unset REDIS_URL", MISTAKE)
    cluster = LocalCluster(
        port,
        nodes,
        data_dir or Path(".data") / str(port),
        redis_url=redis_url,
        settings=_graph_settings(graph, langgraph_json),
        proxied=tour and needs_proxies_or_fail(scenes, nodes),
        topology=topology_for(scenes, redis) if tour else redis,
    )
    if tour:
        prepare_cluster(cluster, scenes)

    async def play_tour(cluster: LocalCluster) -> bool:
        return await play(
            cluster.urls,
            console=console,
            language=language,
            clients=clients,
            scenes=scenes,
            json_file=json_file,
            alone="REDIS_URL" not in os.environ,
            nodes=cluster,
            seed=seed,
            duration=duration,
        )

    stay = not once and (sys.stdout.isatty() or not tour)
    texts = load_texts(language, "sio_server.local", "up")
    status = run(
        lambda: up(cluster, console, texts, keep_data=keep_data, stay=stay, play=play_tour if tour else None)
    )
    raise typer.Exit(status)


def _graph_settings(graph: str | None, langgraph_json: Path | None) -> dict[str, str]:
    """The options that name graphs, as settings of the nodes."""
    given = {"GRAPH": graph, "LANGGRAPH_JSON": langgraph_json and str(langgraph_json.resolve())}
    return {name: value for name, value in given.items() if value}
