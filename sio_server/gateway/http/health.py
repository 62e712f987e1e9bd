"""Whether the process answers, and whether clients may be sent to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from sio_server.gateway.http.own_port import came_at


class HealthRoutes:
    """`GET /healthz` and `GET /ready`."""

    def __init__(
        self,
        node_name: str,
        readiness: Callable[[], dict[str, Any]],
        others: Callable[[], dict[str, str]] | None = None,
        shared_port: int = 0,
    ) -> None:
        """`readiness` returns the report, with `ready`.

        `others` returns what is wrong with the workers that share a port with this one: `shared_port`.
        """
        self._others = others
        self._shared_port = shared_port
        self._node_name = node_name
        self._readiness = readiness

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.get("/healthz", self._healthz), web.get("/ready", self._ready)]

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"ok": True, "node": self._node_name})

    async def _ready(self, request: web.Request) -> web.Response:
        """200 when clients may be sent here: Redis and the bus answer, nothing fails, and the node stays."""
        report = self._readiness()
        # A new connection may go to any worker of the port. Nodes ask for `own`: other workers may share the port.
        if self._others is not None and "own" not in request.query and came_at(request, self._shared_port):
            problems = self._others()
            report = {**report, "ready": report["ready"] and not problems, "workers": problems}
        return web.json_response(report, status=200 if report["ready"] else 503)
