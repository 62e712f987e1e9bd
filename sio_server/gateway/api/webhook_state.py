"""How the webhooks stand, and enabling an endpoint that is told nothing more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sio_server.gateway.api import answers, models
from sio_server.gateway.api.endpoints import Call, Endpoint
from sio_server.gateway.api.hook_lanes import LaneState
from sio_server.gateway.api.webhooks import Webhooks
from sio_server.protocol.errors import ErrorCode, Refused


class WebhookEndpoints:
    """The handlers; each returns its answer."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/webhooks", self.list_webhooks, answers.WebhooksListed),
            Endpoint("POST", "/webhooks/{name}/enable", self.enable_webhook, answers.Webhook),
        ]

    async def list_webhooks(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """List the endpoints of webhooks, with what waits for each and what went wrong."""
        disabled = await self._webhooks.lanes.disabled()
        return {"webhooks": [await self._state(name, disabled) for name in self._webhooks.endpoints]}

    async def enable_webhook(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Tell an endpoint again, from where it was, and try at once what has failed."""
        name = call.path["name"]
        if name not in self._webhooks.endpoints:
            raise Refused(ErrorCode.NOT_FOUND, "there is no such endpoint in WEBHOOKS")
        await self._webhooks.lanes.enable(name)
        return await self._state(name, await self._webhooks.lanes.disabled())

    async def _state(self, name: str, disabled: dict[str, dict[str, Any]]) -> dict[str, Any]:
        endpoint = self._webhooks.endpoints[name]
        lanes = await self._webhooks.lanes.states(name)
        failing = [lane for lane in lanes if lane.failures]
        worst: LaneState | None = max(failing, key=lambda lane: lane.failures, default=None)
        told = max((lane.told_ms for lane in lanes if lane.told_ms), default=None)
        since = min((lane.since_ms for lane in failing if lane.since_ms), default=None)
        return {
            "name": name,
            "url": endpoint.url,
            "types": sorted(endpoint.types),
            "waiting": sum(lane.waiting for lane in lanes),
            "last_delivered": _time(told),
            "failing": {"since": _time(since), "failures": worst.failures, "problem": worst.problem}
            if worst
            else None,
            "disabled": disabled.get(name),
        }


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
