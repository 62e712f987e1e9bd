"""Counts requests over HTTP to the address of the client."""

from __future__ import annotations

from aiohttp import web

from sio_server.gateway.sessions.addresses import client_address
from sio_server.gateway.sessions.limits import Limits


class RequestLimits:
    """Counts requests under `RATE_LIMIT_ADDRESS`, together with handshakes."""

    def __init__(self, limits: Limits, trusted_proxies: int) -> None:
        self._limits = limits
        self._trusted_proxies = trusted_proxies

    def count(self, request: web.Request, cost: int = 1) -> None:
        """Count a request. Raises RateLimited."""
        self._limits.spend_address(self.address_of(request), cost)

    def address_of(self, request: web.Request) -> str:
        """The address to which a request is counted; '' for none."""
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        return client_address(request.remote, forwarded_for, self._trusted_proxies)
