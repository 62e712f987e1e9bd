"""Exports as JSON Lines, written as they are read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import cast

from aiohttp import ClientConnectionError, web

from sio_server.data.export import Exports
from sio_server.gateway.api.event_stream import write_in_time
from sio_server.gateway.transport.http_connections import abort_connection, uncounted
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/x-ndjson"
MAX_EXPORTS = 8  # of a node at once
# Written at once, in bounded time: a line may be longer than what a slow client reads in it.
PART_BYTES = 64 * 1024


class ExportRoutes:
    """`GET .../export` of a conversation and of a user.

    It takes as long as the client needs, which must keep reading. A refusal before the first line is answered as
    any other. Later the connection is closed without the end of the body; an export that is whole ends with a line
    of kind `end`.
    """

    def __init__(self, exports: Exports) -> None:
        self._sources: dict[str, Callable[[str], AsyncIterator[str]]] = {
            "conversation_id": exports.conversation,
            "user_id": exports.user,
        }
        self.running = 0

    async def serve(self, request: web.Request, parameter: str, what: str) -> web.StreamResponse:
        """Export the conversation or the user `what`, as the path's parameter says."""
        if self.running >= MAX_EXPORTS:
            raise Refused(ErrorCode.TOO_MANY_CONNECTIONS, "this node makes as many exports as it may at once")
        self.running += 1
        try:
            lines = cast(AsyncGenerator[str], self._sources[parameter](what))
            # One that is cut off is closed here, and not when it is collected.
            async with contextlib.aclosing(lines):
                return await _write(request, lines)
        finally:
            self.running -= 1


async def _write(request: web.Request, lines: AsyncIterator[str]) -> web.StreamResponse:
    first = await anext(lines)
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    response.enable_chunked_encoding()
    with uncounted(request):
        try:
            await response.prepare(request)
            await _write_line(response, first)
            async for line in lines:
                await _write_line(response, line)
            await response.write_eof()
        except RoomgraphError as exc:
            log.warning("an export was cut off: path=%s error=%s", request.path, exc)
            abort_connection(request.transport)
        except (ClientConnectionError, OSError, TimeoutError):  # the client has left, or does not read
            abort_connection(request.transport)
    return response


async def _write_line(response: web.StreamResponse, line: str) -> None:
    data = line.encode()
    for at in range(0, len(data), PART_BYTES):
        await write_in_time(response, data[at : at + PART_BYTES])
