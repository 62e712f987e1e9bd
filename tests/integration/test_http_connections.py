"""HTTP connections are bounded, idle ones make room for new ones, and no step of a request takes for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from sio_server.gateway.transport import http_connections
from sio_server.gateway.transport.http_connections import HttpConnections, HttpRunner, uncounted
from sio_server.tasks import end_tasks
from tests.faults.raw_websocket import RawWebSocket
from tests.waiting import poll, within

LIMIT = 12
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE_BYTES = 20_000_000
LARGE = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"

Serve = Callable[..., Awaitable[tuple[int, HttpConnections]]]


FILE = web.AppKey("file", Path)
FILE_ENDED = web.AppKey("file_ended", asyncio.Event)


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@web.middleware
async def refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers POST at once, without reading its body."""
    return web.Response(status=403) if request.method == "POST" else await handler(request)


async def large(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * LARGE_BYTES)


async def large_file(request: web.Request) -> web.StreamResponse:
    """Says when it has ended."""
    try:
        response = web.FileResponse(request.app[FILE])
        await response.prepare(request)
    finally:
        request.app[FILE_ENDED].set()
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    """Answers until the client leaves."""
    with uncounted(request):
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
    return response


@pytest.fixture
def file_ended() -> asyncio.Event:
    """Set when the handler of `/file` has ended."""
    return asyncio.Event()


