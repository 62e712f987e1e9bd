"""Files of messages: uploads and downloads over HTTP, at the node to which the client is connected."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from sio_clients.errors import NotConnected, from_wire

LIMIT_S = 300.0
# A path, or a name with the bytes; a string is the id of an upload.
Source = str | Path | tuple[str, bytes]


class FileTransfer:
    """Uploads and downloads of one user. Raises Refused, RateLimited, Unavailable and NotConnected."""

    def __init__(self, where: Callable[[], Awaitable[tuple[str, str]]]) -> None:
        """`where` returns the address of a node, and a token."""
        self._where = where

    async def upload(self, conversation_id: str, source: Path | tuple[str, bytes]) -> str:
        """Upload a file for a message in this conversation; returns its id. One that no message has is dropped."""
        if isinstance(source, Path):
            name, data = source.name, await asyncio.to_thread(source.read_bytes)
        else:
            name, data = source
        path = f"/api/conversations/{conversation_id}/files"
        return str((await self._ask("POST", path, {"name": name}, data))["file_id"])

    async def download(self, conversation_id: str, file_id: str) -> bytes:
        """The bytes of a file of a message in this conversation."""
        return bytes(await self._ask("GET", f"/api/files/{file_id}", {"conversation_id": conversation_id}))

    async def _ask(self, method: str, path: str, query: dict[str, str], data: bytes | None = None) -> Any:
        url, token = await self._where()
        headers = {"Authorization": f"Bearer {token}"}
        body = None if data is None else io.BytesIO(data)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S)) as http,
                http.request(method, url.rstrip("/") + path, params=query, data=body, headers=headers) as response,
            ):
                if response.status == 200:
                    return await response.read()
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            raise NotConnected(f"{url}: {exc or 'no answer'}") from None
        if response.status != 201:
            raise from_wire(answer.get("error"))
        return answer
