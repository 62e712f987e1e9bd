"""The parts of a node, and which part is given what: the one place where they meet."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

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
from sio_server.dialog.host import DialogHost
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.run_queue import RunQueue
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.dialog.worker import DialogWorker
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.bus_messages import SESSION_DROPPED
from sio_server.gateway.fanout.dispatch import Dispatch
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.resync import Resync
from sio_server.gateway.http.api import HttpApi, Stage
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.requests.namespace import Gateway
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.disconnects import Drops
from sio_server.gateway.sessions.handshake import Handshakes
from sio_server.gateway.sessions.limits import Limits, parse_rates
from sio_server.gateway.sessions.readiness import Readiness
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.sign_out import Endings
from sio_server.gateway.transport.request_timeouts import Strangers
from sio_server.gateway.transport.server import SocketServer
from sio_server.open_files import raise_open_files
from sio_server.protocol.events import ServerEvent
from sio_server.settings import Settings
from sio_server.store.clock import Clock
from sio_server.store.connection import BoundedRedis, connect
from sio_server.store.scripts import Scripts
from sio_server.tasks import Supervisor
from sio_server.trace.contract import TraceKind
from sio_server.trace.feed import TraceFeed
from sio_server.trace.recording import Trace
from sio_server.users.devices import Devices

SPARE_FILES = 256  # of those a process may open: for Redis, the page's files, requests that are no websockets


class Core:
    """What every part of a node shares: settings, Redis, the clock, the trace, metrics, and the supervisor."""

    def __init__(self, settings: Settings, node_id: str) -> None:
        self.settings = settings
        self.node_id = node_id
        self.redis: BoundedRedis = connect(settings.redis_url)
        self.scripts = Scripts(self.redis)
        self.clock = Clock()
        self.trace = Trace(settings.name)
        self.metrics = Metrics()
        self.supervisor = Supervisor()


class Records:
    """What Redis keeps, as the parts of the event loop that serves clients see it."""

    def __init__(self, core: Core) -> None:
        self.conversations = ConversationLog(core.scripts, core.trace)
        self.members = Members(core.redis, core.scripts, self.conversations, retention=core.settings.log_retention)
        self.devices = Devices(core.redis, core.scripts, self.members)
        self.turns = Turns(core.scripts)


class Dialog:
    """The dialog worker in its thread, and the leases of its runs, which are renewed outside of that thread."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.leases = LeaseKeeper(Runs(core.scripts, core.node_id, core.settings.name))
        self.host = DialogHost(self._build)
        self.graphs: list[str] = []  # their names, the default one first; known when the host has started

    async def _build(self) -> tuple[DialogWorker, Callable[[], Awaitable[None]]]:
        """The worker with connections of its own; called in the dialog's event loop."""
        core, settings = self._core, self._core.settings
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
        self.graphs = [graphs.default, *(name for name in graphs.names if name != graphs.default)]
        runs = Runs(Scripts(redis), core.node_id, settings.name)
        attempts = Attempts(
            run_records=runs,
            leases=self.leases,
            graphs=graphs.compile(checkpoints.saver),
            checkpoints=checkpoints,
            limits=RunLimits(
                timeout_s=settings.run_timeout,
                attempts=settings.run_attempts,
                steps=settings.recursion_limit,
                threads_kept=settings.checkpoints_kept,
            ),
            on_ended=lambda status: core.metrics.runs.labels(status).inc(),
            trace=core.trace,
        )
        worker = DialogWorker(
            queue=RunQueue(redis, settings.redis_url, core.node_id),
            run_records=runs,
            attempts=attempts,
            concurrency=settings.run_concurrency,
        )
        return worker, close


