"""A reverse proxy as people set one up at first: it does not pass all that a node has to know of a request."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Collection

HEAD_S = 10.0


class NaiveProxy:
    """Passes HTTP and websockets on to a node of this machine, without the headers `drops` (in lower case).

    Without its `Host` a request gets one that names the node.
    """

    def __init__(self, node: int, drops: Collection[str]) -> None:
        self.url = ""
        self._node = node
        self._drops = frozenset(drops)
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[NaiveProxy]:
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, and then what comes, both ways: the node closes the connection after its answer."""
        to_node = None
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
            from_node, to_node = await asyncio.open_connection("127.0.0.1", self._node)
            to_node.write(self._changed(head.decode("latin-1")).encode("latin-1"))
            async with asyncio.TaskGroup() as passing:
                passing.create_task(_pass(reader, to_node))
                passing.create_task(_pass(from_node, writer))
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            pass  # one of the two has gone
        finally:
            for end in filter(None, (writer, to_node)):
                end.transport.abort()

    def _changed(self, head: str) -> str:
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        kept = [line for line in lines if line.partition(":")[0].lower() not in self._drops]
        own = [f"Host: 127.0.0.1:{self._node}"] if "host" in self._drops else []
        head = "\r\n".join([first, *own, *kept])
        if not re.search("(?i)^upgrade:", head, re.MULTILINE):
            head = re.sub("(?im)^connection:.*\r\n?", "", head) + "\r\nConnection: close"
        return head + "\r\n\r\n"


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()  # which ends the other way as well
