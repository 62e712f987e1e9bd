"""Exports as JSON Lines, written as they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from sio_server.data.export import Exports
from sio_server.protocol.errors import RoomgraphError

CONTENT_TYPE = "application/x-ndjson"


class ExportRoutes:
    """`GET .../export` of a conversation and of a user.

    A refusal before the first line is answered as any other. Later the connection is closed without the end of the
    body; an export that is whole ends with a line of kind `end`.
    """

    def __init__(self, exports: Exports) -> None:
        self._sources: dict[str, Callable[[str], AsyncIterator[str]]] = {
            "conversation_id": exports.conversation,
            "user_id": exports.user,
        }

    async def serve(self, request: web.Request, parameter: str, what: str) -> web.StreamResponse:
        """Export the conversation or the user `what`, as the path's parameter says."""
        lines = self._sources[parameter](what)
        first = await anext(lines)
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            await response.write(first.encode())
            async for line in lines:
                await response.write(line.encode())
        except RoomgraphError:
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response