class Presence:
    """The sessions of this node, and what the cluster knows of them: the bus, heartbeats, who is deaf."""

    def __init__(self, core: Core, records: Records) -> None:
        settings = core.settings
        self.bus = Bus(settings.redis_url, core.node_id)
        self.sessions = Sessions(
            core.redis,
            records.devices,
            core.node_id,
            settings.name,
            core.metrics,
            core.trace,
            per_user=settings.connections_per_user,
            per_address=settings.connections_per_address,
        )
        description = {
            "name": settings.name,
            "host": socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host,
            "port": str(settings.port),
            "started": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        self.nodes = Nodes(core.redis, core.scripts, core.node_id, description)
        self.peers = Peers(settings.node_urls)

        async def on_reaped(node_id: str) -> None:
            name = node_id.rpartition("-")[0]
            if core.trace.on and name not in await self.nodes.names():  # it may have been started again
                core.trace.tell(TraceKind.NODE_GONE, gone=name)

        self.heartbeats = Heartbeats(
            self.nodes,
            self.sessions,
            self.peers,
            core.clock,
            beat_bus=self.bus.publish_heartbeat,
            on_gone=on_reaped,
        )


@dataclass
class Gatekeeping:
    """What decides whether a client is let in."""

    tokens: Tokens
    limits: Limits
    handshakes: Handshakes


def wire_gatekeeping(core: Core, presence: Presence, secret: str) -> Gatekeeping:
    """Tokens, rates and handshakes."""
    settings = core.settings
    tokens = Tokens(secret, settings.auth_audience, core.clock.now)
    limits = Limits(
        core.scripts,
        user=parse_rates(settings.rate_limit_user),
        events=parse_rates(settings.rate_limit_events),
        marks=parse_rates(settings.rate_limit_marks),
        address=parse_rates(settings.rate_limit_address),
    )
    handshakes = Handshakes(tokens, presence.sessions, limits, settings.trusted_proxies)
    return Gatekeeping(tokens, limits, handshakes)


class Sockets:
    """The Socket.IO server with what it serves: fan-out, the end of sessions, and the requests of clients."""

    def __init__(
        self, core: Core, records: Records, dialog: Dialog, presence: Presence, gatekeeping: Gatekeeping
    ) -> None:
        settings, bus, sessions = core.settings, presence.bus, presence.sessions
        self.fanout = Fanout(bus, records.conversations, core.metrics, core.trace)
        self.resync = Resync(bus, self.fanout, records.conversations, records.members, records.devices)
        # None: the page's own origin only.
        max_connections = min(settings.max_connections, raise_open_files() - SPARE_FILES)
        self.server = SocketServer(bus, list(settings.allowed_origins) or None, max_connections)
        self.endings = Endings(bus, sessions, records.devices, self.fanout, self.server.end_session)
        self.drops = Drops(bus, sessions, core.metrics)
        self.readiness = Readiness(
            settings.name,
            bus,
            sessions,
            redis_heard_at=lambda: max(presence.heartbeats.heard_at, core.redis.answered_at),
            another_is_well=presence.peers.one_is_well,
            close=self.server.close,
        )
        gateway = Gateway(
            handshakes=gatekeeping.handshakes,
            limits=gatekeeping.limits,
            sessions=sessions,
            members=records.members,
            conversations=records.conversations,
            fanout=self.fanout,
            bus=bus,
            metrics=core.metrics,
            node_name=settings.name,
            turns=records.turns,
            graphs=dialog.graphs,
            devices=records.devices,
            endings=self.endings,
            drops=self.drops,
            node_urls=settings.node_urls,
            admit=self.readiness.admit,
            conversations_per_session=settings.conversations_per_session,
        )
        self.server.register_namespace(gateway)
        self.server.on_dropped = self.drops.dropped
        self.server.after_connect = gateway.after_connect
        self.dispatch = Dispatch(
            bus,
            self.fanout,
            internal={
                ServerEvent.SESSION_ENDED: self.endings.hear,
                SESSION_DROPPED: lambda payload, room: self.drops.hear(payload),
            },
            observers={
                ServerEvent.RUN_FINISHED: lambda run, room: dialog.host.on_run_finished(
                    run["run_id"], run["status"]
                ),
                ServerEvent.DEVICE_UPDATED: lambda payload, room: sessions.renamed(room, payload["devices"]),
            },
        )
        self._presence = presence

    def on_resubscribed(self) -> None:
        """The bus is back: anything may have been missed."""
        self._presence.heartbeats.beat_now()
        self.resync.start()
        if not self.readiness.stopping:
            self._presence.sessions.doubt()


class Http:
    """The HTTP server: the routes, and the connections that the Socket.IO server takes over."""

    def __init__(
        self, core: Core, records: Records, sockets: Sockets, gatekeeping: Gatekeeping, feed: TraceFeed | None
    ) -> None:
        settings = core.settings
        stage = None
        if feed is not None:
            stage = Stage(settings.stage_key, settings.stage_control or None, settings.node_urls, feed)
        api = HttpApi(
            tokens=gatekeeping.tokens,
            devices=records.devices,
            limits=gatekeeping.limits,
            trusted_proxies=settings.trusted_proxies,
            guests=settings.auth_mode == "guest",
            token_ttl_s=settings.token_ttl,
            metrics=core.metrics,
            node_name=settings.name,
            readiness=sockets.readiness.report,
            status=lambda: read_status(core.redis),
            page_origins=settings.allowed_origins,
            node_urls=settings.node_urls,
            stage=stage,
        )
        self.application: web.Application = api.application()
        self.timeouts = Strangers()
        self.application.middlewares.insert(0, self.timeouts.greet)
        sockets.server.attach(self.application)
