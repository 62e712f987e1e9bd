"""One node, put together: gateway, dialog worker and heartbeats around one Redis."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from redis.exceptions import AuthenticationError, ResponseError

from sio_server.cluster.heartbeats import Heartbeats
from sio_server.cluster.nodes import Nodes
from sio_server.cluster.peers import Peers
from sio_server.cluster.status import read_status
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.runs import Runs
from sio_server.conversation.turns import Turns
from sio_server.dialog.attempts import Attempts, RunLimits
from sio_server.dialog.graphs.loading import Graphs, load_graphs
from sio_server.dialog.graphs.problems import BadGraph
from sio_server.dialog.host import DialogHost
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.savers.checkpoints import CheckpointStore, WrongSaver
from sio_server.dialog.worker import DialogWorker
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.bus_messages import SESSION_DROPPED
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.resync import Repeats
from sio_server.gateway.http.application import make_application
from sio_server.gateway.http.guest import GuestRoutes
from sio_server.gateway.http.health import HealthRoutes
from sio_server.gateway.http.hosts import AllowedHosts
from sio_server.gateway.http.metrics import MetricsRoutes
from sio_server.gateway.http.page import PagePolicy, PageRoutes
from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.http.stage import Stage, StageRoutes
from sio_server.gateway.http.status import StatusRoutes
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.namespace import Gateway
from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.disconnects import Drops
from sio_server.gateway.sessions.handshake import Handshakes
from sio_server.gateway.sessions.limits import Limits, parse_rates
from sio_server.gateway.sessions.readiness import Readiness
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.sign_out import Endings
from sio_server.gateway.transport.engine import ConnectionLimits
from sio_server.gateway.transport.http_connections import HttpConnections, HttpRunner
from sio_server.gateway.transport.inbound import InboundLimits
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.gateway.transport.socket_server import SocketServer
from sio_server.open_files import raise_open_files
from sio_server.protocol.errors import Unavailable
from sio_server.protocol.events import ServerEvent
from sio_server.settings import Settings, SettingsError, hide_password
from sio_server.store.clock import Clock
from sio_server.store.connection import connect, redis_errors
from sio_server.store.keys import GUEST_SECRET
from sio_server.store.scripts import Scripts
from sio_server.tasks import end_tasks
from sio_server.trace.contract import TraceKind
from sio_server.trace.feed import TraceFeed
from sio_server.trace.recording import Trace
from sio_server.users.devices import Devices

log = logging.getLogger(__name__)

REDIS_WAIT_S = 60.0
SPARE_FILES = 128  # of those a process may open: for Redis and the page's files
HTTP_SHARE = 8  # of them, at most an eighth for HTTP connections that are no websockets
DRAIN_NOTICE_S = 0.1  # for the notice to leave the queues before the sockets are closed


class Node:
    """A running node. `start` returns when clients may come; `stop` leaves nothing behind in Redis."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.node_id = f"{settings.name}-{secrets.token_hex(4)}"
        self._redis = connect(settings.redis_url)
        self._clock = Clock()
        self._trace = Trace(settings.name)
        self._feed: TraceFeed | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self._listening = False

    async def start(self) -> None:
        """Connect, wait for Redis if need be, and serve. Raises SettingsError or Unavailable."""
        settings = self._settings
        await self._wait_for_redis()
        tokens = Tokens(await self._secret(), settings.auth_audience, self._clock.now)
        metrics = Metrics()
        scripts = Scripts(self._redis)
        conversations = ConversationLog(scripts, self._trace)
        self._bus = Bus(settings.redis_url, self.node_id)
        members = Members(self._redis, scripts, conversations, retention=settings.log_retention)
        devices = Devices(self._redis, scripts, members)
        self._sessions = Sessions(
            self._redis,
            devices,
            self.node_id,
            settings.name,
            metrics,
            self._trace,
            per_user=settings.connections_per_user,
            per_address=settings.connections_per_address,
        )
        self._limits = Limits(
            scripts,
            user=parse_rates(settings.rate_limit_user),
            events=parse_rates(settings.rate_limit_events),
            address=parse_rates(settings.rate_limit_address),
        )
        self._fanout = Fanout(self._bus, conversations, self._sessions, metrics, self._trace)
        self._fanout.repeats = Repeats(self._bus, members, devices)
        description: dict[str, str] = {
            "name": settings.name,
            "host": socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host,
            "port": str(settings.port),
            "started": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        self._nodes = Nodes(self._redis, scripts, self.node_id, description)
        peers = Peers(settings.node_urls)
        self._heartbeats = Heartbeats(
            self._nodes, self._sessions, peers, self._clock, beat_bus=self._bus.heartbeat, on_gone=self._gone
        )
        self._leases = LeaseKeeper(Runs(scripts, self.node_id, settings.name))
        self._dialog = DialogHost(lambda: self._build_dialog(metrics))
        try:
            await self._dialog.start()
        except (BadGraph, WrongSaver) as exc:
            raise SettingsError(str(exc)) from None
        self._drops = Drops(self._bus, self._sessions, metrics)
        files = raise_open_files()
        max_http = min(settings.max_http_connections, files // HTTP_SHARE)
        http_connections = HttpConnections(
            max_http,
            # Behind proxies of ours every connection comes from one of them.
            lambda peer: "" if settings.trusted_proxies else client_address(peer, (), 0),
        )
        events = parse_rates(settings.rate_limit_events)
        limits = ConnectionLimits(
            min(settings.max_connections, files - max_http - SPARE_FILES),
            AllowedOrigins(settings.allowed_origins),
            InboundLimits.above_events([(rate.count, rate.period_s) for rate in events]),
        )
        self._sio = SocketServer(self._bus, limits, self._drops.dropped)
        self._endings = Endings(self._bus, self._sessions, devices, self._fanout, self._sio.end_session)
        self._readiness = Readiness(
            settings.name,
            self._bus,
            self._sessions,
            redis_heard_at=lambda: max(self._heartbeats.heard_at, self._redis.answered_at),
            another_is_well=peers.one_is_well,
            close=self._sio.close,
        )
        gateway = Gateway(
            handshakes=Handshakes(tokens, self._sessions, self._limits, settings.trusted_proxies),
            limits=self._limits,
            sessions=self._sessions,
            members=members,
            conversations=conversations,
            fanout=self._fanout,
            bus=self._bus,
            metrics=metrics,
            node_name=settings.name,
            turns=Turns(scripts),
            graphs=self._graphs,
            devices=devices,
            endings=self._endings,
            drops=self._drops,
            node_urls=settings.node_urls,
            admit=self._readiness.admit,
            conversations_per_session=settings.conversations_per_session,
        )
        self._sio.register_namespace(gateway)
        if settings.stage_key:
            self._trace.start(settings.redis_url)
            self._feed = TraceFeed(settings.redis_url)
            self._feed.start()
        request_limits = RequestLimits(self._limits, settings.trusted_proxies)
        guests = settings.auth_mode == "guest"
        page_origins = (*settings.allowed_origins, *settings.node_urls)
        stage = self._stage()
        app = make_application(
            [
                HealthRoutes(settings.name, self._readiness.report),
                MetricsRoutes(metrics, settings.metrics_token),
                GuestRoutes(tokens, request_limits, allowed=guests, token_ttl_s=settings.token_ttl),
                StatusRoutes(tokens, devices, request_limits, lambda: read_status(self._redis)),
                PageRoutes(),
            ],
            hosts=AllowedHosts(settings.allowed_hosts, origins=page_origins, listens_on=settings.host),
            policy=PagePolicy(page_origins, stage=stage is not None),
            stage=StageRoutes(stage, settings.name, settings.allowed_origins) if stage else None,
        )
        self._sio.attach(app)
        self._bus.on_event = self._hear
        self._bus.on_return = self._missed
        self._bus.start()
        self._tasks.append(asyncio.create_task(self._heartbeats.run(), name="heartbeats"))
        self._tasks.append(asyncio.create_task(self._readiness.watch(), name="readiness"))
        self._tasks.append(asyncio.create_task(self._leases.keep(), name="leases"))
        self._tasks.append(asyncio.create_task(self._endings.watch(), name="endings"))
        self._limits.start()
        self._tasks.append(asyncio.create_task(self._sio.admission.run(), name="admission"))
        self._tasks.append(asyncio.create_task(self._sio.watchdog.run(), name="watchdog"))
        self._tasks.append(asyncio.create_task(http_connections.run(), name="http-connections"))
        self._runner = HttpRunner(app, http_connections, shutdown_timeout=1.0)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, settings.host, settings.port, reuse_address=True)
        try:
            await self._site.start()
        except OSError as exc:
            await self.stop()
            where = f"{settings.host}:{settings.port} cannot be listened on ({exc.strerror})"
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                advice = f"PORT={settings.port}: {where}. PORT: write a number that is free, or stop what uses it."
            else:
                advice = f"HOST={settings.host}: {where}. HOST: write an address of this machine, or 0.0.0.0."
            raise SettingsError(advice) from None
        self._listening = True
        self._trace.tell(TraceKind.NODE_UP)

    async def stop(self) -> None:
        """Tell the clients, close their sockets, let runs end or hand them over, and sign off."""
        self._readiness.stopping = True
        self._trace.tell(TraceKind.NODE_DRAINING)
        if self._listening:
            await self._site.stop()  # nobody comes back to this node
        for session in self._sessions.all():
            self._bus.deliver(session.sid, ServerEvent.SERVER_DRAINING, {"node": self._settings.name})
        await asyncio.sleep(DRAIN_NOTICE_S)
        if self._feed is not None:
            await self._feed.stop()
        await self._sio.close_all()
        await self._dialog.stop(self._settings.drain_grace)
        await end_tasks(self._tasks)
        await self._limits.stop()
        await self._sessions.stop()
        await self._endings.close()
        await self._drops.close()
        await self._fanout.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._sio.shutdown()
        try:
            await self._sessions.bury(self.node_id)
            await self._nodes.forget(self.node_id)
            self._trace.tell(TraceKind.NODE_GONE, gone=self._settings.name)
        except Unavailable:
            log.warning("Redis is away: other nodes will remove this node's sessions")
        await self._trace.stop()
        await self._bus.stop()
        await self._redis.aclose()

    async def _build_dialog(self, metrics: Metrics) -> tuple[DialogWorker, Callable[[], Awaitable[None]]]:
        """The dialog worker with connections of its own; called in the dialog's event loop."""
        settings = self._settings
        redis = connect(settings.redis_url)
        checkpoints = CheckpointStore(settings.redis_url, settings.checkpointer)

        graphs: Graphs | None = None

        async def close() -> None:
            if graphs is not None:
                await graphs.close()
            await checkpoints.close()
            await redis.aclose()

        try:
            await checkpoints.set_up()
            graphs = await load_graphs(
                graph=settings.graph,
                langgraph_json=settings.langgraph_json,
                model=settings.model,
                model_timeout=settings.model_timeout,
                word_delay=settings.word_delay,
            )
        except BaseException:
            await close()
            raise
        self._graphs = [graphs.default, *(name for name in graphs.names if name != graphs.default)]
        runs = Runs(Scripts(redis), self.node_id, settings.name)
        attempts = Attempts(
            run_records=runs,
            leases=self._leases,
            graphs=graphs.compile(checkpoints.saver),
            checkpoints=checkpoints,
            limits=RunLimits(
                timeout_s=settings.run_timeout,
                attempts=settings.run_attempts,
                steps=settings.recursion_limit,
                threads_kept=settings.checkpoints_kept,
            ),
            on_ended=lambda status: metrics.runs.labels(status).inc(),
            trace=self._trace,
        )
        worker = DialogWorker(
            redis=redis,
            redis_url=settings.redis_url,
            run_records=runs,
            attempts=attempts,
            node_id=self.node_id,
            concurrency=settings.run_concurrency,
        )
        return worker, close

    def _hear(self, event: str, payload: Any, room: Any) -> None:
        """An event came over the bus: for the rooms, and for what this node does of its own."""
        if event == ServerEvent.SESSION_ENDED:
            self._endings.hear(payload, room)
            return
        if event == SESSION_DROPPED:
            self._drops.hear(payload)
            return
        if event == ServerEvent.RUN_FINISHED:
            self._dialog.ended(payload["run_id"], payload["status"])
        elif event == ServerEvent.DEVICE_UPDATED:
            self._sessions.renamed(room, payload["devices"])
        self._fanout.hear(event, payload, room)

    def _missed(self) -> None:
        """The bus came back: anything may have been missed."""
        self._heartbeats.beat_now()
        self._fanout.resync()
        if not self._readiness.stopping:
            self._sessions.doubt()

    def _stage(self) -> Stage | None:
        settings = self._settings
        if self._feed is None:
            return None
        return Stage(settings.stage_key, settings.stage_control or None, settings.node_urls, self._feed)

    async def _wait_for_redis(self) -> None:
        deadline = time.monotonic() + REDIS_WAIT_S
        url = hide_password(self._settings.redis_url)
        said = False
        while True:
            try:
                with redis_errors():
                    await self._redis.ping()
                    asked_at = time.monotonic()
                    seconds, microseconds = await self._redis.time()
                self._clock.heard(seconds * 1000 + microseconds // 1000, asked_at)
                return
            except Unavailable as exc:
                if isinstance(exc.__cause__, (AuthenticationError, ResponseError)):
                    # It answers, but not to us, and waiting changes nothing.
                    raise SettingsError(
                        f"REDIS_URL={url}: Redis refuses: {exc.__cause__}. "
                        "REDIS_URL: write the right user, password and database."
                    ) from None
                if "CERTIFICATE_VERIFY_FAILED" in str(exc.__cause__):
                    raise SettingsError(
                        f"REDIS_URL={url}: the certificate of Redis is not trusted ({exc.__cause__}). REDIS_URL: "
                        "write a name that the certificate has, and ?ssl_ca_certs=/path/of/the/authority.crt."
                    ) from None
                if time.monotonic() > deadline:
                    raise SettingsError(
                        f"REDIS_URL={url}: no Redis answers there ({exc.__cause__}). "
                        "Start one with `roomgraph redis`, or write the URL of a Redis or Valkey, from 6.2 on."
                    ) from None
                if not said:
                    log.warning("waiting for Redis at %s", url)
                    said = True
                await asyncio.sleep(0.2)

    async def _secret(self) -> str:
        """The secret that signs tokens; guests' nodes that were given none share one through Redis."""
        if self._settings.auth_secret:
            return self._settings.auth_secret
        with redis_errors():
            await self._redis.set(GUEST_SECRET, secrets.token_hex(32), nx=True)
            return str(await self._redis.get(GUEST_SECRET))

    async def _gone(self, node_id: str) -> None:
        """A dead node has been cleared away."""
        name = node_id.rpartition("-")[0]
        if self._trace.on and name not in await self._nodes.names():  # it may have been started again
            self._trace.tell(TraceKind.NODE_GONE, gone=name)


async def serve(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Run a node until SIGTERM or SIGINT; call `on_ready` when it serves.

    Raises SettingsError for what a person can put right.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    node = Node(settings)
    starting = asyncio.create_task(node.start())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        await end_tasks([starting])
        return
    starting.result()
    on_ready()
    await waiting
    await node.stop()
