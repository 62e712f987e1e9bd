"""A client of the SDK that is closed, or is no longer waited for, leaves nothing open."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import aiohttp
import pytest

from sio_clients import ChatClient, guest_token
from sio_server.tasks import end_tasks
from tests.waiting import within

CLIENTS = 8


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """The HTTP sessions that are opened."""
    opened: list[aiohttp.ClientSession] = []
    begin = aiohttp.ClientSession.__init__

    def note(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        opened.append(self)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", note)
    return opened


@pytest.mark.faults
async def test_clients_of_a_node_that_hangs_are_closed_in_time_and_leave_no_session_open(start_cluster, sessions):
    cluster = await start_cluster(nodes=1)
    clients = []
    for number in range(CLIENTS):
        _, token = await guest_token(cluster.urls[0], f"Guest {number}")
        clients.append(ChatClient(cluster.urls, token))
        await clients[-1].connect()
    assert [http.closed for http in sessions].count(False) == CLIENTS
    await cluster.signal_node(cluster.ports[0], signal.SIGSTOP)
    try:
        async with within(10, "the closing of all clients"):
            await asyncio.gather(*(client.close() for client in clients))
        assert all(http.closed for http in sessions)
    finally:
        await cluster.signal_node(cluster.ports[0], signal.SIGCONT)


async def test_a_client_that_is_no_longer_waited_for_does_not_connect_in_the_background(sessions):
    asked, over = asyncio.Event(), asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await over.wait()
        writer.close()

    before = asyncio.all_tasks()
    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        starting = asyncio.create_task(ChatClient(f"http://127.0.0.1:{port}", "any token").connect())
        async with within(10, "the handshake"):
            await asked.wait()
        await end_tasks([starting])
        assert [http.closed for http in sessions] == [True]
        assert "chat-client" not in {task.get_name() for task in asyncio.all_tasks() - before}
        over.set()
