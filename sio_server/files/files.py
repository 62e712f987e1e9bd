"""Files of conversations: uploads with their limit, reading for members, and the removal of what nobody needs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

from sio_server.conversation.file_records import ALL, Due, FileRecords
from sio_server.files.sniffing import Sniffer, clean_file_name
from sio_server.files.store import FileStore
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError

MIN_BEGINNING = 64 * 1024  # bytes by which a file's type is found, and the size of most images


class Files:
    """Raises Refused for users who may not, and for what is too large; Unavailable."""

    def __init__(self, store: FileStore, records: FileRecords, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._store = store
        self._records = records

    async def upload(
        self, conversation_id: str, user_id: str, name: str, chunks: AsyncIterator[bytes]
    ) -> dict[str, Any]:
        """Store a file of a member; return what messages say of it. Nothing is left of one that is too large."""
        file_id = f"f.{secrets.token_hex(16)}"
        await self._records.reserve(conversation_id, user_id, file_id)
        due, sniffer = Due(conversation_id, file_id), Sniffer()
        try:
            size = await self._store.put(f"{conversation_id}/{file_id}", self._checked(chunks, sniffer))
        except Refused:
            await self._records.removed(due)
            raise
        found = sniffer.found()
        about = {"file_id": file_id, "name": clean_file_name(name), "mime_type": found.mime_type, "size": size}
        if found.width and found.height:
            about |= {"width": found.width, "height": found.height}
        await self._records.keep(conversation_id, user_id, file_id, about)
        return about

    async def about(self, conversation_id: str, user_id: str, file_id: str) -> dict[str, Any]:
        """What messages say of a file that this user may read."""
        return await self._records.read(conversation_id, user_id, file_id)

    def stream(self, conversation_id: str, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a file, for those who have asked for what it is. Raises FileNotFoundError."""
        return self._store.stream(f"{conversation_id}/{file_id}")

    async def read(self, conversation_id: str, file_id: str, limit: int) -> bytes | None:
        """The first bytes of a file, at most so many; None if they are lost."""
        data = bytearray()
        try:
            async for chunk in self.stream(conversation_id, file_id):
                data += chunk
                if len(data) >= limit:
                    break
        except FileNotFoundError:
            return None
        return bytes(data[:limit])

    async def remove_due(self) -> dict[str, RoomgraphError]:
        """Remove what no message has, or was deleted. What failed is in the reply, and tried again."""
        failed: dict[str, RoomgraphError] = {}
        for due in await self._records.due():
            try:
                if due.file_id == ALL:
                    there = await self._store.names_of(due.conversation_id)
                    for file_id in await self._records.unknown(due.conversation_id, there):
                        await self._store.delete(f"{due.conversation_id}/{file_id}")
                elif await self._records.drop(due):
                    await self._store.delete(f"{due.conversation_id}/{due.file_id}")
                else:
                    continue
                await self._records.removed(due)
            except RoomgraphError as exc:
                failed[f"{due.conversation_id} {due.file_id}"] = exc
        return failed

    async def _checked(self, chunks: AsyncIterator[bytes], sniffer: Sniffer) -> AsyncIterator[bytes]:
        """The same bytes, within the limit, after the sniffer has seen them: first enough to know a type by."""
        size, held, needed = 0, b"", MIN_BEGINNING
        async for chunk in chunks:
            size += len(chunk)
            if size > self.max_bytes:
                raise Refused(
                    ErrorCode.PAYLOAD_TOO_LARGE, f"a file has at most {self.max_bytes / 1e6:.4g} MB here"
                )
            held += chunk
            if len(held) >= needed:
                sniffer.feed(held)
                yield held
                held, needed = b"", 0
        if held:
            sniffer.feed(held)
            yield held
        if not size:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "the file is empty")
