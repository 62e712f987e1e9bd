"""The object storage of the archive: immutable objects of compressed lines."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import obstore

from sio_server.files.objects import open_objects
from sio_server.protocol.errors import Unavailable

LIMIT_S = 4.0  # for one object to be read: a client waits 5 s for its ack
WRITE_LIMIT_S = 60.0
CACHED = 16  # objects, as they were read last


class Line(NamedTuple):
    """An archived entry: its envelope as JSON, and the pages of a long one."""

    seq: int
    text: str
    pages: list[str]


class ArchiveStore:
    """Objects by name. Raises Unavailable."""

    def __init__(self, url: str) -> None:
        """`url`: s3://bucket/prefix, gs://, az:// or file:///path. Raises ValueError and OSError."""
        self._store = open_objects(url)
        self._cached: OrderedDict[str, list[Line]] = OrderedDict()

    async def put(self, name: str, lines: Sequence[Line]) -> None:
        """Write an object; nobody else writes one of this name."""
        text = "".join(json.dumps([line.text, line.pages], ensure_ascii=False) + "\n" for line in lines)
        data = await asyncio.to_thread(gzip.compress, text.encode())
        async with self._bounded(WRITE_LIMIT_S):
            await obstore.put_async(self._store, name, data)

    async def get(self, name: str) -> list[Line] | None:
        """The lines of an object, in order; None if there is no such object."""
        if name in self._cached:
            self._cached.move_to_end(name)
            return self._cached[name]
        async with self._bounded(LIMIT_S):
            try:
                found = await obstore.get_async(self._store, name)
            except FileNotFoundError:
                return None
            data = bytes(await found.bytes_async())
        try:
            lines = await asyncio.to_thread(_parse, data)
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as exc:
            raise Unavailable(f"an object of the archive cannot be read: {name}: {type(exc).__name__}") from exc
        self._cached[name] = lines
        while len(self._cached) > CACHED:
            self._cached.popitem(last=False)
        return lines

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are gone are left out."""
        for name in names:
            self._cached.pop(name, None)
            async with self._bounded(WRITE_LIMIT_S):
                try:
                    await obstore.delete_async(self._store, name)
                except FileNotFoundError:
                    continue

    async def list(self, prefix: str) -> list[str]:
        """The names of all objects below a prefix."""
        names: list[str] = []
        async with self._bounded(WRITE_LIMIT_S):
            async for found in obstore.list(self._store, prefix):
                names += [str(item["path"]) for item in found]
        return names

    @asynccontextmanager
    async def _bounded(self, limit_s: float) -> Any:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except (obstore.exceptions.BaseError, TimeoutError, OSError) as exc:
            raise Unavailable(f"the archive cannot be used: {type(exc).__name__}") from exc


def _parse(data: bytes) -> list[Line]:
    lines = []
    for text in gzip.decompress(data).decode().splitlines():
        entry, pages = json.loads(text)
        lines.append(Line(int(json.loads(entry)["seq"]), entry, pages))
    return lines
