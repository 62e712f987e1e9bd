"""The `roomgraph` command."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sio_server import logs
from sio_server.cluster.status import read_status
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.gateway.sessions.auth import Tokens
from sio_server.language import LANGUAGES, detect_language, load_texts
from sio_server.local.cluster import ClusterError, LocalCluster, find_ports
from sio_server.local.redis import REDIS_ENVIRONMENT, NoEmbeddedRedis, find_embedded_redis
from sio_server.local.up import up
from sio_server.node import serve
from sio_server.protocol.errors import RoomgraphError
from sio_server.protocol.events import ID_PATTERN, USER_ID_PATTERN
from sio_server.settings import DEFAULT_REDIS_PORT, Settings, SettingsError, hide_password, load_settings
from sio_server.store.connection import connect
from sio_server.store.scripts import Scripts
from sio_server.users.devices import ALL_DEVICES, Devices

app = typer.Typer(
    name="roomgraph",
    help="Conversations in Socket.IO rooms, in step on every device and any node, with a LangGraph agent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Where nobody looks, as in a file or a pipe, lines need not fit a screen.
console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
errors = Console(stderr=True)

Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the first node; the others follow it.")]
NodeCount = Annotated[int, typer.Option(min=1, max=16, help="How many nodes to start.")]
Clients = Annotated[int, typer.Option(min=3, max=50, help="How many clients play the tour.")]
Lang = Annotated[str | None, typer.Option(help="Language of the output, en or zh (default: from the locale).")]
Scene = Annotated[
    list[str] | None,
    typer.Option(
        "--scene",
        help="Play this scene only; may be given again. One of: consistency, recovery, devices, approval, status; "
        "or a spare one, which is played only when named: load, node-failure, latency, chaos.",
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

DEFAULT_URLS = [f"http://127.0.0.1:{port}" for port in (9000, 9001, 9002)]


def fail(message: str, status: int = 1) -> NoReturn:
    """One clear line for a mistake that a person can put right; never a traceback."""
    errors.print(f"[red]✘[/] {escape(message)}", highlight=False, soft_wrap=True, emoji=False)
    raise typer.Exit(status)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on uvloop where it exists; errors with a message become that message."""
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())
    except (SettingsError, NoEmbeddedRedis) as exc:
        fail(str(exc), 2)
    except RoomgraphError as exc:
        fail(exc.message)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def settings_or_fail(**overrides: Any) -> Settings:
    """The settings, or the list of the wrong ones."""
    try:
        return load_settings(**overrides)
    except SettingsError as exc:
        fail(str(exc), 2)


def language_or_fail(lang: str | None) -> str:
    """The language asked for, or that of the locale."""
    if lang is not None and lang not in LANGUAGES:
        fail(f"--lang {lang}: write en or zh", 2)
    return lang or detect_language()


def graph_settings(graph: str | None, langgraph_json: Path | None) -> dict[str, str]:
    """The options that name graphs, as nodes are told of them."""
    given = {"GRAPH": graph, "LANGGRAPH_JSON": langgraph_json and str(langgraph_json.resolve())}
    return {name: value for name, value in given.items() if value}


def urls_or_fail(urls: list[str] | None) -> list[str]:
    """The addresses of nodes."""
    for url in urls or ():
        if not url.startswith(("http://", "https://")):
            fail(f"--url {url}: write an address such as http://127.0.0.1:9000", 2)
    return urls or DEFAULT_URLS


def scenes_or_fail(names: list[str] | None, json_file: Path | None) -> list[str]:
    """The scenes to play, after a look at whether their facts can be written in the end."""
    from roomgraph.tour.play import check_scenes

    try:
        scenes = check_scenes(names)
    except ValueError as exc:
        fail(str(exc), 2)
    if json_file is not None:
        try:
            with json_file.open("a", encoding="utf-8"):
                pass
        except OSError as exc:
            fail(f"--json {json_file}: {exc.strerror}; name a file that can be written", 2)
    return scenes


def check_cluster_for(scenes: list[str], nodes: int) -> bool:
    """Fail when scenes need another cluster than this one; returns whether its networks are to be made bad."""
    from roomgraph.tour.play import BAD_NETWORKS, BREAKING

    for name in scenes:
        if name in BREAKING and nodes < 2:
            fail(f"--scene {name}: it takes two nodes at least, since one is broken: --nodes 3", 2)
        if name in BAD_NETWORKS and "REDIS_URL" in os.environ:
            fail(f"--scene {name}: it breaks Redis as well, so it takes one of its own: unset REDIS_URL", 2)
    return not BAD_NETWORKS.isdisjoint(scenes)


