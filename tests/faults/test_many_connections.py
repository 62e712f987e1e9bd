"""Idle connections shut no client out of a node that may open few files."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, free_ports
from tests.faults.nodes import log_file
from tests.faults.raw_websocket import RawWebSocket

pytestmark = pytest.mark.faults

FILES = 700
CONNECTIONS = 900
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("ask", [True, False], ids=["kept alive after a request", "without a request"])
async def test_more_idle_connections_than_a_node_may_open_files_shut_no_client_out(tmp_path, ask):
    cluster = LocalCluster(free_ports(1), 1, tmp_path, settings=NODE_SETTINGS)
    cluster.node_command = ["sh", "-c", f'ulimit -n {FILES}; exec "$0" "$@"', *cluster.node_command]
    (port,) = cluster.ports
    try:
        await cluster.start()
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                client = stack.enter_context(RawWebSocket(port))
                await client.connect()
                if ask:
                    await client.write(GET)
                    assert (await client.read(4096)).startswith(b"HTTP/1.1 200")
            _, token = await guest_token(cluster.urls[0], "Newcomer")
            async with ChatClient(cluster.urls, token) as newcomer:
                conversation = await newcomer.create("room", agent="off")
                assert (await conversation.send("hello")).seq == 2
        assert log_file(cluster, port).read_text().count("Too many open files") == 0
    finally:
        await cluster.stop()