@pytest.fixture
async def serve(tmp_path: Path, file_ended: asyncio.Event) -> AsyncIterator[Serve]:
    """A server on loopback: its port and its connections, of which `limit` may be open."""
    runners: list[HttpRunner] = []
    tasks: list[asyncio.Task[None]] = []

    async def start(limit: int = LIMIT, *, of_address: str = "") -> tuple[int, HttpConnections]:
        app = web.Application(middlewares=[refuse])
        app[FILE], app[FILE_ENDED] = tmp_path / "large", file_ended
        app[FILE].write_bytes(b"x" * LARGE_BYTES)
        app.add_routes([web.get("/", hello), web.get("/large", large), web.get("/stream", stream)])
        app.add_routes([web.get("/file", large_file)])
        connections = HttpConnections(limit, lambda peer: of_address)
        runner = HttpRunner(app, connections, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        tasks.append(asyncio.create_task(connections.run()))
        return runner.addresses[0][1], connections

    yield start
    await end_tasks(tasks)
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """All times of the server in hundredths."""
    for name in ("HEADER_S", "REQUEST_S", "CHECK_S", "BUSY_IDLE_S", "IDLE_S"):
        monkeypatch.setattr(http_connections, name, getattr(http_connections, name) / 50)


async def answered(client: RawWebSocket, request: bytes = GET) -> bool:
    """Whether the node answers a request on this connection, or closes it."""
    try:
        await client.write(request)
        return (await client.read(65536)).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


async def closed(client: RawWebSocket) -> None:
    """Wait until the node closes the connection."""
    with contextlib.suppress(ConnectionError):
        async with within(5, "the end of the connection"):
            while await client.read(65536):
                pass


async def opened(stack: ExitStack, port: int, count: int) -> list[RawWebSocket]:
    clients = [stack.enter_context(RawWebSocket(port)) for _ in range(count)]
    for client in clients:
        await client.connect()
    return clients


async def test_a_new_connection_replaces_the_one_that_has_been_idle_for_longest(serve):
    port, connections = await serve()
    with ExitStack() as stack:
        kept_alive = await opened(stack, port, LIMIT)
        for client in kept_alive:
            assert await answered(client)
        assert await answered(kept_alive[0])  # it is the youngest now
        for _ in range(3):
            (newcomer,) = await opened(stack, port, 1)
            assert await answered(newcomer)
        assert len(connections) == LIMIT
        assert [await answered(client) for client in kept_alive[1:4]] == [False] * 3
        assert await answered(kept_alive[0])
        assert await answered(kept_alive[4])


async def test_connections_that_send_nothing_shut_out_no_new_one(serve):
    port, connections = await serve()
    with ExitStack() as stack:
        await opened(stack, port, 5 * LIMIT)
        (newcomer,) = await opened(stack, port, 1)
        assert await answered(newcomer)
        assert len(connections) == LIMIT


async def test_one_address_has_a_share_of_the_connections(serve):
    port, connections = await serve(of_address="192.0.2.1")
    with ExitStack() as stack:
        for _ in range(LIMIT):
            (client,) = await opened(stack, port, 1)
            assert await answered(client)
        assert len(connections) == LIMIT // http_connections.ADDRESS_SHARE


async def test_a_connection_whose_requests_are_all_being_served_is_not_closed_for_a_new_one(serve):
    port, _ = await serve(1)
    with ExitStack() as stack:
        (busy,) = await opened(stack, port, 1)
        await busy.write(LARGE)
        head, _, body = (await busy.read(4096)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        (newcomer,) = await opened(stack, port, 1)
        assert not await answered(newcomer)
        left = LARGE_BYTES - len(body)
        while left and (data := await busy.read(1_000_000)):
            left -= len(data)
        assert left == 0
        assert await answered(busy)


async def test_open_streams_do_not_count_as_idle_connections(serve):
    port, connections = await serve(2)
    with ExitStack() as stack:
        streams = []
        for _ in range(4):
            streams += await opened(stack, port, 1)
            assert await answered(streams[-1], GET.replace(b"/ ", b"/stream "))
        assert len(connections) == 0
        (newcomer,) = await opened(stack, port, 1)
        assert await answered(newcomer)
        assert all([await client.read(1) for client in streams])


async def test_a_connection_that_may_still_make_its_first_request_is_spared_while_others_are_idle(serve):
    port, _ = await serve()
    with ExitStack() as stack:
        (slow,) = await opened(stack, port, 1)
        kept_alive = await opened(stack, port, LIMIT - 1)
        for client in kept_alive:
            assert await answered(client)
        for _ in range(LIMIT - 1):
            (newcomer,) = await opened(stack, port, 1)
            assert await answered(newcomer)
        assert await answered(slow)


async def test_idle_connections_are_closed_sooner_when_many_are_open(serve, fast):
    crowded, connections = await serve(4)
    roomy, _ = await serve(40)
    with ExitStack() as stack:
        (patient,) = await opened(stack, roomy, 1)
        clients = await opened(stack, crowded, 4)
        for client in (patient, *clients):
            assert await answered(client)
        waiting = [asyncio.create_task(closed(client)) for client in clients]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(connections) < 4
        assert await answered(patient)
        await end_tasks(waiting)


@pytest.mark.parametrize("whole", [0, 1, 3], ids=["first", "second", "fourth"])
async def test_the_header_of_each_request_must_come_in_time(serve, fast, whole):
    port, _ = await serve()
    with RawWebSocket(port) as client:
        await client.connect()
        for _ in range(whole):
            assert await answered(client)

        async def drip() -> None:
            with contextlib.suppress(OSError):
                for byte in GET * 100:
                    await client.write(bytes([byte]))
                    await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        await closed(client)
        assert not dripping.done()
        dripping.cancel()


async def test_a_client_that_does_not_read_an_answer_is_disconnected(serve, fast):
    port, connections = await serve()
    with RawWebSocket(port, receive_buffer=4096) as client:
        await client.connect()
        await client.write(LARGE)
        await poll(lambda: client.disconnected, "the end of the connection", 5)
        assert len(connections) == 0


async def test_the_handler_of_a_file_ends_with_the_connection_of_a_client_that_does_not_read(
    serve, fast, file_ended
):
    port, connections = await serve()
    with RawWebSocket(port, receive_buffer=4096) as client:
        await client.connect()
        await client.write(LARGE.replace(b"/large", b"/file"))
        await asyncio.wait_for(file_ended.wait(), 10)
        assert len(connections) == 0


async def test_no_answer_names_the_software_of_the_server(serve):
    port, _ = await serve()
    for request in (GET, GET.replace(b"/ ", b"/none "), b"nonsense\r\n\r\n"):
        with RawWebSocket(port) as client:
            await client.connect()
            await client.write(request)
            head = (await client.read(65536)).partition(b"\r\n\r\n")[0]
            assert head.startswith(b"HTTP/1.")
            assert b"server:" not in head.lower()


async def test_the_rest_of_a_body_that_was_not_wanted_begins_no_header(serve: Serve, fast: None) -> None:
    port, _ = await serve()
    with RawWebSocket(port) as client:
        await client.connect()
        await client.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
        assert (await client.read(65536)).startswith(b"HTTP/1.1 403")
        await client.write(b"body")
        await asyncio.sleep(3 * http_connections.HEADER_S)
        assert await answered(client)
