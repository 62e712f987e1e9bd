"""The proxy degrades a network and changes nothing else: bytes that pass are whole and in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from sio_server.local.proxy import LINE_BYTES, Proxy
from tests.conftest import free_ports
from tests.waiting import within

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SETTLE_S = 0.15  # for what must not come


class Server:
    """A target that counts its connections; `answer` is called with its side of each connection."""

    def __init__(self, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._answer = answer
        self.served = 0
        self.broken = asyncio.Event()  # a connection was reset
        self.ended = asyncio.Event()  # a connection was ended in order

    async def start(self, port: int = 0) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.address = ("127.0.0.1", self._server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served += 1
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
            self.ended.set()
        except OSError:
            self.broken.set()
        finally:
            writer.close()

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Bench:
    """Makes servers, proxies and clients, and ends them."""

    def __init__(self) -> None:
        self._servers: list[Server] = []
        self._proxies: list[Proxy] = []
        self._clients: list[asyncio.StreamWriter] = []

    async def server(self, answer: Callable[..., Awaitable[None]] = echo, port: int = 0) -> Server:
        server = Server(answer)
        await server.start(port)
        self._servers.append(server)
        return server

    async def proxy(self, *servers: Server) -> Proxy:
        proxy = Proxy([server.address for server in servers])
        await proxy.start()
        self._proxies.append(proxy)
        return proxy

    async def client(self, proxy: Proxy) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        self._clients.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._clients:
            writer.close()
        for proxy in self._proxies:
            await proxy.close()
        for server in self._servers:
            await server.stop()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()


async def round_trip(streams: Streams, data: bytes = b"ping") -> float:
    """Seconds until the same bytes come back."""
    began = time.monotonic()
    streams[1].write(data)
    async with within(10, "all bytes back"):
        assert await streams[0].readexactly(len(data)) == data
    return time.monotonic() - began


async def nothing_comes(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), SETTLE_S)


async def test_bytes_pass_whole_and_in_order_and_so_does_the_end_of_a_connection(bench):
    server = await bench.server()
    client = await bench.client(await bench.proxy(server))
    sent = bytes(range(256)) * 8192
    came = asyncio.create_task(client[0].read(-1))
    client[1].write(sent)
    client[1].write_eof()
    assert await asyncio.wait_for(came, 20) == sent
    await asyncio.wait_for(server.ended.wait(), 5)


async def test_a_delay_applies_to_each_direction_and_can_change_during_a_connection(bench):
    proxy = await bench.proxy(await bench.server())
    client = await bench.client(proxy)
    assert await round_trip(client) < 1.5
    proxy.up.delay_s, proxy.down.delay_s = 0.5, 1.0
    assert await round_trip(client) >= 1.5
    proxy.up.delay_s = proxy.down.delay_s = 0
    assert await round_trip(client) < 1.5


async def test_a_delay_does_not_limit_throughput(bench):
    proxy = await bench.proxy(await bench.server())
    client = await bench.client(proxy)
    proxy.up.delay_s = 1.0
    began = time.monotonic()
    for number in range(10):
        client[1].write(b"%d" % number)
        await asyncio.sleep(0.01)
    assert await client[0].readexactly(10) == b"0123456789"
    assert 1.0 < time.monotonic() - began < 6  # ten in a row would take 10 s


async def test_jitter_never_changes_the_order_of_bytes(bench):
    proxy = await bench.proxy(await bench.server())
    client = await bench.client(proxy)
    proxy.up.jitter_s = 0.05
    times = []
    for number in range(200):
        client[1].write(number.to_bytes(2))
        await asyncio.sleep(0.001)
    for number in range(200):
        assert await client[0].readexactly(2) == number.to_bytes(2)
        times.append(time.monotonic())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) > 0.005


async def test_a_rate_limit_holds_over_time(bench):
    proxy = await bench.proxy(await bench.server())
    client = await bench.client(proxy)
    proxy.down.rate = 10_000
    took = await round_trip(client, b"x" * 20_000)
    assert 1.75 < took < 9
    proxy.down.rate = None
    assert await round_trip(client, b"x" * 20_000) < 1.5


async def test_bytes_held_by_a_blackhole_arrive_when_it_is_over(bench):
    received = []

    async def keep(reader, writer):
        while data := await reader.read(100):
            received.append(data)
            writer.write(b"re:" + data)

    proxy = await bench.proxy(await bench.server(keep))
    client = await bench.client(proxy)
    await asyncio.wait_for(client[1].drain(), 1)
    proxy.up.blackhole = True
    client[1].write(b"one")
    await nothing_comes(client[0])
    assert received == []
    proxy.down.blackhole = True
    proxy.up.blackhole = False
    await nothing_comes(client[0])
    assert received == [b"one"]  # the request has come, its answer has not
    proxy.down.blackhole = False
    assert await asyncio.wait_for(client[0].readexactly(6), 5) == b"re:one"


async def test_a_blackhole_holds_the_end_of_a_connection_too(bench):
    async def break_off(reader, writer):
        await reader.readexactly(2)
        writer.transport.abort()

    for answer in (break_off, lambda reader, writer: reader.readexactly(2)):
        server = await bench.server(answer)
        proxy = await bench.proxy(server)
        client = await bench.client(proxy)
        proxy.down.blackhole = True
        client[1].write(b"go")
        await asyncio.wait_for(server.ended.wait(), 5)
        client[1].write(b"is anybody there?")
        await nothing_comes(client[0])
        proxy.down.blackhole = False
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(client[0].read(), 5) == b""


async def test_a_reset_ends_all_connections_on_both_sides_and_new_ones_are_served(bench):
    server = await bench.server()
    proxy = await bench.proxy(server)
    clients = [await bench.client(proxy) for _ in range(3)]
    for client in clients:
        await round_trip(client)
    assert proxy.reset() == 3
    for reader, _ in clients:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
    await asyncio.wait_for(server.broken.wait(), 5)
    assert await round_trip(await bench.client(proxy)) < 1
    assert proxy.connections == 1


async def test_a_reply_is_cut_once_after_the_given_number_of_bytes(bench):
    proxy = await bench.proxy(await bench.server())
    client = await bench.client(proxy)
    await round_trip(client, b"before the cut was asked for")
    proxy.down.cut(5)
    client[1].write(b"ok")
    assert await client[0].readexactly(2) == b"ok"
    client[1].write(b"0123456789")
    assert await client[0].readexactly(3) == b"012"
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].read(1), 5)
    await round_trip(await bench.client(proxy), b"0123456789")


async def test_a_cut_after_zero_bytes_drops_the_whole_reply_and_a_cancelled_cut_drops_nothing(bench):
    proxy = await bench.proxy(await bench.server())
    client = await bench.client(proxy)
    proxy.down.cut(3)
    proxy.down.cut(None)
    await round_trip(client, b"0123456789")
    proxy.down.cut(0)
    client[1].write(b"x")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].read(1), 5)


async def test_a_client_is_connected_to_the_first_target_that_accepts(bench):
    async def name(reader, writer):
        writer.write(b"%d" % writer.get_extra_info("sockname")[1])

    port = free_ports(1)
    other = await bench.server(name)
    proxy = Proxy([("127.0.0.1", port), other.address])
    await proxy.start()
    try:

        async def serving() -> int:
            reader, writer = await bench.client(proxy)
            served_by = int(await asyncio.wait_for(reader.read(), 5))
            writer.close()
            return served_by

        assert await serving() == other.address[1]
        await bench.server(name, port)
        assert await serving() == port
        proxy.targets = [other.address]
        assert await serving() == other.address[1]
    finally:
        await proxy.close()


async def test_a_client_is_refused_when_no_target_accepts(bench):
    proxy = Proxy([("127.0.0.1", free_ports(1))])
    await proxy.start()
    try:
        reader, _ = await bench.client(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
    finally:
        await proxy.close()


async def test_a_sender_faster_than_its_receiver_is_slowed_down(bench):
    read_on = asyncio.Event()

    async def slow(reader, writer):
        await read_on.wait()
        await echo(reader, writer)

    proxy = await bench.proxy(await bench.server(slow))
    client = await bench.client(proxy)
    proxy.up.blackhole = True
    sent, piece = 0, b"x" * 65536
    with contextlib.suppress(TimeoutError):
        while sent < 100 * 2**20:
            client[1].write(piece)
            sent += len(piece)
            await asyncio.wait_for(client[1].drain(), 0.3)
    # What the proxy holds, and what the system's buffers do: they do not grow with what is sent.
    assert LINE_BYTES < sent < 30 * 2**20
    proxy.up.blackhole = False
    read_on.set()
    client[1].write_eof()
    came = 0
    async with within(20, "all bytes"):
        while data := await client[0].read(65536):
            came += len(data)
    assert came == sent


async def test_closing_the_proxy_leaves_no_task_or_connection_behind(bench):
    before = asyncio.all_tasks()
    proxy = await bench.proxy(await bench.server())
    clients = [await bench.client(proxy) for _ in range(5)]
    proxy.up.delay_s = 5
    for client in clients[:3]:
        client[1].write(b"under way")
    proxy.down.blackhole = True
    await asyncio.wait_for(proxy.close(), 5)
    assert proxy.connections == 0
    for reader, _ in clients:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
    left = asyncio.all_tasks() - before
    assert not [task for task in left if "Proxy" in repr(task) or "_Line" in repr(task)]
    with pytest.raises(ConnectionRefusedError):
        await bench.client(proxy)
