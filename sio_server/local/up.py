"""`roomgraph up`: a cluster on this machine with its stage, told step by step, until Ctrl-C."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sio_server.language import Texts
from sio_server.local.cluster import LocalCluster
from sio_server.local.control import Controller
from sio_server.local.errors import ClusterError
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.local.restarts import Restarts
from sio_server.settings import hide_password
from sio_server.tasks import end_tasks

INTERRUPTED = 130

Play = Callable[[LocalCluster], Awaitable[bool]]


class Screen:
    """Where `up` says what it does. Lines are shown as they are: Rich parses none of them."""

    def __init__(self, console: Console, texts: Texts) -> None:
        self._console = console
        self.texts = texts

    def tick(self, name: str, /, **values: object) -> None:
        """A step that is done."""
        self.mark(True, self.texts(name, **values))

    def mark(self, ok: bool, line: str) -> None:
        """A line with a tick or a cross before it."""
        self._print(Text.assemble(("✔", "green") if ok else ("✘", "red"), " ", line))

    def say(self, name: str, /, *, style: str = "", **values: object) -> None:
        """A plain line."""
        self._print(Text(self.texts(name, **values), style=style))

    def gap(self) -> None:
        """An empty line."""
        self._console.print()

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


async def up(
    cluster: LocalCluster, console: Console, texts: Texts, *, keep_data: bool, stay: bool, play: Play | None = None
) -> int:
    """Start the cluster, `play` something on it, and stay until SIGINT or SIGTERM when `stay` is set.

    Returns the exit status: 0; 1 when it could not start or `play` returned False; INTERRUPTED when it was
    stopped before `play` had ended.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopping.set)
    screen = Screen(console, texts)
    status = 0
    # Whoever has the key may kill nodes: it is for this start only, and needed only when the cluster stays up.
    key = secrets.token_urlsafe(24)
    controller = Controller(cluster, key) if stay else None
    restarts = asyncio.create_task(Restarts(cluster, texts, screen.mark).keep())
    work = asyncio.create_task(_start_and_play(cluster, screen, keep_data, controller, key, play))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({work, waiting, restarts}, return_when=asyncio.FIRST_COMPLETED)
        if restarts.done():
            restarts.result()
        if work.done():
            status = 0 if work.result() else 1
            if stay:
                await asyncio.wait({waiting, restarts}, return_when=asyncio.FIRST_COMPLETED)
        elif play is not None:
            status = INTERRUPTED  # not every scene was played, so it is not known whether all would have passed
    except (ClusterError, NoEmbeddedRedis) as exc:
        reason = texts(exc.problem, **exc.values) if isinstance(exc, ClusterError) else str(exc)
        screen.mark(False, texts("failed", reason=reason))
        status = 1
    finally:
        interrupted = stopping.is_set()
        await end_tasks((work, waiting, restarts))
        if interrupted:
            screen.gap()
            screen.say("stopping")
        if controller is not None:
            await controller.close()
        was_running = cluster.running
        await cluster.stop()
        if was_running:
            screen.tick("stopped")
    return status


async def _start_and_play(
    cluster: LocalCluster,
    screen: Screen,
    keep_data: bool,
    controller: Controller | None,
    key: str,
    play: Play | None,
) -> bool:
    cluster.claim()
    if cluster.has_data():
        if not keep_data:
            cluster.clean()
        screen.tick("kept" if keep_data else "cleaned", path=_short(cluster.data_dir))
    await cluster.start_redis()
    screen.tick("redis", url=hide_password(cluster.redis_url))
    if controller is not None:
        await controller.start()
        cluster.settings |= {"STAGE_KEY": key, "STAGE_CONTROL": controller.url}
    await asyncio.gather(*(cluster.start_node(port) for port in cluster.ports))
    screen.tick("nodes", count=len(cluster.ports), ports=", ".join(str(port) for port in cluster.ports))
    passed = await play(cluster) if play is not None else True
    if controller is not None:
        screen.gap()
        screen.say("page", url=cluster.pages[0], style="bold")
        if len(cluster.pages) > 1:
            screen.say("others", urls="  ".join(cluster.pages[1:]))
        screen.say("stage", url=f"{cluster.pages[0]}stage#key={key}")
        screen.say("ctrl_c")
    return passed


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
