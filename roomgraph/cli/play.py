"""`roomgraph tour`: the tour on nodes that are up, or spare scenes on a cluster of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from roomgraph.cli.console import MISTAKE, console, fail, run
from roomgraph.cli.options import (
    DEFAULT_URLS,
    Clients,
    Duration,
    JsonFile,
    Lang,
    Scene,
    Seed,
    Urls,
    language_or_fail,
    scenes_or_fail,
    topology_for,
    urls_or_fail,
)

if TYPE_CHECKING:
    from sio_server.local.cluster import LocalCluster


def tour_command(
    url: Urls = None,
    clients: Clients = 5,
    scene: Scene = None,
    duration: Duration = 30.0,
    seed: Seed = None,
    json_file: JsonFile = None,
    lang: Lang = None,
) -> None:
    """Play the tour on nodes that are up and take guests; verdicts come from what clients received.

    Spare scenes are played on three nodes and a Redis of their own.
    """
    from roomgraph.tour.play import BREAKING, SPARE_SCENES, play

    language = language_or_fail(lang)
    scenes = scenes_or_fail(scene, json_file)
    breaking = [name for name in scenes if name in BREAKING]
    if url and breaking:
        fail(f"--scene {breaking[0]}: it breaks nodes and Redis, so it starts its own: leave --url out", MISTAKE)

    def play_on(urls: list[str], own: LocalCluster | None) -> Coroutine[Any, Any, bool]:
        return play(
            urls,
            console=console,
            language=language,
            clients=clients,
            scenes=scenes,
            json_file=json_file,
            alone=own is not None,
            nodes=own,
            seed=seed,
            duration=duration,
        )

    if url or SPARE_SCENES.keys().isdisjoint(scenes):
        passed = run(lambda: play_on(urls_or_fail(url), None))
        raise typer.Exit(0 if passed else 1)
    with tempfile.TemporaryDirectory(prefix="roomgraph-") as folder:
        status = run(lambda: _play_on_own_cluster(Path(folder), language, scenes, play_on))
    raise typer.Exit(status)


async def _play_on_own_cluster(
    folder: Path,
    language: str,
    scenes: list[str],
    play_on: Callable[[list[str], LocalCluster], Awaitable[bool]],
) -> int:
    """Start a cluster for scenes on ports that are free, play them, and stop it; returns the exit status."""
    from roomgraph.tour.play import BAD_NETWORKS, prepare_cluster
    from sio_server.language import load_texts
    from sio_server.local.cluster import SHARDS, LocalCluster
    from sio_server.local.errors import ClusterError
    from sio_server.local.ports import find_ports
    from sio_server.local.up import up

    texts = load_texts(language, "sio_server.local", "up")
    nodes = len(DEFAULT_URLS)
    try:
        port = find_ports(nodes, redis_ports=4 * SHARDS)  # as many as the largest topology takes
    except ClusterError as exc:
        fail(texts(exc.problem, **exc.values))
    proxied = not BAD_NETWORKS.isdisjoint(scenes)
    cluster = LocalCluster(port, nodes, folder, proxied=proxied, topology=topology_for(scenes))
    prepare_cluster(cluster, scenes)
    return await up(cluster, console, texts, keep_data=False, stay=False, play=lambda own: play_on(own.urls, own))
