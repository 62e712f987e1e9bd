"""The request for the address of a file."""

from __future__ import annotations

from typing import Any

from sio_server.files.files import Files
from sio_server.files.links import LINK_S, FileLinks
from sio_server.gateway.sessions.session import Session
from sio_server.protocol import events
from sio_server.protocol.errors import ErrorCode, Refused


class FileRequests:
    """The handler; returns its ack."""

    def __init__(self, files: Files | None, links: FileLinks) -> None:
        """`files` None: this server takes no files."""
        self._files = files
        self._links = links

    async def link(self, session: Session, request: events.FileLink) -> dict[str, Any]:
        if self._files is None:
            raise Refused(ErrorCode.NOT_SUPPORTED, "this server takes no files: FILES_URL is empty")
        await self._files.about(request.conversation_id, session.user_id, request.file_id)
        return {
            "url": self._links.make(request.conversation_id, request.file_id, session.user_id),
            "expires_in": LINK_S,
        }