@app.command("up")
def up_command(
    port: Port = 9000,
    nodes: NodeCount = 3,
    tour: Annotated[bool, typer.Option("--tour", help="Play the tour when the nodes are ready.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the tour: exit status 0 when every scene held, otherwise 1.")
    ] = False,
    clients: Clients = 5,
    scene: Scene = None,
    duration: Duration = 30.0,
    seed: Seed = None,
    json_file: JsonFile = None,
    lang: Lang = None,
    graph: GraphOption = None,
    langgraph_json: LanggraphJson = None,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the data of earlier runs.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for data and logs (default: .data/PORT).")] = None,
) -> None:
    """Start a cluster on this machine: its own Redis (or that of REDIS_URL) and some nodes, for guests.

    Ctrl-C stops all that was started, and nothing else.
    """
    from roomgraph.tour.play import play

    language = language_or_fail(lang)
    scenes = scenes_or_fail(scene, json_file)
    cluster = LocalCluster(
        port,
        nodes,
        data_dir or Path(".data") / str(port),
        redis_url=os.environ.get("REDIS_URL"),
        settings=graph_settings(graph, langgraph_json),
        proxied=tour and check_cluster_for(scenes, nodes),
    )

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


@app.command("node")
def node_command(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on (or PORT).")] = None,
    graph: GraphOption = None,
    langgraph_json: LanggraphJson = None,
) -> None:
    """Run one node in the foreground. Settings come from the environment: see docs/operations.md.

    Every node of a cluster has the same REDIS_URL and AUTH_SECRET.
    """
    project = str(langgraph_json) if langgraph_json else None
    settings = settings_or_fail(port=port, graph=graph, langgraph_json=project)
    logs.set_up(settings.log_level.upper())
    ready = f"node {settings.name} is ready on {settings.host}:{settings.port}"
    run(lambda: serve(settings, lambda: errors.print(ready, highlight=False)))


@app.command("redis")
def redis_command(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help=f"Port (default: that of REDIS_URL, or {DEFAULT_REDIS_PORT})."),
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder for the data.")] = Path(".data/redis"),
) -> None:
    """Run the bundled Redis 8 in the foreground, durable, on loopback, where nodes look for it by default."""
    try:
        embedded = find_embedded_redis()
    except NoEmbeddedRedis as exc:
        fail(str(exc))
    chosen = port or urlsplit(os.environ.get("REDIS_URL", "")).port or DEFAULT_REDIS_PORT
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        fail(f"--data-dir {data_dir}: {exc.strerror}; name a folder that can be written")
    errors.print(f"Redis on 127.0.0.1:{chosen}, data in {data_dir}", highlight=False)
    command = embedded.command(chosen, data_dir)
    # It takes this process' place, so that it gets the signals meant for it.
    os.execve(command[0], command, {**os.environ, **REDIS_ENVIRONMENT})


