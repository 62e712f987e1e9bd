"""A cluster on this machine: Redis and some nodes as processes that are started, killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from redis.exceptions import RedisError

from sio_server.local.errors import ClusterError
from sio_server.local.ports import REDIS_PORT_OFFSET, Claims, is_free
from sio_server.local.processes import Processes, UnexpectedEnd
from sio_server.local.proxy import Proxy
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from sio_server.local.redis_client import redis_at
from sio_server.local.redis_cluster import SLOTS, RedisCluster
from sio_server.local.replicated import ReplicatedRedis
from sio_server.settings import check_redis_url, hide_password

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 60.0
CUT_TIMEOUT_S = 30.0  # until Redis, or a new primary, closes connections
MIN_FREE_BYTES = 200 * 1024 * 1024
REDIS = "redis"


Topology = Literal["single", "sentinel", "cluster"]
REPLICAS, SENTINELS = 2, 3
SHARDS = 3  # of a Redis Cluster, each a primary and a replica


class LocalCluster:
    """Redis, unless `redis_url` names one, and `nodes` nodes on ports from `port` on, on loopback.

    `start` returns when every node is ready; `stop` ends all that was started and nothing else. Output of
    the processes goes to files in `data_dir/logs`.

    `proxied`: each node has a proxy between its clients and itself (`node_proxies`, by port), which is what `urls`
    name, and one between itself and a single Redis (`redis_proxies`), so that its network can be made bad. Nodes
    reach the servers of a replicated Redis and of a Redis Cluster without one.

    `topology`: one Redis on `redis_port`, or with `sentinel` a primary, two replicas and three sentinels on that
    port and the five above it, or with `cluster` a Redis Cluster of three primaries with a replica each, on twelve
    ports; then `redis_url` is None.
    """

    def __init__(
        self,
        port: int,
        nodes: int,
        data_dir: Path,
        *,
        redis_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        proxied: bool = False,
        topology: Topology = "single",
    ) -> None:
        self.ports = list(range(port, port + nodes))
        self.data_dir = data_dir
        self.redis_port = port + REDIS_PORT_OFFSET
        self.replicated: ReplicatedRedis | None = None
        self.redis_cluster: RedisCluster | None = None
        self._redis_ports = [] if redis_url else [self.redis_port]
        self._processes = Processes(data_dir)
        if topology == "sentinel":
            self._redis_ports = list(range(self.redis_port, self.redis_port + 1 + REPLICAS + SENTINELS))
            servers, sentinels = self._redis_ports[: 1 + REPLICAS], self._redis_ports[1 + REPLICAS :]
            self.replicated = ReplicatedRedis(self._processes, data_dir / "redis", servers, sentinels)
            redis_url = self.replicated.url
        if topology == "cluster":
            self._redis_ports = list(range(self.redis_port, self.redis_port + 4 * SHARDS))
            servers = self._redis_ports[: 2 * SHARDS]
            self.redis_cluster = RedisCluster(self._processes, data_dir / "redis", servers)
            redis_url = self.redis_cluster.url
        self.redis_url = redis_url or f"redis://127.0.0.1:{self.redis_port}/0"
        self._own_redis = bool(self._redis_ports)
        self.node_proxies: dict[int, Proxy] = {}
        self.redis_proxies: dict[int, Proxy] = {}
        if proxied:
            at = urlsplit(self.redis_url)
            # A certificate is for one name, and a socket has no port.
            direct = self.replicated is not None or self.redis_cluster is not None
            if at.scheme != "redis" and not direct:
                raise ClusterError("not_proxied", url=hide_password(self.redis_url))
            for number in self.ports:
                self.node_proxies[number] = Proxy([("127.0.0.1", number)])
                if not direct:
                    self.redis_proxies[number] = Proxy([(at.hostname or "127.0.0.1", at.port or 6379)])
        self.settings = dict(settings or {})  # of the nodes that are started from now on
        self.node_settings: dict[int, dict[str, str]] = {}  # further ones of single nodes, by port
        self.node_command = [sys.executable, "-m", "roomgraph", "node"]
        self._stopped_redis: str | None = None
        self._shards = cycle(
            range(0, SLOTS, SLOTS // SHARDS + 1)
        )  # a slot of each shard as it was at first, in turn
        self._claims = Claims()
        self._starting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def urls(self) -> list[str]:
        """Where clients reach the nodes; of proxies known when Redis has been started."""
        return [f"http://127.0.0.1:{self._entrance(number)}{self.base_path}" for number in self.ports]

    @property
    def pages(self) -> list[str]:
        """Where people open the page: the nodes themselves, on the ports that were asked for."""
        return [f"http://127.0.0.1:{number}{self.base_path}/" for number in self.ports]

    @property
    def base_path(self) -> str:
        """The path below which the nodes serve; "" for none."""
        return self.settings.get("BASE_PATH", os.environ.get("BASE_PATH", "")).rstrip("/")

    @property
    def origins(self) -> list[str]:
        """Of the pages that people may open."""
        entrances = dict.fromkeys([*self.ports, *map(self._entrance, self.ports)])
        return [f"http://{host}:{number}" for number in entrances for host in ("127.0.0.1", "localhost")]

    def _entrance(self, port: int) -> int:
        return self.node_proxies[port].port if port in self.node_proxies else port

    # Before the start

    def claim(self) -> None:
        """Claim the ports and the folder until `stop`.

        Raises ClusterError when something is in the way: a bad URL, an old process, another start, a taken port,
        a full disk.
        """
        if self.ports[-1] > 65535 or any(port > 65535 for port in self._redis_ports):
            raise ClusterError("port_too_high", port=self.ports[0], count=len(self.ports))
        try:
            check_redis_url(self.redis_url)
        except ValueError as exc:
            raise ClusterError("bad_redis_url", url=hide_password(self.redis_url), reason=exc) from None
        other = self.ports[0] + 1000
        if old := self._processes.left_over():
            raise ClusterError("left_over", pids=" ".join(str(pid) for pid in old), other=other)
        wanted = [*self.ports, *self._redis_ports]
        if claimed := self._claims.claim_ports(wanted):
            raise ClusterError("port_claimed", ports=", ".join(map(str, claimed)), other=other)
        if taken := [number for number in wanted if not is_free(number)]:
            raise ClusterError("port_taken", ports=", ".join(map(str, taken)), other=other)
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            (self.data_dir / "processes.json").touch()
        except OSError:
            raise ClusterError("not_writable", path=self.data_dir) from None
        if not self._claims.claim_folder(self.data_dir):
            raise ClusterError("folder_claimed", path=self.data_dir)
        free = shutil.disk_usage(self.data_dir).free
        if free < MIN_FREE_BYTES:
            values = {"free": free // 2**20, "needed": MIN_FREE_BYTES // 2**20}
            raise ClusterError("disk_full", path=self.data_dir, **values)

    def has_data(self) -> bool:
        """Whether an earlier run left data."""
        return (self.data_dir / "redis").exists()

    def clean(self) -> None:
        """Remove the data of earlier runs."""
        for name in ("redis", "files", "logs"):
            shutil.rmtree(self.data_dir / name, ignore_errors=True)

    # Running

    @property
    def running(self) -> bool:
        """Whether anything was started that has not been stopped."""
        return bool(self._processes.names)

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run: `redis` and `node-9000`, as their logs are called."""
        return self._processes.pids

    @property
    def ended(self) -> asyncio.Queue[UnexpectedEnd]:
        """Processes that were ready and have ended by themselves, for what restarts them."""
        return self._processes.ended

    @property
    def unexpected_ends(self) -> list[UnexpectedEnd]:
        """Every process that was ready and has ended by itself, whether it was restarted or not."""
        return self._processes.unexpected_ends

    async def start(self) -> None:
        """Start everything."""
        await self.start_redis()
        await asyncio.gather(*(self.start_node(port) for port in self.ports))

    async def start_redis(self) -> None:
        """Start the bundled Redis, unless it runs, and wait until it answers.

        Raises NoEmbeddedRedis or ClusterError.
        """
        for proxy in (*self.node_proxies.values(), *self.redis_proxies.values()):
            if not proxy.port:
                await proxy.start()
        async with self._starting[REDIS]:
            if self.replicated is not None:
                await self.replicated.start()
                return
            if self.redis_cluster is not None:
                await self.redis_cluster.start()
                return
            if self._own_redis and not self._processes.is_running(REDIS):
                folder = self.data_dir / "redis"
                folder.mkdir(parents=True, exist_ok=True)
                command = find_embedded_redis().command(self.redis_port, folder)
                await self._processes.spawn(REDIS, command, REDIS_ENVIRONMENT)
            await self._until_redis_answers()
            if self._own_redis:
                self._processes.declare_ready(REDIS)

    async def start_node(self, port: int) -> None:
        """Start the node on a port, unless it runs, and wait until it is ready. Raises ClusterError."""
        name = f"node-{port}"
        async with self._starting[name]:
            if not self._processes.is_running(name):
                await self._processes.spawn(name, self.node_command, self._environment(port))
            await self._until_ready(name, port)
            self._processes.declare_ready(name)

    async def restart(self, process: str) -> None:
        """Start a process again by its name, as `pids` has it, and wait until it is ready."""
        kind, _, port = process.partition("-")
        if kind == "node":
            await self.start_node(int(port))
        elif self.redis_cluster is not None:
            await self.redis_cluster.start_server(int(port))
        elif self.replicated is None:
            await self.start_redis()
        elif kind == "sentinel":
            await self.replicated.start_sentinel(int(port))
        else:
            await self.replicated.start_server(int(port))

    async def signal_node(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a node; wait until SIGKILL or SIGTERM has ended it, or SIGSTOP has stopped it."""
        await self._processes.signal(f"node-{port}", number)

    async def signal_redis(self, number: signal.Signals) -> None:
        """Send a signal to Redis, behind sentinels to the primary; it waits as `signal_node` does.

        Of a Redis Cluster to the primary of one shard, of another shard each time. SIGCONT goes to the server that
        was stopped, which may be the primary no longer.
        """
        name = REDIS
        if self.replicated is not None or self.redis_cluster is not None:
            # Which is the primary cannot be asked of a server that is stopped.
            stopped = self._stopped_redis if number == signal.SIGCONT else None
            name = stopped or f"{REDIS}-{await self._primary()}"
            if number == signal.SIGSTOP:
                self._stopped_redis = name
            elif number == signal.SIGCONT:
                self._stopped_redis = None
        await self._processes.signal(name, number)

    async def _primary(self) -> int:
        if self.redis_cluster is not None:
            return (await self.redis_cluster.primary_of(next(self._shards))).port
        assert self.replicated is not None
        return await self.replicated.primary()

    async def cut_bus(self) -> None:
        """Have Redis close the connections on which nodes listen, as soon as it answers, or each shard does."""
        async with asyncio.timeout(CUT_TIMEOUT_S):
            while True:
                try:
                    await self._cut_bus()
                    return
                except (RedisError, OSError) as exc:
                    log.info("the bus cannot be cut yet: %s", exc)
                await asyncio.sleep(0.1)

    async def _cut_bus(self) -> None:
        if self.redis_cluster is not None:
            for one in await self.redis_cluster.primaries():
                await self.redis_cluster.ask(one.port, "CLIENT", "KILL", "TYPE", "pubsub")
            return
        async with redis_at(self.redis_url) as client:
            await client.client_kill_filter(_type="pubsub")

    def is_running(self, port: int) -> bool:
        """Whether the process of a node lives."""
        return self._processes.is_running(f"node-{port}")

    def is_down_unexpectedly(self, process: str) -> bool:
        """Whether a process has ended that nobody told to end."""
        return self._processes.is_wanted(process) and not self._processes.is_running(process)

    async def stop(self) -> None:
        """Stop the nodes, then Redis, and give the ports and the folder back."""
        await self._processes.end([name for name in self._processes.names if name.startswith("node-")])
        await self._processes.end(self._processes.names)
        for proxy in (*self.node_proxies.values(), *self.redis_proxies.values()):
            await proxy.close()
        self._claims.release()

    async def _until_redis_answers(self) -> None:
        try:
            async with redis_at(self.redis_url) as client, asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    try:
                        await client.ping()
                        return
                    except (RedisError, OSError):
                        self._processes.check_started(REDIS)
                        await asyncio.sleep(0.05)
        except TimeoutError:
            raise ClusterError("no_redis", url=hide_password(self.redis_url)) from None

    async def _until_ready(self, name: str, port: int) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as http:
                while True:
                    with contextlib.suppress(aiohttp.ClientError, OSError):
                        async with http.get(f"http://127.0.0.1:{port}{self.base_path}/ready") as response:
                            if response.status == 200:
                                return
                    self._processes.check_started(name)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise self._processes.not_ready(name) from None

    def _environment(self, port: int) -> dict[str, str]:
        """The settings of a node."""
        return {
            "AUTH_MODE": "guest",
            "HOST": "127.0.0.1",
            "ALLOWED_ORIGINS": ",".join([*self.origins, os.environ.get("ALLOWED_ORIGINS", "")]),
            "NODE_URLS": ",".join(self.urls),
            # Clients on this machine may write as fast and as much as they can: the scenes and measurements do.
            "RATE_LIMIT_USER": "off",
            "RATE_LIMIT_MARKS": "off",
            "RATE_LIMIT_EVENTS": "off",
            "RATE_LIMIT_ADDRESS": "off",
            "CONNECTIONS_PER_ADDRESS": "0",
            "QUOTA_CONVERSATIONS": "0",
            "QUOTA_BYTES": "0",
            "QUOTA_INVITATIONS": "0",
            "FILES_URL": os.environ.get("FILES_URL", str(self.data_dir.absolute() / "files")),
            # Each is one process with a name of its own, whatever this process was told to be.
            "NODE_NAME": "",
            "WEB_CONCURRENCY": "1",
            "WORKER_PORTS": "0",
            **self.settings,
            **self.node_settings.get(port, {}),
            "PORT": str(port),
            "REDIS_URL": self._redis_url_of(port),
        }

    def _redis_url_of(self, port: int) -> str:
        """The URL at which a node reaches Redis."""
        if port not in self.redis_proxies:
            return self.redis_url
        at = urlsplit(self.redis_url)
        user = f"{at.netloc.rpartition('@')[0]}@" if "@" in at.netloc else ""
        return at._replace(netloc=f"{user}127.0.0.1:{self.redis_proxies[port].port}").geturl()
