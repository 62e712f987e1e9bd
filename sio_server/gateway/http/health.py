"""Whether the process answers, and whether clients may be sent to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web


class HealthRoutes:
    """`GET /healthz` and `GET /ready`."""

    def __init__(
        self,
        node_name: str,
        readiness: Callable[[], dict[str, Any]],
        failing_tasks: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`readiness` returns the report with `ready`; `failing_tasks`: names of background tasks that fail."""
        self._node_name = node_name
        self._readiness = readiness
        self._failing_tasks = failing_tasks

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.get("/healthz", self._healthz), web.get("/ready", self._ready)]

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"ok": True, "node": self._node_name})

    async def _ready(self, request: web.Request) -> web.Response:
        """200 when clients may be sent here: Redis and the bus answer, nothing fails, and the node stays."""
        report = self._readiness()
        failing = list(self._failing_tasks())
        body = {**report, "ready": report["ready"] and not failing, "failing_tasks": failing}
        return web.json_response(body, status=200 if body["ready"] else 503)
