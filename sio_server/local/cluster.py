"""A cluster on this machine: Redis and some nodes as processes that are started, killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sio_server.language import load_texts
from sio_server.local.proxy import Proxy
from sio_server.local.redis import REDIS_ENVIRONMENT, find_embedded_redis
from sio_server.settings import hide_password

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
MIN_FREE_BYTES = 200 * 1024 * 1024
REDIS_PORT_OFFSET = 379  # nodes from 9000 on have their Redis on 9379
_PR_SET_PDEATHSIG = 1


class ClusterError(RuntimeError):
    """The cluster cannot be started; `problem` names the text that says why and what to do."""

    def __init__(self, problem: str, **values: object) -> None:
        super().__init__(load_texts("en", "sio_server.local", "up")(problem, **values))
        self.problem = problem
        self.values = values


def _die_with_parent() -> None:
    """In a new child on Linux: end when the parent dies, however it dies, so that nothing is left over."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class LocalCluster:
    """Redis, unless `redis_url` names one, and `nodes` nodes on ports from `port` on, on loopback.

    `start` returns when every node is ready; `stop` ends all that was started and nothing else. Output of
    the processes goes to files in `data_dir/logs`.

    `proxied`: each node has a proxy between its clients and itself (`node_proxies`, by port), which is what `urls`
    name, and one between itself and Redis (`redis_proxies`), so that its network can be made bad.
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
    ) -> None:
        self.ports = list(range(port, port + nodes))
        self.data_dir = data_dir
        self.redis_port = port + REDIS_PORT_OFFSET
        self.redis_url = redis_url or f"redis://127.0.0.1:{self.redis_port}/0"
        self._own_redis = redis_url is None
        self.node_proxies: dict[int, Proxy] = {}
        self.redis_proxies: dict[int, Proxy] = {}
        if proxied:
            at = urlsplit(self.redis_url)
            if at.scheme != "redis":  # a certificate is for one name, and a socket has no port
                raise ClusterError("not_proxied", url=hide_password(self.redis_url))
            for number in self.ports:
                self.node_proxies[number] = Proxy([("127.0.0.1", number)])
                self.redis_proxies[number] = Proxy([(at.hostname or "127.0.0.1", at.port or 6379)])
        self.settings = dict(settings or {})  # of the nodes that are started from now on
        self.node_settings: dict[int, dict[str, str]] = {}  # further ones of single nodes, by port
        self.node_command = [sys.executable, "-m", "roomgraph", "node"]
        self.ended: asyncio.Queue[tuple[str, int, Path]] = asyncio.Queue()  # name, exit status, log
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._pids = data_dir / "processes.json"

    @property
    def urls(self) -> list[str]:
        """Where clients reach the nodes; of proxies known when Redis has been started."""
        return [f"http://127.0.0.1:{self._entrance(number)}" for number in self.ports]

    @property
    def pages(self) -> list[str]:
        """Where people open the page: the nodes themselves, on the ports that were asked for."""
        return [f"http://127.0.0.1:{number}/" for number in self.ports]

    @property
    def origins(self) -> list[str]:
        """Of the pages that people may open."""
        entrances = dict.fromkeys([*self.ports, *map(self._entrance, self.ports)])
        return [f"http://{host}:{number}" for number in entrances for host in ("127.0.0.1", "localhost")]

    def _entrance(self, port: int) -> int:
        return self.node_proxies[port].port if port in self.node_proxies else port

    # Before the start

    def check(self) -> None:
        """Raise ClusterError when something is in the way: an old process, a taken port, a full disk."""
        if self.ports[-1] > 65535 or (self._own_redis and self.redis_port > 65535):
            raise ClusterError("port_too_high", port=self.ports[0], count=len(self.ports))
        old = self._left_over()
        if old:
            raise ClusterError("left_over", pids=" ".join(str(pid) for pid in old), other=self.ports[0] + 1000)
        wanted = [*self.ports, self.redis_port] if self._own_redis else self.ports
        taken = [number for number in wanted if not is_free(number)]
        if taken:
            ports = ", ".join(str(number) for number in taken)
            raise ClusterError("port_taken", ports=ports, other=self.ports[0] + 1000)
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._pids.touch()
        except OSError:
            raise ClusterError("not_writable", path=self.data_dir) from None
        free = shutil.disk_usage(self.data_dir).free
        if free < MIN_FREE_BYTES:
            values = {"free": free // 2**20, "needed": MIN_FREE_BYTES // 2**20}
            raise ClusterError("disk_full", path=self.data_dir, **values)

    def has_data(self) -> bool:
        """Whether an earlier run left data."""
        return (self.data_dir / "redis").exists()

    def clean(self) -> None:
        """Remove the data of earlier runs."""
        for name in ("redis", "logs"):
            shutil.rmtree(self.data_dir / name, ignore_errors=True)

    # Running

    @property
    def running(self) -> bool:
        """Whether anything was started that has not been stopped."""
        return bool(self._processes)

    async def start_redis(self) -> None:
        """Start the bundled Redis (again) and wait until it answers. Raises NoEmbeddedRedis or ClusterError."""
        for proxy in (*self.node_proxies.values(), *self.redis_proxies.values()):
            if not proxy.port:
                await proxy.start()
        if self._own_redis:
            folder = self.data_dir / "redis"
            folder.mkdir(parents=True, exist_ok=True)
            command = find_embedded_redis().command(self.redis_port, folder)
            await self._spawn("redis", command, REDIS_ENVIRONMENT)
        client = Redis.from_url(self.redis_url, socket_connect_timeout=1.0, socket_timeout=2.0)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    try:
                        await client.ping()
                        return
                    except (RedisError, OSError):
                        self._still_runs("redis")
                        await asyncio.sleep(0.05)
        except TimeoutError:
            raise ClusterError("no_redis", url=hide_password(self.redis_url)) from None
        finally:
            await client.aclose()

    async def start_node(self, port: int) -> None:
        """Start the node on a port (again) and wait until it is ready."""
        env = {
            "AUTH_MODE": "guest",
            "HOST": "127.0.0.1",
            "ALLOWED_ORIGINS": ",".join(self.origins),
            "NODE_URLS": ",".join(self.urls),
            # Who is on this machine may be as quick as it can: the scenes and measurements are.
            "RATE_LIMIT_USER": "off",
            "RATE_LIMIT_MARKS": "off",
            "RATE_LIMIT_EVENTS": "off",
            "RATE_LIMIT_ADDRESS": "off",
            "CONNECTIONS_PER_ADDRESS": "0",
            **self.settings,
            **self.node_settings.get(port, {}),
            "PORT": str(port),
            "REDIS_URL": self._redis_url_of(port),
        }
        name = f"node-{port}"
        await self._spawn(name, self.node_command, env)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as http:
                while True:
                    with contextlib.suppress(aiohttp.ClientError, OSError):
                        async with http.get(f"http://127.0.0.1:{port}/ready") as response:
                            if response.status == 200:
                                return
                    self._still_runs(name)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ClusterError("not_ready", process=name, **self._last_line(name)) from None

    async def start(self) -> None:
        """Start everything."""
        await self.start_redis()
        await asyncio.gather(*(self.start_node(port) for port in self.ports))

    async def signal_node(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a node; wait until SIGKILL or SIGTERM has ended it, or SIGSTOP has stopped it."""
        await self._signal(f"node-{port}", number)

    async def signal_redis(self, number: signal.Signals) -> None:
        """Send a signal to Redis; it waits as `signal_node` does."""
        await self._signal("redis", number)

    async def cut_bus(self) -> None:
        """Have Redis break off the connections on which nodes listen."""
        client = Redis.from_url(self.redis_url, socket_connect_timeout=1.0, socket_timeout=2.0)
        try:
            await client.client_kill_filter(_type="pubsub")
        finally:
            await client.aclose()

    def is_running(self, port: int) -> bool:
        """Whether the process of a node lives."""
        process = self._processes.get(f"node-{port}")
        return process is not None and process.returncode is None

    async def stop(self) -> None:
        """Stop the nodes, then Redis."""
        for name in self._processes:
            self._watchers[name].cancel()
        nodes = [process for name, process in self._processes.items() if name != "redis"]
        await asyncio.gather(*(_end(process) for process in nodes))
        if "redis" in self._processes:
            await _end(self._processes["redis"])
        for proxy in (*self.node_proxies.values(), *self.redis_proxies.values()):
            await proxy.close()
        self._processes.clear()
        self._pids.unlink(missing_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run: `redis` and `node-9000`, as their logs are called."""
        return {name: process.pid for name, process in self._processes.items() if process.returncode is None}

    # Processes

    async def _spawn(self, name: str, command: list[str], env: dict[str, str]) -> None:
        logs = self.data_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("ab") as output:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **env},
                # Ctrl-C is for us: we stop the children in their order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self._watchers[name] = asyncio.create_task(self._watch(name, self._processes[name]))
        self._pids.write_text(json.dumps(self.pids), encoding="utf-8")

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        self.ended.put_nowait((name, status, self.data_dir / "logs" / f"{name}.log"))

    async def _signal(self, name: str, number: signal.Signals) -> None:
        process = self._processes[name]
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._watchers[name].cancel()  # its end is no news
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            await process.wait()
        elif number == signal.SIGSTOP:
            # The signal is sent at once, but a process that is just running on another core stops a moment later.
            stopped = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while os.waitid(os.P_PID, process.pid, stopped) is None:  # noqa: ASYNC110, ASYNC222
                    await asyncio.sleep(0.001)

    def _redis_url_of(self, port: int) -> str:
        """The URL at which a node reaches Redis."""
        if port not in self.redis_proxies:
            return self.redis_url
        at = urlsplit(self.redis_url)
        whose = f"{at.netloc.rpartition('@')[0]}@" if "@" in at.netloc else ""
        return at._replace(netloc=f"{whose}127.0.0.1:{self.redis_proxies[port].port}").geturl()

    def _still_runs(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None and process.returncode is not None:
            status = process.returncode
            raise ClusterError("ended", process=name, status=status, **self._last_line(name))

    def _last_line(self, name: str) -> dict[str, str]:
        path = self.data_dir / "logs" / f"{name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
        return {"line": lines[-1] if lines else "–", "path": str(path)}

    def _left_over(self) -> list[int]:
        """Processes that an earlier run on these ports started and that still run, as far as they are ours."""
        try:
            pids = json.loads(self._pids.read_text(encoding="utf-8")).values()
        except (OSError, ValueError):
            return []
        return [pid for pid in pids if _is_ours(pid)]


def _is_ours(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # no /proc on this system: the process lives, and its number was ours
    return b"roomgraph" in command or b"redis-server" in command


def find_ports(nodes: int) -> int:
    """The first of so many free ports in a row whose Redis port is free as well."""
    for _ in range(100):
        port = random.randrange(10_000, 30_000)
        if all(is_free(number) for number in (*range(port, port + nodes), port + REDIS_PORT_OFFSET)):
            return port
    raise ClusterError("no_ports", count=nodes)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
