"""A TCP proxy that degrades a network on demand: delay, jitter, low bandwidth, silence, resets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections import deque
from collections.abc import Sequence

from sio_server.tasks import end_tasks

log = logging.getLogger(__name__)

CHUNK_BYTES = 16 * 1024
LINE_BYTES = 256 * 1024  # in flight in one direction of a connection; above it the sender is not read from
DIAL_TIMEOUT_S = 1.0
_NO_LINGER = struct.pack("ii", 1, 0)  # closing sends RST, not FIN
_SLICE_S = 0.02  # at a limited rate, the bytes of this time are sent at once

Address = tuple[str, int]


class Direction:
    """What happens to the bytes of all connections in one direction. May be changed at any time.

    Bytes keep their order. A changed delay applies to bytes that arrive after the change.
    """

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.jitter_s = 0.0  # added to the delay of each chunk: from 0 to this
        self.rate: float | None = None  # bytes a second of each connection; None: no limit
        self._passes = asyncio.Event()
        self._passes.set()
        self._cut: _Cut | None = None

    @property
    def blackhole(self) -> bool:
        """Nothing passes, not even the end of a connection, which is delivered afterwards, as TCP would."""
        return not self._passes.is_set()

    @blackhole.setter
    def blackhole(self, on: bool) -> None:
        if on:
            self._passes.clear()
        else:
            self._passes.set()

    def cut(self, after: int | None) -> None:
        """Reset, once, the first connection on which `after` more bytes have passed. None: cancel this."""
        self._cut = None if after is None else _Cut(after)


class _Cut(Exception):
    """An order to reset a connection; raised where it is carried out."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after


class _Line:
    """One direction of one connection: bytes in flight, each chunk with the time when it arrives.

    An error of the source is in flight as well; an error of the target goes `back`, in the other direction.
    """

    def __init__(
        self,
        direction: Direction,
        back: Direction,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
    ) -> None:
        self._direction = direction
        self._back = back
        self._source = source
        self._target = target
        self._in_flight: deque[tuple[float, bytes | OSError]] = deque()  # empty bytes: the end
        self._bytes = 0
        self._changed = asyncio.Event()
        self._due = 0.0
        self._cut: _Cut | None = None  # as it was known last
        self._passed = 0  # bytes since that was known

    async def read_source(self) -> None:
        """Read from the source while there is room in flight."""
        loop = asyncio.get_running_loop()
        data: bytes | OSError = b"-"
        while isinstance(data, bytes) and data:
            while self._bytes >= LINE_BYTES:
                await self._change()
            try:
                data = await self._source.read(CHUNK_BYTES)
            except OSError as exc:
                data = exc
            delay = self._direction.delay_s + random.uniform(0, self._direction.jitter_s)
            self._due = max(self._due, loop.time() + delay)  # nothing overtakes
            self._in_flight.append((self._due, data))
            self._bytes += len(data) if isinstance(data, bytes) else 0
            self._changed.set()

    async def write_target(self) -> None:
        """Write to the target what has arrived. Raises _Cut, or the OSError that ends the connection."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._in_flight:
                await self._change()
            due, data = self._in_flight[0]
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            if isinstance(data, OSError) or not data:
                await self._direction._passes.wait()
                if isinstance(data, OSError):
                    raise data
                if not self._target.is_closing():
                    self._target.write_eof()
                return
            try:
                await self._pass_on(data)
            except OSError:
                await self._back._passes.wait()
                raise
            self._in_flight.popleft()
            self._bytes -= len(data)
            self._changed.set()

    async def _pass_on(self, data: bytes) -> None:
        direction = self._direction
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        while data:
            await direction._passes.wait()
            size = len(data)
            if direction.rate is not None:
                size = max(1, min(size, int(direction.rate * _SLICE_S)))
                free_at = max(free_at, loop.time() - _SLICE_S) + size / direction.rate
                await asyncio.sleep(max(0.0, free_at - loop.time()))
                await direction._passes.wait()
            cut = direction._cut
            if cut is not self._cut:
                self._cut, self._passed = cut, 0
            if cut is not None:
                size = min(size, cut.after - self._passed)
            piece, data = data[:size], data[size:]
            if self._target.is_closing():
                raise ConnectionResetError  # uvloop's would raise another error, asyncio's none
            self._target.write(piece)
            await self._target.drain()
            self._passed += len(piece)
            if cut is not None and self._passed == cut.after and cut is direction._cut:
                direction.cut(None)
                raise cut

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Proxy:
    """Listens on loopback and connects each client to the first of `targets` that accepts it.

    `up` is the direction from the clients to the target, `down` that of the replies. A change of `targets` applies
    to new connections. Buffers are bounded: a sender faster than the other side is slowed down.
    """

    def __init__(self, targets: Sequence[Address], *, port: int = 0) -> None:
        self.targets = list(targets)
        self.port = port  # 0: one that is free, known after `start`
        self.up = Direction()
        self.down = Direction()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    async def start(self) -> None:
        """Start listening."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def reset(self) -> int:
        """Reset all connections (RST) on both sides, whatever is in flight; return how many."""
        for task, writers in self._connections.items():
            _reset(writers)
            task.cancel()
        return len(self._connections)

    async def close(self) -> None:
        """Stop listening, reset all connections, and leave no task behind."""
        if self._server is not None:
            self._server.close()
        self.reset()
        await end_tasks(list(self._connections))
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        task = asyncio.create_task(self._serve(reader, writers))
        self._connections[task] = writers
        task.add_done_callback(self._connections.pop)

    async def _serve(self, client: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        """Carry one connection until both sides have ended it, or it breaks."""
        tasks: list[asyncio.Task[None]] = []
        whole = False
        try:
            target = await self._dial()
            if target is None:
                return
            writers.append(target[1])
            lines = (
                _Line(self.up, self.down, client, target[1]),
                _Line(self.down, self.up, target[0], writers[0]),
            )
            tasks = [
                asyncio.create_task(work) for line in lines for work in (line.read_source(), line.write_target())
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            broken = [error for task in tasks if task.done() and (error := task.exception())]
            for error in broken:
                if not isinstance(error, (OSError, _Cut)):
                    log.error("a connection could not be carried", exc_info=error)
            whole = not broken
        finally:
            if whole:
                for writer in writers:
                    writer.close()
            else:
                _reset(writers)
            await end_tasks(tasks)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for host, port in list(self.targets):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(DIAL_TIMEOUT_S):
                    return await asyncio.open_connection(host, port)
        return None


def _reset(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        if not writer.transport.is_closing():
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()
