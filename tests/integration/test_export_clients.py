"""An export takes as long as its client reads, and is ended for one that does not, or that has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import cast

import aiohttp
import pytest
from aiohttp import web

from sio_server.data.export import Exports
from sio_server.gateway.api import event_stream, export_routes
from sio_server.gateway.api.export_routes import MAX_EXPORTS, ExportRoutes
from sio_server.gateway.http.errors import errors_as_json
from sio_server.gateway.transport import http_connections
from sio_server.gateway.transport.http_connections import HttpConnections, HttpRunner
from sio_server.protocol.errors import Unavailable
from sio_server.tasks import end_tasks
from tests.waiting import within

LINE = "x" * 50_000 + "\n"


class Source:
    """An export whose lines a test gives; it knows how many of its readers have been closed."""

    def __init__(self) -> None:
        self.lines: Callable[[], AsyncIterator[str]] = self.endless
        self.closed = asyncio.Semaphore(0)

    async def endless(self) -> AsyncIterator[str]:
        while True:
            yield LINE
            await asyncio.sleep(0)

    async def conversation(self, conversation_id: str) -> AsyncIterator[str]:
        try:
            async for line in self.lines():
                yield line
        finally:
            self.closed.release()

    user = conversation


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def url(source: Source, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server of exports, on which an answer must be read within 0.05 s."""
    monkeypatch.setattr(http_connections, "REQUEST_S", 0.05)
    monkeypatch.setattr(http_connections, "CHECK_S", 0.01)
    routes = ExportRoutes(cast(Exports, source))

    async def export(request: web.Request) -> web.StreamResponse:
        return await routes.serve(request, "user_id", "ann")

    app = web.Application(middlewares=[errors_as_json])
    app.add_routes([web.get("/export", export)])
    connections = HttpConnections(100)
    runner = HttpRunner(app, connections, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    checking = asyncio.create_task(connections.run())
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/export"
    await end_tasks([checking])
    await runner.cleanup()


async def test_an_export_may_take_longer_than_other_answers(source: Source, url: str) -> None:
    async def slow() -> AsyncIterator[str]:
        yield "first\n"
        await asyncio.sleep(0.5)
        yield "last\n"

    source.lines = slow
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert await response.text() == "first\nlast\n"


async def test_a_client_that_does_not_read_is_disconnected_and_one_that_has_left_costs_nothing(
    source: Source, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_connections, "REQUEST_S", 60.0)
    monkeypatch.setattr(event_stream, "WRITE_S", 0.1)
    caplog.set_level(logging.INFO)
    async with aiohttp.ClientSession() as http, http.get(url):  # it reads the beginning
        async with within(20.0, "the end of the export"):
            await source.closed.acquire()
    async with aiohttp.ClientSession() as http:
        (await http.get(url)).close()
        async with within(20.0, "the end of the export"):
            await source.closed.acquire()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_export_that_cannot_go_on_is_cut_off_and_logged(
    source: Source, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "first\n"
        raise Unavailable("Redis is away")

    source.lines = broken
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            async with http.get(url) as response:
                await response.text()
    assert ["an export was cut off" in record.getMessage() for record in caplog.records] == [True]


async def test_a_node_makes_a_bounded_number_of_exports_at_once(
    source: Source, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()

    async def waiting() -> AsyncIterator[str]:
        yield "first\n"
        await may_end.wait()

    source.lines = waiting
    async with aiohttp.ClientSession() as http:
        served = [await http.get(url) for _ in range(MAX_EXPORTS)]
        async with http.get(url) as refused:
            assert (refused.status, (await refused.json())["error"]["code"]) == (429, "too_many_connections")
        may_end.set()
        assert [await response.text() for response in served] == ["first\n"] * MAX_EXPORTS
        async with http.get(url) as again:
            assert again.status == 200


async def test_a_long_line_is_written_in_parts(source: Source, url: str) -> None:
    line = "y" * (3 * export_routes.PART_BYTES + 5) + "\n"

    async def long() -> AsyncIterator[str]:
        yield line

    source.lines = long
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert await response.text() == line
