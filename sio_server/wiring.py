"""The parts of a node, and which part is given what: the one place where they meet."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sio_server.cluster.backlog import Backlog
from sio_server.cluster.heartbeats import Heartbeats
from sio_server.cluster.nodes import Nodes
from sio_server.cluster.peers import Peers
from sio_server.cluster.status import read_status
from sio_server.conversation.file_records import FileRecords
from sio_server.conversation.log import ConversationLog
from sio_server.conversation.members import Members
from sio_server.conversation.quotas import DAY_MS, Quotas
from sio_server.conversation.reactions import Reactions
from sio_server.conversation.retention import Kept, Retention
from sio_server.conversation.runs import Runs
from sio_server.conversation.schedules import Schedules
from sio_server.conversation.search import Search
from sio_server.conversation.turns import Turns
from sio_server.data.archive import Archive
from sio_server.data.archive_store import ArchiveStore
from sio_server.data.export import Exports
from sio_server.data.sweeper import Sweeper
from sio_server.data.user_deletion import UserDeletion
from sio_server.dialog.attempts import Attempts, RunLimits
from sio_server.dialog.graphs.loading import ContextCheck, Graphs, load_graphs
from sio_server.dialog.host import DialogHost
from sio_server.dialog.leases import LeaseKeeper
from sio_server.dialog.memory import RedisStore
from sio_server.dialog.routed_queue import RoutedRunQueue
from sio_server.dialog.run_meter import RunMeter
from sio_server.dialog.run_queue import RunQueue
from sio_server.dialog.savers.store import CheckpointStore
from sio_server.dialog.worker import DialogWorker
from sio_server.files.files import Files
from sio_server.files.links import FileLinks
from sio_server.files.store import FileStore
from sio_server.gateway.api.conversations import ConversationEndpoints
from sio_server.gateway.api.endpoints import Endpoints
from sio_server.gateway.api.event_stream import EventStreams
from sio_server.gateway.api.export_routes import ExportRoutes
from sio_server.gateway.api.hook_lanes import HookLanes
from sio_server.gateway.api.messages import MessageEndpoints
from sio_server.gateway.api.push_notifier import Notifier
from sio_server.gateway.api.routes import ApiRoutes
from sio_server.gateway.api.schedule_endpoints import ScheduleEndpoints
from sio_server.gateway.api.scheduler import Scheduler
from sio_server.gateway.api.service_keys import ServiceKeys
from sio_server.gateway.api.users import UserEndpoints
from sio_server.gateway.api.webhook_messages import parse_endpoints
from sio_server.gateway.api.webhook_state import WebhookEndpoints
from sio_server.gateway.api.webhooks import Webhooks
from sio_server.gateway.fanout.bus import Bus
from sio_server.gateway.fanout.catch_up import CatchUp
from sio_server.gateway.fanout.dispatch import Dispatch
from sio_server.gateway.fanout.fanout import Fanout
from sio_server.gateway.fanout.numbered import EntryHead
from sio_server.gateway.fanout.resync import Resync
from sio_server.gateway.http.application import MAX_BODY_BYTES, make_application
from sio_server.gateway.http.assets import Assets
from sio_server.gateway.http.cors import Cors
from sio_server.gateway.http.device import DeviceRoutes
from sio_server.gateway.http.files import FileRoutes
from sio_server.gateway.http.guest import GuestRoutes, GuestTokens
from sio_server.gateway.http.health import HealthRoutes
from sio_server.gateway.http.hosts import AllowedHosts
from sio_server.gateway.http.metrics import MetricsRoutes
from sio_server.gateway.http.page import PagePolicy, PageRoutes
from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.http.stage import Stage, StageRoutes
from sio_server.gateway.http.status import StatusRoutes
from sio_server.gateway.metrics import Metrics
from sio_server.gateway.push.encryption import Sealer
from sio_server.gateway.push.sending import Sender
from sio_server.gateway.requests.conversations import ConversationRequests
from sio_server.gateway.requests.devices import DeviceRequests
from sio_server.gateway.requests.files import FileRequests
from sio_server.gateway.requests.graph_choice import GraphChoice
from sio_server.gateway.requests.lists import ListRequests
from sio_server.gateway.requests.membership_news import MembershipNews
from sio_server.gateway.requests.messages import MessageRequests
from sio_server.gateway.requests.namespace import Gateway, handlers_of
from sio_server.gateway.requests.push import PushRequests
from sio_server.gateway.requests.runs import RunRequests
from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.authenticate_hook import load_hook
from sio_server.gateway.sessions.authentication import Authentication
from sio_server.gateway.sessions.description import Description, installed_version
from sio_server.gateway.sessions.disconnects import DisconnectReasons
from sio_server.gateway.sessions.ends import SessionEnds
from sio_server.gateway.sessions.handshake import Handshakes
from sio_server.gateway.sessions.issuer_keys import IssuerKeys
from sio_server.gateway.sessions.limits import Limits, parse_rates
from sio_server.gateway.sessions.mirror import SessionMirror
from sio_server.gateway.sessions.presence import PresenceNews
from sio_server.gateway.sessions.readiness import Readiness
from sio_server.gateway.sessions.registry import Sessions
from sio_server.gateway.sessions.remembered_guests import AUDIENCE, DEVICES, RememberedGuests
from sio_server.gateway.sessions.session import Session
from sio_server.gateway.sessions.session_ready import SessionReady
from sio_server.gateway.sessions.sign_out import SignOuts, signed_out
from sio_server.gateway.transport.admin_ui import AdminUi, NodeFigures
from sio_server.gateway.transport.direct.server import DirectServer
from sio_server.gateway.transport.engine import PATH, ConnectionLimits
from sio_server.gateway.transport.http_connections import HttpConnections
from sio_server.gateway.transport.inbound import InboundLimits
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.gateway.transport.socket_server import SocketServer
from sio_server.gateway.transport.stock.server import StockServer
from sio_server.open_files import raise_open_files
from sio_server.protocol.errors import Refused
from sio_server.protocol.events import MAX_FRAME_BYTES
from sio_server.protocol.names import AgentNames
from sio_server.protocol.run import ENDED_BY
from sio_server.settings import Settings
from sio_server.store.bounded import BoundedRedis
from sio_server.store.clock import Clock
from sio_server.store.connection import connect, connect_patient, redis_errors
from sio_server.store.keys import USER_ROOM, conversation_channel
from sio_server.store.scripts import Scripts
from sio_server.tasks import Supervisor
from sio_server.trace.contract import TraceKind
from sio_server.trace.exporting import Exporting
from sio_server.trace.feed import TraceFeed
from sio_server.trace.recording import Trace
from sio_server.users.device_links import DeviceLinks
from sio_server.users.devices import Devices
from sio_server.users.presence import PresenceRecords
from sio_server.users.push import PushSubscriptions
from sio_server.users.session_records import SessionRecords
from sio_server.users.sign_out import RefusedTokens
from sio_server.worker_board import Place

REDIS_WAIT_S = 60.0  # for Redis, when the node starts
SPARE_FILES = 128  # of those a process may open: for Redis and the page's files
TRANSPORTS: dict[str, type[SocketServer]] = {"direct": DirectServer, "stock": StockServer}
HTTP_SHARE = 8  # of them, at most an eighth is for HTTP connections that are no websockets


class Core:
    """What every part of a node shares: settings, Redis, the clock, the trace, metrics, and the supervisor."""

    def __init__(self, settings: Settings, node_id: str, place: Place | None = None) -> None:
        """`place`: among the workers that share the port. Raises CannotExport."""
        self.settings = settings
        self.place = place
        self.node_id = node_id
        self.redis: BoundedRedis = connect(settings.redis_url, replicas=settings.durable_replicas)
        self.scripts = Scripts(self.redis)
        self.bus = Bus(settings.redis_url, node_id)
        self.clock = Clock()
        self.exporting = Exporting(settings.name, installed_version()) if settings.traces == "otlp" else None
        self.trace = Trace(settings.name, self.exporting.spans if self.exporting else None)
        self.metrics = Metrics()
        self.metrics.watch_bus(lambda: self.bus.messages, lambda: self.bus.channels)
        self.supervisor = Supervisor(self.metrics.task_failed)
        files = raise_open_files()
        self.max_http_connections = min(settings.max_http_connections, files // HTTP_SHARE)
        self.max_connections = min(settings.max_connections, files - self.max_http_connections - SPARE_FILES)


class Records:
    """What Redis keeps, as the parts of the event loop that serves clients see it."""

    def __init__(self, core: Core, secret: str, file_store: FileStore | None) -> None:
        settings = core.settings
        self.files = None
        if file_store is not None:
            self.files = Files(file_store, FileRecords(core.scripts), settings.files_max_bytes)
        self.links = FileLinks(secret, core.clock.now, settings.base_path)
        quotas = Quotas(
            conversations=settings.quota_conversations,
            bytes=settings.quota_bytes,
            invitations=settings.quota_invitations,
            invitations_kept_ms=settings.invitations_kept * DAY_MS,
            abandoned_kept_ms=settings.abandoned_kept * DAY_MS,
        )
        store = ArchiveStore(settings.archive_url) if settings.archive_url else None
        archive = Archive(core.redis, core.scripts, store) if store is not None else None
        self.conversations = ConversationLog(
            core.scripts, core.trace, quotas, archive, bot_turns=settings.bot_turns
        )
        self.members = Members(
            core.redis,
            core.scripts,
            self.conversations,
            retention=0 if archive is not None else settings.log_retention,
            quotas=quotas,
            id_secret=secret,
        )
        users = (core.redis, core.scripts)
        self.search = Search(*users) if settings.search == "scan" else None
        kept_ms = settings.users_kept_s * 1000
        self.devices = Devices(*users, users_kept_ms=kept_ms)
        self.push = PushSubscriptions(*users, users_kept_ms=kept_ms)
        self.session_records = SessionRecords(*users, users_kept_ms=kept_ms)
        self.device_links: DeviceLinks | None = None  # where no tokens are issued
        if settings.issues_tokens:
            self.device_links = DeviceLinks(*users, settings.auth_secrets[0] if settings.auth_secrets else secret)
        self.refused_tokens = RefusedTokens(*users, users_kept_ms=kept_ms)
        self.turns = Turns(core.scripts)
        self.reactions = Reactions(core.scripts)
        self.deletions = UserDeletion(core.redis, core.scripts, self.members, self.refused_tokens, archive)
        retention = Retention(core.scripts, _kept(settings), archive, has_files=self.files is not None)
        self.sweeper = Sweeper(
            *(core.redis, retention, self.deletions, core.node_id, archive),
            on_failure=lambda phase: core.metrics.sweep_failures.labels(phase).inc(),
            files=self.files,
        )


def _kept(settings: Settings) -> Kept:
    return Kept(settings.log_retention, settings.log_retention_days * DAY_MS, settings.requests_kept * DAY_MS)


def _in_this_loop(act: Callable[[str], None]) -> Callable[[str], None]:
    """The same for any thread: it is done in this event loop, soon."""
    loop = asyncio.get_running_loop()

    def tell(argument: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(act, argument)

    return tell


class Dialog:
    """The dialog worker in its thread, and the leases of its runs, which are renewed outside of that thread."""

    def __init__(self, core: Core, records: Records) -> None:
        self._core = core
        self._files = records.files
        # An entry that ends a run is heard where the run is executed, also without a session of the conversation.
        self.leases = LeaseKeeper(
            Runs(core.scripts, core.node_id, core.settings.name),
            lease_s=core.settings.lease,
            on_held=_in_this_loop(lambda conversation_id: core.bus.hold(conversation_channel(conversation_id))),
            on_released=_in_this_loop(
                lambda conversation_id: core.bus.release(conversation_channel(conversation_id))
            ),
        )
        self.host = DialogHost(self._build, core.metrics.task_failed)
        if core.settings.run_concurrency:
            core.bus.hear_bells(self.host.on_bell_told)
        # Known when the host has started:
        self.graphs: list[str] = []  # their names, the default one first
        self.titles: dict[str, str] = {}  # names in words, where they are not made from these
        self.context_checks: dict[str, ContextCheck] = {}
        self.graph_choice = GraphChoice(self.graphs, self.titles, self.context_checks)
        self._built = 0  # how often the dialog was started

    def on_entry(self, entry: EntryHead) -> None:
        """An entry came over the bus. When it ends a run that is executed here, the execution stops at once."""
        if entry.about != "-" and (status := ENDED_BY.get(entry.type)) is not None:
            self.host.on_run_ended(entry.about, status)

    async def _build(self) -> tuple[DialogWorker, Callable[[], Awaitable[None]]]:
        """The worker with connections of its own; called in the dialog's event loop."""
        core, settings = self._core, self._core.settings
        self.leases.release_all()  # of a dialog that has ended by itself
        self._built += 1
        redis = connect(settings.redis_url, replicas=settings.durable_replicas)
        # Not that of run control: a graph that does many things at once would hold up the leases of all runs.
        memory_redis = connect_patient(settings.redis_url)
        checkpoints = CheckpointStore(settings.redis_url, settings.checkpointer, settings.durable_replicas)
        graphs: Graphs | None = None

        async def close() -> None:
            if graphs is not None:
                await graphs.close()
            await checkpoints.close()
            await memory_redis.aclose()
            await redis.aclose()

        try:
            await checkpoints.set_up(REDIS_WAIT_S)
            graphs = await load_graphs(
                graph=settings.graph,
                graph_input=settings.graph_input,
                graph_output=settings.graph_output,
                langgraph_json=settings.langgraph_json,
                model=settings.model,
                model_timeout=settings.model_timeout,
                model_titles=settings.model_titles == "on",
                word_delay=settings.word_delay,
            )
            memory = RedisStore(memory_redis, **graphs.store_config)
            await memory.set_up(REDIS_WAIT_S)
        except BaseException:
            await close()
            raise
        self._tell(graphs)
        # A run that ends its dialog by itself has lost it, as one that ends its node.
        owner = f"{core.node_id}.{self._built}"
        runs = Runs(Scripts(redis), owner, settings.name, settings.max_answer_bytes, settings.lease)
        attempts = Attempts(
            run_records=runs,
            leases=self.leases,
            graphs=graphs.compile(checkpoints.saver, memory),
            served=graphs.served,
            checkpoints=checkpoints,
            limits=RunLimits(
                timeout_s=settings.run_timeout,
                attempts=settings.run_attempts,
                steps=settings.recursion_limit,
                threads_kept=settings.checkpoints_kept,
                report_nodes=settings.report_nodes,
                titles=settings.agent_titles == "on",
            ),
            read_file=self._files.read if self._files is not None else None,
            on_ended=lambda status: core.metrics.runs.labels(status).inc(),
            meter=RunMeter(
                core.clock.now,
                core.metrics.run_claimed,
                core.metrics.first_text.observe,
                lambda status, seconds: core.metrics.run_duration.labels(status).observe(seconds),
            ),
            trace=core.trace,
        )
        make_queue = RunQueue if redis.routed is None else RoutedRunQueue
        worker = DialogWorker(
            queue=make_queue(redis, settings.redis_url, core.node_id, lease_s=settings.lease),
            run_records=runs,
            attempts=attempts,
            concurrency=settings.run_concurrency,
        )
        return worker, close

    def _tell(self, graphs: Graphs) -> None:
        """Change what the gateway was given in place, since the files may name other graphs than at first."""
        self.graphs[:] = [graphs.default, *(name for name in graphs.names if name != graphs.default)]
        known: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (self.titles, graphs.titles),
            (self.context_checks, graphs.context_checks),
        ]
        for before, now in known:
            before.update(now)  # first: another thread reads it
            for name in before.keys() - now.keys():
                del before[name]


