"""Whether the process answers, and whether clients may be sent to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web


class HealthRoutes:
    """`GET /healthz` and `GET /ready`."""

    def __init__(self, node_name: str, readiness: Callable[[], dict[str, Any]]) -> None:
        """`readiness` returns the report, with `ready`."""
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
        return web.json_response(report, status=200 if report["ready"] else 503)
