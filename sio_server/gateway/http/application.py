"""The aiohttp application of a node, put together from its groups of routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from aiohttp import web

from sio_server.gateway.http.base_path import BasePath
from sio_server.gateway.http.cors import Cors
from sio_server.gateway.http.errors import errors_as_json
from sio_server.gateway.http.hosts import AllowedHosts
from sio_server.gateway.http.page import PagePolicy
from sio_server.gateway.http.stage import StageRoutes

MAX_BODY_BYTES = 16 * 1024  # unless a group of routes takes larger ones


class Routes(Protocol):
    """A group of routes."""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """The routes of the group."""
        ...


def make_application(
    groups: Iterable[Routes],
    *,
    hosts: AllowedHosts,
    cors: Cors,
    policy: PagePolicy,
    stage: StageRoutes | None = None,
    base_path: str = "",
    mounted: bool = False,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> web.Application:
    """The application, to which the Socket.IO server is attached: `hosts` and `policy` hold for it as well.

    `mounted`: another application has it at `base_path`, and puts that before its routes.
    """
    base = BasePath(base_path)
    below = iter if mounted else base.below
    app = web.Application(
        middlewares=[errors_as_json, hosts.check, base.check, cors.answer_preflight],
        client_max_size=max_body_bytes,
    )
    for group in groups:
        app.add_routes(below(group.routes()))
    app.on_response_prepare.append(policy.apply)
    app.on_response_prepare.append(cors.allow)
    if stage is not None:
        app.add_routes(below(stage.routes()))
    return app
