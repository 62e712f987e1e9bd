"""The bytes of files, as objects that are written once: `<conversation id>/<file id>`."""

from __future__ import annotations

import asyncio
import secrets
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import obstore

from sio_server.files.objects import folder_of, is_folder, open_objects
from sio_server.protocol.errors import Unavailable

LIMIT_S = 10.0  # for an answer of the storage
WRITE_LIMIT_S = 300.0
AT_ONCE_BYTES = 1024 * 1024  # what is not longer is written in one request
PART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes
READ_BYTES = 256 * 1024
MARK = ".roomgraph"  # in a folder: its id
_REFUSED = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)


class FileStore:
    """Raises Unavailable, and FileNotFoundError where it says so."""

    def __init__(self, url: str) -> None:
        """Raises ValueError and OSError."""
        self.url = url
        self._objects = open_objects(url)

    def folder_id(self) -> str | None:
        """The id of the folder, which is made with it; None of what is no folder. Raises OSError."""
        if not is_folder(self.url):
            return None
        mark = folder_of(self.url) / MARK
        try:
            with mark.open("x") as file:
                file.write(secrets.token_hex(8))
        except FileExistsError:
            pass
        return mark.read_text().strip() or None

    async def check(self) -> None:
        """Write a small object to a storage that is no folder, as uploads do.

        Raises ValueError for what does not become right by itself, such as a bucket that there is not, or
        credentials that are refused; Unavailable.
        """
        if is_folder(self.url):
            return
        try:
            async with _bounded(LIMIT_S):
                await obstore.put_async(self._objects, MARK, b"files of messages\n", use_multipart=False)
        except FileNotFoundError as exc:
            raise ValueError(f"there is no such bucket: {_said(exc)}") from None
        except Unavailable as exc:
            if isinstance(exc.__cause__, _REFUSED):
                raise ValueError(f"the storage refuses these credentials: {_said(exc.__cause__)}") from None
            raise

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Write an object; return its size. Of what `chunks` raises nothing is left, and it is raised."""
        first, size = bytearray(), 0
        async for chunk in chunks:
            first += chunk
            if len(first) > AT_ONCE_BYTES:
                break
        else:
            async with _bounded(WRITE_LIMIT_S), _no_bucket():
                await obstore.put_async(self._objects, name, bytes(first), use_multipart=False)
            return len(first)

        async def parts() -> AsyncIterator[bytes]:
            nonlocal size
            size += len(first)
            yield bytes(first)
            async for chunk in chunks:
                size += len(chunk)
                yield chunk

        async with _bounded(WRITE_LIMIT_S), _no_bucket():
            await obstore.put_async(
                self._objects, name, parts(), use_multipart=True, chunk_size=PART_BYTES, max_concurrency=1
            )
        return size

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """Its bytes from the beginning. Raises FileNotFoundError."""
        async with _bounded(LIMIT_S):
            found = await obstore.get_async(self._objects, name)
        chunks = found.stream(min_chunk_size=READ_BYTES).__aiter__()
        while True:
            async with _bounded(LIMIT_S):
                try:
                    chunk = bytes(await anext(chunks))
                except StopAsyncIteration:
                    return
            for at in range(0, len(chunk), READ_BYTES):
                yield chunk[at : at + READ_BYTES]

    async def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        async with _bounded(LIMIT_S):
            try:
                await obstore.delete_async(self._objects, name)
            except FileNotFoundError:
                return

    async def names_of(self, conversation_id: str) -> list[str]:
        """The ids of the files of a conversation that there are."""
        names: list[str] = []
        async with _bounded(WRITE_LIMIT_S):
            async for found in obstore.list(self._objects, f"{conversation_id}/"):
                names += [str(item["path"]).rpartition("/")[2] for item in found]
        return names


@asynccontextmanager
async def _bounded(limit_s: float) -> Any:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except FileNotFoundError:
        raise
    except (obstore.exceptions.BaseError, TimeoutError, OSError) as exc:
        raise Unavailable(f"the storage of files cannot be used: {type(exc).__name__}") from exc


@asynccontextmanager
async def _no_bucket() -> Any:
    """Of what is written only the bucket can be missing: it is no file of which readers are told so."""
    try:
        yield
    except FileNotFoundError as exc:
        raise OSError("no such bucket") from exc


def _said(problem: BaseException) -> str:
    """What a storage has answered, without the document that comes with it."""
    return textwrap.shorten(str(problem).partition("<?xml")[0], 300, placeholder=" ...").rstrip(": ")