@app.command("status")
def status_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the cluster is doing, as Redis (REDIS_URL) tells it."""
    redis_url = os.environ.get("REDIS_URL", f"redis://127.0.0.1:{DEFAULT_REDIS_PORT}/0")

    async def read() -> dict[str, Any]:
        redis = connect(redis_url)
        try:
            return await read_status(redis)
        finally:
            await redis.aclose()

    try:
        status = asyncio.run(read())
    except RoomgraphError as exc:
        fail(
            f"{exc.message}. REDIS_URL is {hide_password(redis_url)}; "
            "a cluster of `roomgraph up` has it on its port + 379"
        )
    except ValueError as exc:
        fail(f"REDIS_URL={hide_password(redis_url)}: {exc}", 2)
    if as_json:
        console.print_json(data=status)
        return
    table = Table("node", "port", "sessions", "started")
    for node in status["nodes"]:
        table.add_row(node["name"], str(node["port"]), str(node["sessions"]), node["started"])
    console.print(table)
    for name in ("active_sessions", "bus_subscriptions", "conversations", "entries", "runs", "runs_finished"):
        console.print(f"{name.replace('_', ' ')}: {status[name]}", highlight=False)


@app.command("token")
def token_command(
    user_id: Annotated[str, typer.Argument(help="The id of the user, such as ann or ann@example.com.")],
    name: Annotated[str, typer.Option(help="The name that people see (default: the id).")] = "",
    ttl: Annotated[int | None, typer.Option(min=60, help="How long it lasts, in seconds (or TOKEN_TTL).")] = None,
) -> None:
    """Issue a token for a user, signed with AUTH_SECRET, and print it."""
    settings = settings_or_fail(token_ttl=ttl)
    if not settings.auth_secret:
        fail("AUTH_SECRET is not set: write the secret that the nodes have", 2)
    try:
        typer.echo(
            Tokens(settings.auth_secret, settings.auth_audience).issue(
                user_id, name or user_id, settings.token_ttl
            )
        )
    except RoomgraphError as exc:
        fail(exc.message)


@app.command("revoke")
def revoke_command(
    user_id: Annotated[str, typer.Argument(help="The id of the user whose tokens are good no more.")],
    device: Annotated[str, typer.Option(help="Only for this device id; for another the tokens serve on.")] = "",
) -> None:
    """Refuse all tokens of a user that were issued until now, and end the sessions, on all nodes of REDIS_URL.

    Tokens issued later are taken: stop issuing them first.
    """
    redis_url = os.environ.get("REDIS_URL", f"redis://127.0.0.1:{DEFAULT_REDIS_PORT}/0")
    if not re.fullmatch(USER_ID_PATTERN, user_id):
        fail(f"{user_id}: cannot be the id of a user", 2)
    if device and not re.fullmatch(ID_PATTERN, device):
        fail(f"--device {device}: cannot be the id of a device", 2)

    async def revoke() -> int:
        redis = connect(redis_url)
        try:
            scripts = Scripts(redis)
            members = Members(redis, scripts, ConversationLog(scripts), retention=0)
            return await Devices(redis, scripts, members).revoke(user_id, device or ALL_DEVICES)
        finally:
            await redis.aclose()

    try:
        ended = asyncio.run(revoke())
    except RoomgraphError as exc:
        fail(f"{exc.message}. REDIS_URL is {hide_password(redis_url)}")
    except ValueError as exc:
        fail(f"REDIS_URL={hide_password(redis_url)}: {exc}", 2)
    of = f"{user_id}, device {device}" if device else user_id
    told = f"{of}: tokens issued until now are refused; sessions ended: {ended}"
    console.print(told, highlight=False, soft_wrap=True)


@app.command("tour")
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
        fail(f"--scene {breaking[0]}: it breaks nodes and Redis, so it starts its own: leave --url out", 2)

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
        held = run(lambda: play_on(urls_or_fail(url), None))
        raise typer.Exit(0 if held else 1)
    with tempfile.TemporaryDirectory(prefix="roomgraph-") as folder:
        status = run(lambda: play_on_own_cluster(Path(folder), language, scenes, play_on))
    raise typer.Exit(status)


async def play_on_own_cluster(
    folder: Path,
    language: str,
    scenes: list[str],
    play_on: Callable[[list[str], LocalCluster], Awaitable[bool]],
) -> int:
    """Start a cluster for scenes on ports that are free, play them, and stop it; returns the exit status."""
    from roomgraph.tour.play import BAD_NETWORKS

    nodes = len(DEFAULT_URLS)
    try:
        port = find_ports(nodes)
    except ClusterError as exc:
        fail(str(exc))
    cluster = LocalCluster(port, nodes, folder, proxied=not BAD_NETWORKS.isdisjoint(scenes))
    texts = load_texts(language, "sio_server.local", "up")
    return await up(cluster, console, texts, keep_data=False, stay=False, play=lambda own: play_on(own.urls, own))


@app.command("check")
def check_command(
    history: Annotated[Path, typer.Argument(help="The file: one JSON object in each line (docs/checking.md).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: Lang = None,
) -> None:
    """Judge a recorded history: what devices sent, received and showed, against what was promised.

    Exit status 0 when every promise was kept, 1 when one was broken, 2 when the file is no history.
    """
    from roomgraph.check.checker import check
    from roomgraph.check.file import BadHistory, read_history
    from roomgraph.check.show import facts, show

    texts = load_texts(language_or_fail(lang), "roomgraph", "check")
    try:
        recorded = read_history(history)
    except OSError as exc:
        fail(texts("unreadable", path=history, reason=exc.strerror), 2)
    except BadHistory as exc:
        fail(texts("bad", path=history, line=exc.line, reason=exc.reason), 2)
    report = check(recorded)
    if as_json:
        console.print_json(data=facts(report))
    else:
        show(console, texts, str(history), recorded, report)
    raise typer.Exit(0 if report.ok else 1)


@app.command("chat")
def chat_command(
    conversation: Annotated[
        str, typer.Argument(help="Id of the conversation; created, open to all, if new.")
    ] = "lobby",
    url: Urls = None,
    name: Annotated[str, typer.Option(help="Your name, on servers that take guests.")] = "",
    token: Annotated[str, typer.Option(envvar="ROOMGRAPH_TOKEN", help="Your token, on servers that do not.")] = "",
) -> None:
    """Talk in the terminal. An empty line is not sent; Ctrl-D ends."""
    from roomgraph.chat import chat

    run(lambda: chat(urls_or_fail(url), conversation, name=name, token=token, console=console))


@app.command("echo-bot")
def echo_bot_command(
    conversation: Annotated[str, typer.Argument(help="Id of the conversation to join.")],
    url: Urls = None,
    token: Annotated[
        str, typer.Option(envvar="ROOMGRAPH_TOKEN", help="Its token, where guests are not taken.")
    ] = "",
) -> None:
    """Run a bot that says again what people say, until Ctrl-C."""
    from sio_clients.bots.echo import run_echo_bot

    run(lambda: run_echo_bot(urls_or_fail(url), conversation, token=token))


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
