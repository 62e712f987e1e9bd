"""The stage's controller: kills and starts nodes of a local cluster, and drops and delays its devices.

It listens on loopback only, and does nothing without the stage's key. Only pages of the cluster may use it: other
origins, and other host names for this machine, are refused.

Faults have a lease that the page renews: a page that was closed or has crashed leaves no slow network and no dead
node.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sio_server.local.cluster import LocalCluster
from sio_server.local.proxy import Proxy
from sio_server.tasks import end_tasks
from sio_server.trace.contract import opens

DEVICES = ("laptop", "phone", "terminal")
MAX_BODY_BYTES = 1024
FAULT_LEASE_S = 10.0  # faults end this long after the last of them, or after they were last renewed
HERE = ("127.0.0.1", "localhost")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Delay(BaseModel):
    """The body of a delay: milliseconds in each direction, and the most that is added to each chunk of bytes."""

    model_config = ConfigDict(strict=True, extra="forbid")

    ms: Annotated[float, Field(ge=0, le=5000)]
    jitter_ms: Annotated[float, Field(ge=0, le=5000)] = 0.0


class Controller:
    """The controller of one cluster, with a proxy for each of the stage's devices."""

    def __init__(self, cluster: LocalCluster, key: str, *, lease_s: float = FAULT_LEASE_S) -> None:
        self._cluster = cluster
        self._key = key
        self._lease_s = lease_s
        self._lease: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[bool] | None = None  # faults whose lease has expired
        self._killed: set[int] = set()  # nodes to start again when faults end
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.proxies: dict[str, Proxy] = {}
        self._preferred: dict[str, int] = {}
        for number, name in enumerate(DEVICES):
            turn = number % len(cluster.ports)
            ports = cluster.ports[turn:] + cluster.ports[:turn]
            self._preferred[name] = ports[0]
            self.proxies[name] = Proxy([("127.0.0.1", port) for port in ports])

    async def start(self) -> None:
        """Start listening, on ports that are free."""
        for proxy in self.proxies.values():
            await proxy.start()
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.get("/state", self._state),
                web.post(r"/nodes/{port:\d{1,5}}/kill", self._kill),
                web.post(r"/nodes/{port:\d{1,5}}/start", self._start),
                web.post("/devices/{name}/drop", self._drop),
                web.post("/devices/{name}/delay", self._delay),
                web.post("/delays/clear", self._clear_delays),
                web.post("/faults/clear", self._clear_faults),
                web.post("/faults/renew", self._renew_faults),
            ]
        )
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening, cancel starts of nodes, and end the proxies."""
        if self._lease is not None:
            self._lease.cancel()
        await end_tasks([*self._starting.values(), *([self._ending] if self._ending else [])])
        if self._runner is not None:
            await self._runner.cleanup()
        for proxy in self.proxies.values():
            await proxy.close()

    # Access

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if request.host.rpartition(":")[0] not in HERE or (origin and origin not in self._cluster.origins):
            return _refusal(403, "not_allowed", "this is for the cluster's own pages, on this machine")
        if request.method == "OPTIONS":
            response: web.StreamResponse = web.Response(
                status=204,
                headers={
                    "Access-Control-Allow-Methods": "GET, POST",
                    "Access-Control-Allow-Headers": "Authorization, Content-Type",
                },
            )
        elif not opens(self._key, request.headers.get("Authorization", "")):
            response = _refusal(401, "token_invalid", "send the stage's key as `Authorization: Bearer ...`")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as exc:
                code = "not_found" if exc.status == 404 else "invalid_payload"
                response = _refusal(exc.status, code, exc.reason)
        if origin:
            response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        response.headers["Cache-Control"] = "no-store"
        return response

    # The requests; each is answered with the state after it

    async def _state(self, request: web.Request) -> web.Response:
        return self._state_response()

    def _state_response(self, **more: Any) -> web.Response:
        nodes = [
            {"port": port, "url": url, "running": self._cluster.is_running(port) and port not in self._starting}
            for port, url in zip(self._cluster.ports, self._cluster.urls, strict=True)
        ]
        devices = [
            {
                "name": name,
                "url": f"http://127.0.0.1:{proxy.port}",
                "node": self._preferred[name],
                "delay_ms": proxy.up.delay_s * 1000,
                "jitter_ms": proxy.up.jitter_s * 1000,
            }
            for name, proxy in self.proxies.items()
        ]
        return web.json_response({"nodes": nodes, "devices": devices, **more})

    async def _kill(self, request: web.Request) -> web.Response:
        port = self._port(request)
        if self._cluster.is_running(port):
            self._killed.add(port)
            self._begin_lease()
            await self._cluster.signal_node(port, signal.SIGKILL)
        return self._state_response()

    async def _start(self, request: web.Request) -> web.Response:
        """Answer when the node is ready. A node that is starting already is not started a second time."""
        port = self._port(request)
        if not await self._start_node(port):
            return _refusal(503, "unavailable", f"node {port} did not start")
        return self._state_response()

    async def _start_node(self, port: int) -> bool:
        """Return when the node is ready; False if it did not start."""
        self._killed.discard(port)
        task = self._starting.get(port)
        if task is None and not self._cluster.is_running(port):
            task = self._starting[port] = asyncio.create_task(self._cluster.start_node(port))
            task.add_done_callback(lambda done: self._started(port, done))
        if task is None:
            return True
        await asyncio.wait([task])
        return not task.cancelled() and task.exception() is None

    def _started(self, port: int, task: asyncio.Task[None]) -> None:
        del self._starting[port]
        if not task.cancelled():
            task.exception()  # the request for the start is answered with it

    async def _drop(self, request: web.Request) -> web.Response:
        return self._state_response(dropped=self._proxy(request).reset())

    async def _delay(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        try:
            delay = _Delay.model_validate_json(await request.read())
        except ValidationError:
            return _refusal(400, "invalid_payload", 'send {"ms": 0..5000, "jitter_ms": 0..5000}')
        _set_delay(proxy, delay)
        self._begin_lease()
        return self._state_response()

    async def _clear_delays(self, request: web.Request) -> web.Response:
        self._end_delays()
        return self._state_response()

    async def _clear_faults(self, request: web.Request) -> web.Response:
        """Answer when no device is delayed, and the nodes that were killed here are ready."""
        if not await self._end_faults():
            return _refusal(503, "unavailable", "a node did not start")
        return self._state_response()

    async def _renew_faults(self, request: web.Request) -> web.Response:
        if self._lease is not None:
            self._begin_lease()
        return self._state_response()

    # The lease

    def _begin_lease(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
        self._lease = asyncio.get_running_loop().call_later(self._lease_s, self._lease_expired)

    def _lease_expired(self) -> None:
        self._ending = asyncio.create_task(self._end_faults())

    async def _end_faults(self) -> bool:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None
        self._end_delays()
        return all(await asyncio.gather(*(self._start_node(port) for port in sorted(self._killed))))

    def _end_delays(self) -> None:
        for proxy in self.proxies.values():
            _set_delay(proxy, _Delay(ms=0))

    def _port(self, request: web.Request) -> int:
        port = int(request.match_info["port"])
        if port not in self._cluster.ports:
            raise web.HTTPNotFound
        return port

    def _proxy(self, request: web.Request) -> Proxy:
        proxy = self.proxies.get(request.match_info["name"])
        if proxy is None:
            raise web.HTTPNotFound
        return proxy


def _set_delay(proxy: Proxy, delay: _Delay) -> None:
    for direction in (proxy.up, proxy.down):
        direction.delay_s, direction.jitter_s = delay.ms / 1000, delay.jitter_ms / 1000


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"ok": False, "error": {"code": code, "message": message}}, status=status)
