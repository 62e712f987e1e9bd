"""The life of a node: start, serve until a signal, stop within a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Self, TypeVar

from aiohttp import web
from redis.exceptions import AuthenticationError, ResponseError

from sio_server.conversation.file_records import is_shared_folder
from sio_server.dialog.graphs.problems import BadGraph
from sio_server.dialog.savers.errors import WrongSaver
from sio_server.files.store import FileStore
from sio_server.gateway.push.encryption import NoPushLibraries, WrongKey
from sio_server.gateway.sessions.authenticate_hook import BadHook
from sio_server.gateway.sessions.issuer_keys import NoCryptography
from sio_server.gateway.sessions.session_end import sent_away
from sio_server.gateway.transport.http_connections import HttpRunner
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent, SessionEnd
from sio_server.settings import Settings, SettingsError, hide_password, hint
from sio_server.store.connection import redis_errors
from sio_server.store.failures import explain
from sio_server.store.format import WrongFormat, check_format
from sio_server.store.keys import SHARED_SECRET
from sio_server.store.topology import primary_watch
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.exporting import CannotExport
from sio_server.trace.feed import TraceFeed
from sio_server.wiring import REDIS_WAIT_S, Api, Core, Dialog, Http, Limiting, Records, Sockets
from sio_server.worker_board import WRITE_S, Place, own_place

log = logging.getLogger(__name__)

T = TypeVar("T")

REDIS_AGAIN_S = 0.2
READY_WITHIN_S = 5.0  # a worker listens then, ready or not: /healthz must answer while Redis is away
READY_CHECK_S = 0.05
DRAIN_NOTICE_S = 0.1  # for the notice to leave the queues before the sockets are closed
HAND_OVER_S = 5.5  # for runs to be handed over, beyond DRAIN_GRACE
STOP_S = 8.0  # for everything else that a stopping node does, beyond DRAIN_GRACE
STEP_S = 2.0  # for one step of that
GARBAGE_AFTER = 50_000  # new objects, until young ones are collected
LAST_S = 2.0  # after which the process ends, whatever a graph's thread is doing
ENDS_WITHIN_S = STOP_S + LAST_S  # a process that was told to stop, beyond DRAIN_GRACE


class Node:
    """A running node. `start` returns when clients may come; `stop` leaves nothing behind in Redis.

    It may run in a program of yours, in its event loop: `async with Node(load_settings()) as node:`. With
    `embedded` it does not listen: its `application` is mounted in an aiohttp application, at BASE_PATH, before
    that one starts.
    """

    def __init__(self, settings: Settings, place: Place | None = None, *, embedded: bool = False) -> None:
        """`place`: among the workers that share the port, if there are any. `embedded`: the program's server has
        the connections, and a BASE_PATH is needed. Raises SettingsError.
        """
        if embedded:
            if not settings.base_path:
                raise SettingsError(
                    "BASE_PATH is not set. BASE_PATH: write where the node is mounted, such as /chat."
                )
            settings = settings.model_copy(update={"transport": "stock"})
        self._embedded = embedded
        self._place = place
        self._settings = settings
        self.node_id = f"{settings.name}-{secrets.token_hex(4)}"
        try:
            self._core = Core(settings, self.node_id, place)
        except CannotExport as exc:
            raise SettingsError(f"TRACES=otlp: {exc}.") from None
        self._feed: TraceFeed | None = None
        self._runner: web.AppRunner | None = None
        self._sites: list[web.TCPSite] = []
        self._stop_by = 0.0  # monotonic

    @property
    def application(self) -> web.Application:
        """What an embedded node serves, once it has started: for `add_subapp` with BASE_PATH."""
        return self._http.application

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._close_connections()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, wait for Redis if need be, and serve. Raises SettingsError or Unavailable."""
        settings, core = self._settings, self._core
        await self._wait_for_redis(self._read_time)
        await self._wait_for_redis(self._check_format)
        secret = await self._wait_for_redis(self._read_shared_secret)
        files = await self._open_files()
        try:
            records = self._records = Records(core, secret, files)
        except (ValueError, OSError) as exc:  # OSError: of a folder
            raise SettingsError(f"ARCHIVE_URL={settings.archive_url}: {exc}. {hint('ARCHIVE_URL')}.") from None
        self._dialog = Dialog(core, records)
        try:
            await self._dialog.host.start()
        except (BadGraph, WrongSaver) as exc:
            raise SettingsError(str(exc)) from None
        except Unavailable as exc:
            url = hide_password(settings.redis_url)
            raise SettingsError(f"REDIS_URL={url}: the checkpoints cannot be set up: {exc.message}") from None
        try:
            self._limiting = Limiting(core, records.refused_tokens, secret)
        except BadHook as exc:
            raise SettingsError(f"{exc}. AUTHENTICATE: {hint('AUTHENTICATE')}.") from None
        except (NoPushLibraries, WrongKey) as exc:
            problem = "install roomgraph[push]" if isinstance(exc, NoPushLibraries) else str(exc)
            raise SettingsError(f"VAPID_PRIVATE_KEY: {problem}. {hint('VAPID_PRIVATE_KEY')}.") from None
        except NoCryptography as exc:
            raise SettingsError(f"AUTH_JWKS_URL={settings.auth_jwks_url}: {exc}.") from None
        self._sockets = Sockets(core, records, self._dialog, self._limiting)
        if settings.stage_key:
            core.trace.start(settings.redis_url)
            self._feed = TraceFeed(settings.redis_url)
            self._feed.start()
        self._api = Api(core, records, self._sockets, self._dialog, self._limiting)
        self._http = Http(
            *(core, records, self._sockets, self._dialog, self._limiting, self._api, self._feed),
            mounted=self._embedded,
        )
        self._start_background_work()
        if not self._embedded:
            await self._listen()
        core.trace.record(TraceKind.NODE_UP)

    async def stop(self) -> None:
        """Tell the clients, close their sockets, let runs end or hand them over, and sign off.

        Takes DRAIN_GRACE + STOP_S at most: what has not been done by then other nodes do.
        """
        core, sockets, presence = self._core, self._sockets, self._sockets.presence
        grace_s = self._settings.drain_grace
        self._stop_by = time.monotonic() + grace_s + STOP_S
        sockets.readiness.stopping = True
        core.trace.record(TraceKind.NODE_DRAINING)
        # At once, beside all else: what is handed over waits for nothing here.
        draining = asyncio.create_task(self._dialog.host.stop(grace_s))
        if self._place is not None:
            self._place.leave()
        for site in self._sites:
            await self._step(site.stop())  # no client comes back to this node
        self._api.streams.close()
        sessions = list(presence.sessions.all())
        for session in sessions:
            notice = sent_away(SessionEnd.NODE_STOPPING, self._settings.node_urls, leaving=len(sessions))
            presence.bus.deliver(session.sid, ServerEvent.SESSION_ENDED, notice)
        await asyncio.sleep(DRAIN_NOTICE_S)
        if self._feed is not None:
            await self._step(self._feed.stop())
        await self._step(sockets.server.close_all())
        await self._step(draining, grace_s + HAND_OVER_S)
        await self._step(core.supervisor.stop())
        await self._step(sockets.resync.close())
        await self._step(sockets.fanout.close())
        await self._step(sockets.sign_outs.stop())
        await self._step(sockets.disconnects.stop())
        await self._step(presence.ends.stop(), STEP_S + 1)
        if self._runner is not None:
            await self._step(self._runner.cleanup())
        await self._step(sockets.server.shutdown())
        await self._step(self._sign_off())
        await self._step(presence.news.stop())
        await self._step(core.trace.stop())
        if core.exporting is not None:
            await self._step(core.exporting.close())
        await self._step(presence.bus.close())
        await self._step(core.redis.aclose())

    async def _close_connections(self) -> None:
        """It could not start: nothing of it is left open."""
        with contextlib.suppress(Exception):
            await self._core.supervisor.stop()
            await self._core.bus.close()
            await self._core.redis.aclose()

    def _start_background_work(self) -> None:
        supervisor, sockets, presence = self._core.supervisor, self._sockets, self._sockets.presence
        if (watch := primary_watch(self._settings.redis_url)) is not None:
            supervisor.start("primary", watch)
        supervisor.start(
            "bus", lambda: presence.bus.listen(sockets.dispatch.on_bus_message, sockets.on_resubscribed)
        )
        supervisor.start("heartbeats", presence.heartbeats.run)
        supervisor.start("readiness", sockets.readiness.watch)
        supervisor.start("leases", self._dialog.leases.renew_leases)
        supervisor.start("sign-outs", sockets.sign_outs.watch)
        supervisor.start("session-mirror", presence.mirror.run_reconciles)
        supervisor.start("session-ends", presence.ends.run)
        supervisor.start("presence", presence.news.run)
        supervisor.start("presence-overdue", presence.news.watch_overdue)
        supervisor.start("admission", sockets.server.admission.run)
        supervisor.start("watchdog", sockets.server.watchdog.run)
        supervisor.start("http-connections", self._http.connections.run)
        if (place := self._place) is not None:
            supervisor.start("worker-board", lambda: self._write_board(place))
        supervisor.start("loop-lag", self._core.metrics.watch_loop)
        if self._limiting.keys is not None:
            supervisor.start("issuer-keys", self._limiting.keys.run)
        supervisor.start("limits", self._limiting.limits.share)
        supervisor.start("sweeper", self._records.sweeper.run)
        if (admin := sockets.server.admin_ui) is not None:
            supervisor.start("admin-ui", lambda: admin.run(sockets.server.tell_admin))
        if self._settings.service_keys:
            supervisor.start("schedules", self._api.scheduler.run)
        if self._api.push is not None:
            sender, notifier = self._api.push
            supervisor.start("push-sender", sender.run)
            supervisor.start("push", notifier.run)
        if self._settings.webhooks:
            supervisor.start("webhooks", self._api.webhooks.run)

    async def _listen(self) -> None:
        """Accept connections: at the port, and if it is a worker's, at one of its own."""
        settings, place = self._settings, self._place
        self._runner = runner = HttpRunner(self._http.application, self._http.connections, shutdown_timeout=1.0)
        await self._runner.setup()
        ports = [settings.port]
        if place is not None and settings.worker_ports:
            ports.insert(0, settings.worker_ports + place.number - 1)
        for port in ports:
            shared = place is not None and port == settings.port
            if shared:  # until then the other workers take all connections
                await self._wait_until_ready()
            site = web.TCPSite(runner, settings.host, port, reuse_address=True, reuse_port=shared)
            await self._listen_on(port, site)
        runner.bound_unsent()
        if place is not None:
            place.write(ready=self._sockets.readiness.report()["ready"])

    async def _wait_until_ready(self) -> None:
        """Wait until the node has heard itself on the bus, which takes a second at most when all is well."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._sockets.readiness.report()["ready"] and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(READY_CHECK_S)

    async def _listen_on(self, port: int, site: web.TCPSite) -> None:
        settings = self._settings
        try:
            await site.start()
        except OSError as exc:
            await self.stop()
            where = f"{settings.host}:{port} cannot be listened on ({exc.strerror})"
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                name = "PORT" if port == settings.port else "WORKER_PORTS"
                advice = f"{name}={port}: {where}. {name}: write a number that is free, or stop what uses it."
            else:
                advice = f"HOST={settings.host}: {where}. HOST: write an address of this machine, or 0.0.0.0."
            raise SettingsError(advice) from None
        self._sites.append(site)

    async def _write_board(self, place: Place) -> None:
        """Tell the other workers how this one is, until cancelled."""
        while True:
            if self._sites and not self._sockets.readiness.stopping:
                place.write(ready=self._sockets.readiness.report()["ready"])
            await asyncio.sleep(WRITE_S)

    async def _step(self, work: Coroutine[Any, Any, Any] | asyncio.Task[Any], limit_s: float = STEP_S) -> None:
        """One step of stopping: bounded, and whatever it raises the next one follows."""
        task = work if isinstance(work, asyncio.Task) else asyncio.create_task(work)
        name = getattr(task.get_coro(), "__qualname__", repr(task))
        left_s = self._stop_by - time.monotonic()
        _, late = await asyncio.wait([task], timeout=max(0.0, min(limit_s, left_s)))
        if late:
            log.error("a step of stopping takes too long and is left: step=%s", name)
            task.cancel()
        elif (error := task.exception()) is not None:
            log.error("a step of stopping failed: step=%s", name, exc_info=error)

    async def _sign_off(self) -> None:
        """Remove what this node has in Redis."""
        try:
            await self._sockets.presence.ends.reap(self.node_id)
            await self._sockets.presence.nodes.forget(self.node_id)
            self._core.trace.record(TraceKind.NODE_GONE, gone=self._settings.name)
        except Unavailable:
            log.warning("Redis is away: other nodes will remove this node's sessions")

    async def _read_time(self) -> None:
        """Set the clock by Redis' time."""
        redis = self._core.redis
        await redis.ping()
        asked_at = time.monotonic()
        seconds, microseconds = await redis.time()
        self._core.clock.heard(seconds * 1000 + microseconds // 1000, asked_at)

    async def _read_shared_secret(self) -> str:
        """A secret that all nodes share through Redis; unlike AUTH_SECRET it never changes."""
        await self._core.redis.set(SHARED_SECRET, secrets.token_hex(32), nx=True)
        return str(await self._core.redis.get(SHARED_SECRET))

    async def _open_files(self) -> FileStore | None:
        """The storage of files; None without one. Raises SettingsError for one that was asked for."""
        url = self._settings.files_url
        if not url:
            return None
        try:
            store = FileStore(url)
            folder = store.folder_id()
            await store.check()
        except Unavailable as exc:
            log.warning("FILES_URL=%s cannot be used now: %s", url, exc.__cause__ or exc)
            return store
        except (ValueError, OSError) as exc:
            if "files_url" in self._settings.model_fields_set:
                raise SettingsError(f"FILES_URL={url}: {exc}. {hint('FILES_URL')}.") from None
            log.warning("messages can have no files: FILES_URL is not set, and %s cannot be written: %s", url, exc)
            return None
        if folder is not None and not await self._wait_for_redis(
            partial(is_shared_folder, self._core.redis, folder)
        ):
            log.warning(
                "FILES_URL=%s is not the folder in which other nodes store files: share one, or name an object "
                "storage; until then files are found on some nodes only",
                url,
            )
        return store

    async def _check_format(self) -> None:
        try:
            await check_format(self._core.redis)
        except WrongFormat as exc:
            raise SettingsError(f"REDIS_URL={hide_password(self._settings.redis_url)}: {exc}") from None

    async def _wait_for_redis(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask Redis for REDIS_WAIT_S at most, until it answers. Raises SettingsError if waiting is in vain."""
        deadline = time.monotonic() + REDIS_WAIT_S
        url = hide_password(self._settings.redis_url)
        logged = False
        while True:
            try:
                with redis_errors():
                    return await ask()
            except Unavailable as exc:
                problem = exc.__cause__
                # What passes by itself, such as loading or a failover, is waited for; a refusal is not.
                if isinstance(problem, (AuthenticationError, ResponseError)) and not explain(problem).passes:
                    raise SettingsError(
                        f"REDIS_URL={url}: Redis refuses: {problem}. "
                        "REDIS_URL: write the right user, password and database."
                    ) from None
                if "CERTIFICATE_VERIFY_FAILED" in str(problem):
                    raise SettingsError(
                        f"REDIS_URL={url}: the certificate of Redis is not trusted ({problem}). REDIS_URL: "
                        "write a name that the certificate has, and ?ssl_ca_certs=/path/of/the/authority.crt."
                    ) from None
                if time.monotonic() > deadline:
                    raise SettingsError(
                        f"REDIS_URL={url}: no Redis answers there ({problem}). "
                        "Start one with `roomgraph redis`, or write the URL of a Redis or Valkey, from 6.2 on."
                    ) from None
                if not logged:
                    log.warning("waiting for Redis at %s", url)
                    logged = True
                await asyncio.sleep(REDIS_AGAIN_S)


async def serve(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Run a node until SIGTERM or SIGINT; call `on_ready` when it serves.

    Raises SettingsError for what a person can put right.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    node = Node(settings, own_place())
    starting = asyncio.create_task(node.start())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        await end_tasks([starting])
        return
    starting.result()
    # What is there by now stays: a collection that walked all of it would hold up every client for long, and
    # thousands of new sessions cause several.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)
    on_ready()
    await waiting
    _end_process_after(settings.drain_grace + STOP_S + LAST_S)
    await node.stop()


def _end_process_after(seconds: float) -> None:
    """End this process then, if it has not ended by itself: a graph's thread may never return."""

    def end() -> None:
        log.error("something keeps this process from ending, most likely a graph's thread: it is ended now")
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