class Presence:
    """The sessions of this node, what the cluster knows of them and of its nodes, and the bus between them."""

    def __init__(
        self, core: Core, records: Records, on_signed_out: Callable[[Session, dict[str, str] | None], None]
    ) -> None:
        settings = core.settings
        self.bus = core.bus
        self.news = PresenceNews(
            PresenceRecords(core.redis), self.bus.emit_soon, core.clock.now, settings.presence_grace
        )
        self.ends = SessionEnds(core.redis, records.session_records, core.node_id, self.news)
        self.mirror = SessionMirror(
            records.session_records,
            self.ends,
            self.news,
            core.node_id,
            settings.name,
            on_signed_out=on_signed_out,
            per_user=settings.connections_per_user,
        )
        self.sessions = Sessions(
            self.bus, self.mirror, core.metrics, core.trace, per_address=settings.connections_per_address
        )
        description = {
            "name": settings.name,
            "host": socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host,
            "port": str(_own_port(core)),
            "path": settings.base_path,
            "version": installed_version(),
            "started": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        self.nodes = Nodes(core.redis, core.scripts, core.node_id, description)
        self.peers = Peers(settings.node_urls)

        async def on_reaped(node_id: str) -> None:
            name = node_id.rpartition("-")[0]
            if core.trace.on and name not in await self.nodes.names():  # it may have been started again
                core.trace.record(TraceKind.NODE_GONE, gone=name)

        self.heartbeats = Heartbeats(
            self.nodes,
            self.mirror,
            self.ends,
            self.peers,
            core.clock,
            beat_bus=self.bus.publish_heartbeat,
            on_gone=on_reaped,
            on_answered=core.metrics.redis_latency.observe,
        )


def _own_port(core: Core) -> int:
    """Where this node itself is reached: a worker at its own port, if it has one."""
    if core.place is None or not core.settings.worker_ports:
        return core.settings.port
    return core.settings.worker_ports + core.place.number - 1


class Limiting:
    """Which user a token stands for, and how much a user, an event and an address may spend."""

    def __init__(self, core: Core, refused_tokens: RefusedTokens, secret: str) -> None:
        """`secret`: signs guests' tokens when there is no AUTH_SECRET.

        Raises BadHook, NoCryptography, NoPushLibraries and WrongKey.
        """
        settings = core.settings
        own = settings.auth_secrets or ((secret,) if settings.auth_mode == "guest" else ("",))
        self.tokens = Tokens(
            own[0],
            settings.auth_audience,
            core.clock.now,
            settings.claims,
            older=own[1:],
            issuer=settings.auth_issuer,
            operator=settings.operator_claim,
        )
        remembered = Tokens(
            own[0],
            settings.auth_audience + AUDIENCE,
            core.clock.now,
            (DEVICES,),
            older=own[1:],
            issuer=settings.auth_issuer,
        )
        self.guests = GuestTokens(
            self.tokens,
            RememberedGuests(remembered, refused_tokens, secret=secret, days=settings.guest_remembered),
            allowed=settings.auth_mode == "guest",
            token_ttl_s=settings.token_ttl,
            base_path=settings.base_path,
        )
        self.keys = IssuerKeys(settings.auth_jwks_url) if settings.auth_jwks_url else None
        hook = load_hook(settings.authenticate, settings.token_ttl) if settings.authenticate else None
        self.authentication = Authentication(self.tokens, keys=self.keys, hook=hook, now=core.clock.now)
        self.sealer = (
            Sealer(settings.vapid_private_key, settings.vapid_subject, core.clock.now)
            if settings.vapid_private_key
            else None
        )
        self.limits = Limits(
            core.scripts,
            user=parse_rates(settings.rate_limit_user),
            events=parse_rates(settings.rate_limit_events),
            marks=parse_rates(settings.rate_limit_marks),
            files=parse_rates(settings.rate_limit_files),
            address=parse_rates(settings.rate_limit_address),
            service=parse_rates(settings.rate_limit_service),
        )


async def _read_figures(redis: BoundedRedis) -> list[NodeFigures]:
    with redis_errors():
        nodes = (await read_status(redis))["nodes"]
    return [
        NodeFigures(one["name"], datetime.fromisoformat(one["started"]).timestamp(), one["sessions"])
        for one in nodes
    ]


class Sockets:
    """The Socket.IO server with what it serves: fan-out, the end of sessions, and the requests of clients."""

    def __init__(self, core: Core, records: Records, dialog: Dialog, limiting: Limiting) -> None:
        self._core = core
        self._dialog = dialog
        # A session that is written again may turn out to be signed out: then it is ended.
        presence = self.presence = Presence(
            core, records, lambda session, by: self.sign_outs.end(session.sid, signed_out(by))
        )
        bus, sessions = presence.bus, presence.sessions
        self.fanout = Fanout(bus, records.conversations, core.metrics, core.trace)
        self.resync = Resync(bus, self.fanout, records.members, records.devices, sessions.user_ids)
        self.disconnects = DisconnectReasons(core.redis, sessions, core.metrics, core.clock.now)
        requests = RequestLimits(limiting.limits, core.settings.trusted_proxies)
        make_server = TRANSPORTS[core.settings.transport]
        self.server = make_server(bus, self._connection_limits(), self.disconnects.on_disconnected)
        if core.settings.admin_ui:
            self.server.admin_ui = AdminUi(
                core.settings.admin_ui,
                partial(_read_figures, core.redis),
                spend=requests.count,
                address_of=requests.address_of,
                on_refused=self._on_handshake_refused,
            )
        bus.join_writes_s = core.settings.join_writes / 1000 if self.server.joins_writes else 0.0
        self.sign_outs = SignOuts(
            bus, sessions, presence.mirror, records.refused_tokens, self.fanout, self.server.end_session
        )

        def redis_heard_at() -> float:
            most_shards = bus.redis_heard_at
            single = max(presence.heartbeats.heard_at, core.redis.answered_at)
            return single if most_shards is None else most_shards

        self.readiness = Readiness(
            core.settings.name,
            sessions,
            redis_heard_at=redis_heard_at,
            bus_heard_at=lambda: bus.heard_at,
            shards=bus.shards,
            another_is_well=presence.peers.one_is_well,
            deliver=bus.deliver,
            close=self.server.close,
            failing_tasks=lambda: [*core.supervisor.failing, *dialog.host.failing],
            node_urls=core.settings.node_urls,
        )
        presence.nodes.read_state = self.readiness.state
        self.server.register_namespace(self._namespace(records, limiting))
        self.dispatch = Dispatch(
            bus,
            self.fanout,
            on_entry=dialog.on_entry,
            on_devices=sessions.rename_devices,
            on_sessions_ended=self.sign_outs.on_session_ended,
        )

    def _on_handshake_refused(self, code: str) -> None:
        self._core.metrics.refused_handshakes.labels(code).inc()

    def on_resubscribed(self, rooms: set[str] | None) -> None:
        """The bus is back: anything may have been missed. `rooms`: of these only; None: of all."""
        if not rooms:
            self.presence.heartbeats.beat_now()
        self.resync.start(rooms)
        if not self.readiness.stopping and (rooms is None or any(room.startswith(USER_ROOM) for room in rooms)):
            self.presence.mirror.request_reconcile()

    def _connection_limits(self) -> ConnectionLimits:
        settings = self._core.settings
        event_rates = parse_rates(settings.rate_limit_events)
        return ConnectionLimits(
            self._core.max_connections,
            AllowedOrigins(settings.allowed_origins),
            InboundLimits.above_events([(rate.count, rate.period_s) for rate in event_rates]),
            admit=lambda: self.readiness.admit(),  # which is made after the server
            on_refused=self._on_handshake_refused,
            keep_headers=bool(settings.authenticate),
        )

    def _namespace(self, records: Records, limiting: Limiting) -> Gateway:
        core, settings, graphs = self._core, self._core.settings, self._dialog.graphs
        titles = self._dialog.titles
        bus, sessions = self.presence.bus, self.presence.sessions
        handshakes = Handshakes(
            limiting.authentication,
            sessions,
            limiting.limits,
            agents=AgentNames([*graphs, *titles.values()]),
            trusted_proxies=settings.trusted_proxies,
            admit=self.readiness.admit,
            settle=self.disconnects.settle,
            now=core.clock.now,
            on_refused=self._on_handshake_refused,
        )
        session_ready = SessionReady(
            bus,
            sessions,
            records.devices,
            node_name=settings.name,
            node_urls=settings.node_urls,
            graphs=graphs,
            about=Description(
                writes=parse_rates(settings.rate_limit_user),
                marks=parse_rates(settings.rate_limit_marks),
                events=parse_rates(settings.rate_limit_events),
                conversations=settings.conversations_per_session,
                features=[*settings.features, *(["files"] if records.files is not None else [])],
                file_bytes=settings.files_max_bytes if records.files is not None else 0,
                push_key=limiting.sealer.public_key if limiting.sealer else "",
            ),
        )
        catch_up = CatchUp(
            records.conversations,
            bus,
            self.fanout,
            is_live=lambda sid: sessions.get(sid) is not None,
            max_followed=settings.conversations_per_session,
        )
        handlers = handlers_of(
            ConversationRequests(
                records.members, records.conversations, catch_up, MembershipNews(bus), self._dialog.graph_choice
            ),
            ListRequests(records.members, records.search, bus, core.metrics),
            MessageRequests(records.conversations, records.reactions, self.fanout, bus, core.metrics),
            FileRequests(records.files, records.links),
            RunRequests(records.turns),
            DeviceRequests(records.devices, records.device_links, records.refused_tokens, self.sign_outs),
            PushRequests(records.push, limiting.sealer, private=settings.push_private == "on"),
        )
        return Gateway(
            handshakes,
            session_ready,
            sessions,
            limiting.limits,
            self.fanout,
            handlers,
            on_refused=lambda event, code: core.metrics.refused_requests.labels(event, code).inc(),
        )


class Api:
    """The API for backends: its endpoints, the streams of events, webhooks, and what is scheduled."""

    def __init__(self, core: Core, records: Records, sockets: Sockets, dialog: Dialog, limiting: Limiting) -> None:
        settings, now = core.settings, core.clock.now
        log, fanout = records.conversations, sockets.fanout
        self._keys = ServiceKeys(settings.service_keys)
        self._limits = limiting.limits
        self._base_path = settings.base_path
        catch_up = CatchUp(log, core.bus, fanout, is_live=lambda sid: self.streams.is_open(sid))
        self.streams = EventStreams(core.bus, catch_up, fanout)
        endpoints = parse_endpoints(settings.webhooks, settings.webhook_secrets)
        self.webhooks = Webhooks(
            endpoints,
            HookLanes(core.scripts, core.node_id, [endpoint.name for endpoint in endpoints]),
            now,
            lambda name, outcome: core.metrics.webhooks.labels(name, outcome).inc(),
        )
        for endpoint in endpoints:
            core.metrics.webhooks.labels(endpoint.name, "dropped")  # the first one shows as an increase
        core.metrics.watch(
            "roomgraph_webhooks_waiting",
            "Entries of the whole cluster that endpoints are to be told: about the same on each node",
            lambda: self.webhooks.waiting,
        )
        self._exports = ExportRoutes(Exports(core.redis, log, records.members, records.files))
        schedules = Schedules(core.scripts, log)
        self.scheduler = Scheduler(schedules, now, lambda outcome: core.metrics.schedules.labels(outcome).inc())
        core.metrics.watch("roomgraph_event_streams", "Streams of events for backends", lambda: self.streams.count)
        self._watched = core.metrics, core.trace
        self._groups: list[Endpoints] = [
            ConversationEndpoints(records.members, log, MembershipNews(core.bus), dialog.graph_choice),
            MessageEndpoints(log, records.turns, fanout),
            WebhookEndpoints(self.webhooks),
            ScheduleEndpoints(schedules, now),
            UserEndpoints(records.deletions),
        ]

        self.push = None
        if limiting.sealer is not None:
            sender = Sender(
                limiting.sealer,
                records.push.forget,
                lambda outcome: core.metrics.push.labels(outcome).inc(),
                private=settings.push_private == "on",
            )
            notifier = Notifier(
                *(core.scripts, core.node_id, records.push, sender, settings.base_path),
                disabled=lambda: self.webhooks.disabled,
            )
            self.push = sender, notifier

    @property
    def is_on(self) -> bool:
        """Whether there is a service key."""
        return bool(self._keys)

    def is_service(self, key: str) -> bool:
        """Whether a service has this key. Raises RateLimited for one that asks too often."""
        try:
            service = self._keys.check(key)
        except Refused:
            return False
        self._limits.spend_service(service.name)
        return True

    def routes(self, address_limits: RequestLimits) -> ApiRoutes:
        """Its routes."""
        return ApiRoutes(
            *(self._keys, self._limits, address_limits, self._groups, self.streams, self._exports, *self._watched),
            base_path=self._base_path,
        )


class Http:
    """The HTTP server: the routes, and the connections that the Socket.IO server takes over."""

    def __init__(
        self,
        core: Core,
        records: Records,
        sockets: Sockets,
        dialog: Dialog,
        limiting: Limiting,
        api: Api,
        feed: TraceFeed | None,
        *,
        mounted: bool = False,
    ) -> None:
        """`mounted`: the application is a part of another one, at BASE_PATH."""
        settings = core.settings
        limits = RequestLimits(limiting.limits, settings.trusted_proxies)
        guests = settings.auth_mode == "guest"
        origins = AllowedOrigins(settings.allowed_origins)
        page_origins = (*settings.allowed_origins, *settings.node_urls)
        base_path = settings.base_path
        shared_port = settings.port if core.place is not None else 0
        device_routes = []
        if records.device_links is not None:
            links = DeviceRoutes(
                records.device_links,
                limiting.guests,
                limits,
                origins,
                token_ttl_s=settings.token_ttl,
                now=core.clock.now,
            )
            device_routes.append(links)
        assets = Assets(settings.public_url)
        stage = None
        if feed is not None:
            control = Stage(settings.stage_key, settings.stage_control or None, settings.node_urls, feed)
            stage = StageRoutes(control, settings.name, assets)
        hosts = AllowedHosts(
            settings.allowed_hosts, origins=page_origins, listens_on=settings.host, base_path=base_path
        )
        self.application = make_application(
            [
                HealthRoutes(
                    settings.name,
                    sockets.readiness.report,
                    others=core.place.board.problems if core.place is not None else None,
                    shared_port=shared_port,
                ),
                MetricsRoutes(
                    core.metrics,
                    settings.metrics_token,
                    self._watch(core, sockets, dialog).refresh,
                    shared_port=shared_port,
                ),
                GuestRoutes(
                    limiting.guests,
                    records.refused_tokens,
                    limits,
                    origins,
                    AgentNames([*dialog.graphs, *dialog.titles.values()]),
                ),
                *device_routes,
                StatusRoutes(
                    limiting.authentication,
                    records.refused_tokens,
                    limits,
                    lambda: read_status(core.redis),
                    for_everybody=guests,
                    is_service=api.is_service,
                ),
                FileRoutes(
                    records.files,
                    records.links,
                    limiting.authentication,
                    records.refused_tokens,
                    limits,
                    limiting.limits,
                    on_moved=core.metrics.file_moved,
                ),
                PageRoutes(assets),
                api.routes(limits),
            ],
            hosts=hosts,
            cors=Cors(origins, base_path),
            policy=PagePolicy(page_origins, assets, stage=stage is not None),
            stage=stage,
            base_path=base_path,
            mounted=mounted,
            max_body_bytes=MAX_FRAME_BYTES if api.is_on else MAX_BODY_BYTES,
        )
        self.connections = HttpConnections(
            core.max_http_connections,
            # Behind proxies of ours every connection comes from one of them.
            lambda peer: "" if settings.trusted_proxies else client_address(peer, (), 0),
        )
        self.connections.openings = sockets.server.openings(hosts.allows, base_path)
        sockets.server.attach(self.application, PATH if mounted else base_path + PATH)

    @staticmethod
    def _watch(core: Core, sockets: Sockets, dialog: Dialog) -> Backlog:
        """Report what is known elsewhere, when it is asked for; returns what has to be read from Redis first."""
        metrics, settings, backlog = core.metrics, core.settings, Backlog(core.redis)
        readiness = sockets.readiness
        metrics.tell_build(
            version=installed_version(),
            python=platform.python_version(),
            node=settings.name,
            transport=settings.transport,
            checkpointer=settings.checkpointer,
        )
        metrics.watch("roomgraph_ready", "Whether clients may be sent here", lambda: readiness.report()["ready"])
        metrics.watch("roomgraph_cut_off", "Whether this node is cut off", lambda: readiness.cut_off)
        if core.redis.routed is not None:
            metrics.watch_shards(readiness.shards)
        for name in ("redis", "bus"):
            metrics.watch(
                f"roomgraph_{name}_silent_seconds",
                f"How long nothing was heard: {name}",
                partial(lambda name: readiness.silent_for()[name], name),
            )
        metrics.watch("roomgraph_runs_executing", "Runs that this node executes", lambda: dialog.host.executing)
        metrics.watch("roomgraph_run_slots", "RUN_CONCURRENCY", lambda: settings.run_concurrency)
        metrics.watch("roomgraph_max_connections", "Clients that this node takes", lambda: core.max_connections)
        metrics.watch(
            "roomgraph_unfinished_runs",
            "Runs of the whole cluster that wait or are executed: the same on each node",
            lambda: backlog.unfinished_runs,
        )
        return backlog
