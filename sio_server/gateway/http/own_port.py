"""At which port a request has come: workers share one, and may each have another one of their own."""

from __future__ import annotations

from aiohttp import web


def came_at(request: web.Request, port: int) -> bool:
    """Whether a request has come at this port of the node."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return isinstance(name, tuple) and name[1] == port
