"""`roomgraph up`: a cluster on this machine with its stage, told step by step, until Ctrl-C."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from sio_server.language import Texts
from sio_server.local.cluster import ClusterError, LocalCluster
from sio_server.local.control import Controller
from sio_server.local.redis import NoEmbeddedRedis
from sio_server.settings import hide_password
from sio_server.tasks import end_tasks

INTERRUPTED = 130

Play = Callable[[LocalCluster], Awaitable[bool]]


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

    def tick(name: str, /, **values: object) -> None:
        console.print(f"[green]✔[/] {texts(name, **values)}", highlight=False, soft_wrap=True)

    status = 0
    # Whoever has the key may kill nodes: it is for this start only, and only who stays has a use for it.
    key = secrets.token_urlsafe(24)
    controller = Controller(cluster, key) if stay else None
    watch = asyncio.create_task(_watch(cluster, console, texts))
    work = asyncio.create_task(_start_and_play(cluster, console, texts, tick, keep_data, controller, key, play))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            status = 0 if work.result() else 1
            if stay:
                await waiting
        elif play is not None:
            status = INTERRUPTED  # not every scene was played, so nobody can say that every scene held
    except (ClusterError, NoEmbeddedRedis) as exc:
        reason = texts(exc.problem, **exc.values) if isinstance(exc, ClusterError) else str(exc)
        console.print(f"[red]✘[/] {texts('failed', reason=reason)}", highlight=False, soft_wrap=True, markup=True)
        status = 1
    finally:
        interrupted = stopping.is_set()
        await end_tasks((work, waiting, watch))
        if interrupted:
            console.print(f"\n{texts('stopping')}")
        if controller is not None:
            await controller.close()
        if cluster.running:
            await cluster.stop()
            tick("stopped")
    return status


async def _watch(cluster: LocalCluster, console: Console, texts: Texts) -> None:
    """Tell of each process that ends without having been stopped."""
    while True:
        process, status, path = await cluster.ended.get()
        told = texts("ended_by_itself", process=process, status=status, path=path)
        console.print(f"[red]✘[/] {told}", highlight=False, soft_wrap=True)


async def _start_and_play(
    cluster: LocalCluster,
    console: Console,
    texts: Texts,
    tick: Callable[..., None],
    keep_data: bool,
    controller: Controller | None,
    key: str,
    play: Play | None,
) -> bool:
    cluster.check()
    if cluster.has_data():
        if not keep_data:
            cluster.clean()
        tick("kept" if keep_data else "cleaned", path=_short(cluster.data_dir))
    await cluster.start_redis()
    tick("redis", url=hide_password(cluster.redis_url))
    if controller is not None:
        await controller.start()
        cluster.settings |= {"STAGE_KEY": key, "STAGE_CONTROL": controller.url}
    await asyncio.gather(*(cluster.start_node(port) for port in cluster.ports))
    tick("nodes", count=len(cluster.ports), ports=", ".join(str(port) for port in cluster.ports))
    held = await play(cluster) if play is not None else True
    if controller is not None:
        console.print(f"\n[bold]{texts('page', url=cluster.pages[0])}[/]", highlight=False, soft_wrap=True)
        if len(cluster.pages) > 1:
            console.print(texts("others", urls="  ".join(cluster.pages[1:])), highlight=False, soft_wrap=True)
        stage = f"{cluster.pages[0]}stage#key={key}"
        console.print(texts("stage", url=stage), highlight=False, soft_wrap=True)
        console.print(texts("ctrl_c"))
    return held


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
