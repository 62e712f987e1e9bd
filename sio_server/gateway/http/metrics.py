"""What Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sio_server.gateway.http.own_port import came_at
from sio_server.gateway.metrics import Metrics
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.trace.contract import opens

# A proxy adds one of these: then the peer's address says nothing about the client.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class MetricsRoutes:
    """`GET /metrics`, for clients with the token; without one, for this machine and private networks."""

    def __init__(
        self,
        metrics: Metrics,
        token: str,
        refresh: Callable[[], Awaitable[None]] | None = None,
        shared_port: int = 0,
    ) -> None:
        """`refresh` reads what is not known without Redis; it is bounded in time.

        `shared_port`: if other workers listen there, too; any of them would answer.
        """
        self._shared_port = shared_port
        self._refresh = refresh
        self._metrics = metrics
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """The route."""
        return [web.get("/metrics", self._scrape)]

    async def _scrape(self, request: web.Request) -> web.Response:
        self._check(request)
        if self._shared_port and came_at(request, self._shared_port):
            what = "workers share this port, and each has metrics of its own: set WORKER_PORTS, and scrape those"
            raise Refused(ErrorCode.NOT_SUPPORTED, what)
        if self._refresh is not None:
            await self._refresh()
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _check(self, request: web.Request) -> None:
        authorization = request.headers.get("Authorization")
        if not self._token:
            if not _is_near(request):
                raise Refused(ErrorCode.NOT_ALLOWED, "from here the metrics need a token: set METRICS_TOKEN")
        elif authorization is None:
            raise Refused(ErrorCode.TOKEN_MISSING, "send METRICS_TOKEN as `Authorization: Bearer ...`")
        elif not opens(self._token, authorization):
            raise Refused(ErrorCode.TOKEN_INVALID, "this is not METRICS_TOKEN")


def _is_near(request: web.Request) -> bool:
    """Whether the request comes from this machine or a private network, and not through a proxy."""
    if any(header in request.headers for header in _FORWARDED):
        return False
    try:
        address = ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_private or address.is_loopback or address.is_link_local
