"""The stage: its page, and the trace of all nodes as a stream."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from aiohttp import ClientConnectionError, web

from sio_server.gateway.http.assets import Assets
from sio_server.gateway.http.page import page_response
from sio_server.gateway.transport.http_connections import uncounted
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.trace.contract import HELLO, opens
from sio_server.trace.feed import TraceFeed

READ_TIMEOUT_S = 10.0  # a reader of the trace that reads nothing for so long is dropped
TRACE_PATH = "/api/trace"


@dataclass(frozen=True)
class Stage:
    """What a node with a stage knows of it."""

    key: str
    control: str | None  # address of the local cluster's controller
    nodes: tuple[str, ...]
    feed: TraceFeed


class StageRoutes:
    """`GET /stage` and `GET /api/trace`; a node without a stage has no such routes."""

    def __init__(self, stage: Stage, node_name: str, assets: Assets) -> None:
        self._stage = stage
        self._assets = assets
        self._node_name = node_name

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.get("/stage", self._page), web.get(TRACE_PATH, self._trace)]

    async def _page(self, request: web.Request) -> web.Response:
        return page_response(request, self._assets, "stage.html")

    async def _trace(self, request: web.Request) -> web.StreamResponse:
        """The trace events of all nodes, one JSON object a line, until the reader leaves or the node stops."""
        stage = self._stage
        authorization = request.headers.get("Authorization")
        if authorization is None:
            raise Refused(ErrorCode.TOKEN_MISSING, "no key: send the stage's as `Authorization: Bearer ...`")
        if not opens(stage.key, authorization):
            raise Refused(ErrorCode.TOKEN_INVALID, "this is not the stage's key")
        hello = {"kind": HELLO, "node": self._node_name, "control": stage.control, "nodes": list(stage.nodes)}
        response = web.StreamResponse(
            headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}
        )

        def drop() -> None:
            if request.transport is not None:
                request.transport.abort()

        # The reader is registered before the answer begins: from the first byte on it misses nothing.
        with uncounted(request), stage.feed.reading(drop) as reader:
            await response.prepare(request)
            lines = json.dumps(hello).encode() + b"\n"
            try:
                while lines:
                    async with asyncio.timeout(READ_TIMEOUT_S):
                        await response.write(lines)
                    lines = await reader.next()
                await response.write_eof()
            except (ClientConnectionError, OSError, TimeoutError):  # it has left, or does not read
                drop()
        return response
