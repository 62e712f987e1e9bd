"""`roomgraph node` and `roomgraph redis`: one process in the foreground, as in a Procfile."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from roomgraph.cli.console import MISTAKE, errors, fail, run, say
from roomgraph.cli.options import GraphOption, LanggraphJson

if TYPE_CHECKING:
    from sio_server.settings import Settings


def node_command(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on (or PORT).")] = None,
    graph: GraphOption = None,
    langgraph_json: LanggraphJson = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="How many processes share the port, each a node (or WEB_CONCURRENCY)."),
    ] = None,
) -> None:
    """Run one node in the foreground. Settings come from the environment: see docs/operations.md.

    Every node of a cluster has the same REDIS_URL and AUTH_SECRET.
    """
    from sio_server import logs
    from sio_server.node import serve
    from sio_server.settings import SettingsError, load_settings

    project = str(langgraph_json) if langgraph_json else None
    try:
        settings = load_settings(port=port, graph=graph, langgraph_json=project, web_concurrency=workers)
    except SettingsError as exc:
        if os.environ.get("LOG_FORMAT") == "json":  # which may not be what is wrong
            logs.set_up("INFO", as_json=True, node=os.environ.get("NODE_NAME", ""))
            _log_failure(str(exc), MISTAKE)
        fail(str(exc), MISTAKE)
    logs.set_up(settings.log_level.upper(), as_json=settings.log_format == "json", node=settings.name)
    if settings.web_concurrency > 1:
        _run_workers(settings, graph, project)
    ready = f"node {settings.name} is ready on {settings.host}:{settings.port}"
    run(lambda: serve(settings, partial(_tell, ready, settings)), _failing(settings))


def _tell(message: str, settings: Settings) -> None:
    """Say something on the standard error, which holds nothing but JSON with LOG_FORMAT=json."""
    from sio_server import logs

    if settings.log_format == "json":
        logs.announce(message)
    else:
        say(message, errors)


def _failing(settings: Settings) -> Callable[[str, int], NoReturn]:
    """What ends the command with what is wrong."""
    return _log_failure if settings.log_format == "json" else fail


def _log_failure(message: str, status: int) -> NoReturn:
    from sio_server import logs

    for line in message.splitlines():
        logs.announce(line, logging.ERROR)
    raise typer.Exit(status)


def _run_workers(settings: Settings, graph: str | None, project: str | None) -> NoReturn:
    """Run as the parent of workers, which get the same options."""
    from sio_server.node import ENDS_WITHIN_S
    from sio_server.workers import Workers, check_port

    count = settings.web_concurrency
    command = [sys.executable, "-m", "roomgraph", "node", "--port", str(settings.port)]
    command += ["--graph", graph] if graph else []
    command += ["--langgraph-json", project] if project else []
    ready = f"node {settings.name} is ready on {settings.host}:{settings.port} with {count} workers"

    async def main() -> int:
        check_port(settings.host, settings.port)
        workers = Workers(
            command,
            count,
            name=settings.name,
            stops_within_s=settings.drain_grace + ENDS_WITHIN_S,
            on_ready=partial(_tell, ready, settings),
        )
        return await workers.run()

    raise typer.Exit(run(main, _failing(settings)))


def redis_command(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port (default: that of REDIS_URL, or 9379)."),
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder for the data.")] = Path(".data/redis"),
) -> None:
    """Run the bundled Redis 8 in the foreground, durable, on loopback, where nodes look for it by default."""
    from sio_server.local.redis import REDIS_ENVIRONMENT, NoEmbeddedRedis, find_embedded_redis
    from sio_server.settings import DEFAULT_REDIS_PORT

    try:
        embedded = find_embedded_redis()
    except NoEmbeddedRedis as exc:
        fail(str(exc))
    chosen = port or _port_of_redis_url() or DEFAULT_REDIS_PORT
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        fail(f"--data-dir {data_dir}: {exc.strerror}; name a folder that can be written")
    say(f"Redis on 127.0.0.1:{chosen}, data in {data_dir}", errors)
    command = embedded.command(chosen, data_dir)
    # It takes this process' place, so that it gets the signals meant for it.
    os.execve(command[0], command, {**os.environ, **REDIS_ENVIRONMENT})


def _port_of_redis_url() -> int | None:
    from sio_server.settings import hide_password

    url = os.environ.get("REDIS_URL", "")
    try:
        if "+" in url.partition("://")[0]:
            raise ValueError("it names Sentinel or a cluster")
        return urlsplit(url).port
    except ValueError:
        fail(f"REDIS_URL={hide_password(url)}: it has no port that can be read; give one with --port", MISTAKE)
