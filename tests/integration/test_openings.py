"""The opening of a websocket is served however its bytes come, and on a connection that has served requests."""

from __future__ import annotations

import json
import os

import pytest

from sio_clients import guest_token
from tests.faults.raw_websocket import RawWebSocket, frame, upgrade_request

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def open_session(client: RawWebSocket, url: str) -> None:
    _, token = await guest_token(url, "Opener")
    await client.say("40" + json.dumps({"token": token}))
    while not (await client.hear()).startswith('42["session:opened"'):
        pass
    assert (await client.call("conversation:list", {}))["ok"] is True


async def until_upgraded(client: RawWebSocket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await client.read(1)
    assert data.startswith(b"HTTP/1.1 101"), data


async def test_an_opening_is_served_that_comes_in_pieces(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        whole = upgrade_request(client.port)
        for start in range(0, len(whole), 7):
            await client.write(whole[start : start + 7])
        await until_upgraded(client)
        await open_session(client, cluster.urls[0])


async def test_an_opening_is_served_on_a_connection_that_has_served_requests(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        for _ in range(2):
            await client.write(GET)
            assert (await client.read(65536)).startswith(b"HTTP/1.1 200")
        whole = upgrade_request(client.port)
        await client.write(whole[:30])
        await client.write(whole[30:])
        await until_upgraded(client)
        await open_session(client, cluster.urls[0])


async def test_what_a_client_sends_with_its_opening_is_not_lost(cluster):
    _, token = await guest_token(cluster.urls[0], "Early")
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        await client.write(upgrade_request(client.port) + frame(b"40" + json.dumps({"token": token}).encode()))
        await until_upgraded(client)
        while not (await client.hear()).startswith('42["session:opened"'):
            pass


async def test_a_request_that_only_looks_like_an_opening_is_answered(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        await client.write(GET.replace(b"/healthz", b"/socket.io/?EIO=4&transport=polling"))
        assert (await client.read(65536)).startswith(b"HTTP/1.1 400")
        await client.write(GET)
        assert (await client.read(65536)).startswith(b"HTTP/1.1 200")


async def test_the_body_of_a_refused_request_is_no_opening(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        body = upgrade_request(client.port)
        head = b"POST /api HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\n\r\n" % len(body)
        await client.write(head)
        assert b"does not answer to this name" in await client.read(65536)
        await client.write(body)
        await client.write(GET)
        assert (await client.read(65536)).startswith(b"HTTP/1.1 200"), (
            "the body was read, and the next request served"
        )
        await client.write(upgrade_request(client.port))
        await until_upgraded(client)


@pytest.mark.skipif(os.environ.get("TRANSPORT") == "stock", reason="aiohttp takes such an opening")
async def test_an_opening_in_a_form_that_is_not_served_is_refused_for_good(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        await client.write(upgrade_request(client.port)[:-2] + b"Content-Length: 3\r\n\r\nabc")
        answer = await client.read(65536)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert b"without a body" in answer
