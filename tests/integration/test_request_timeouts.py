"""A connection without a whole request, or without a session, is closed after five seconds at each step."""

from __future__ import annotations

import asyncio
import contextlib

from sio_clients import guest_token
from tests.faults.raw_websocket import CLOSE, RawWebSocket, upgrade_request

CLOSED_AFTER_S = 4.0
CLOSED_WITHIN_S = 7.5
HALF_A_BODY = b'POST /api/guest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"name"'


async def drip(client: RawWebSocket, data: bytes) -> None:
    """Send a byte now and then."""
    with contextlib.suppress(OSError):
        for byte in data:
            await client.write(bytes([byte]))
            await asyncio.sleep(0.2)


async def send_pongs(client: RawWebSocket) -> None:
    """Keep the websocket alive for the engine."""
    with contextlib.suppress(OSError):
        while True:
            await client.say("3")
            await asyncio.sleep(0.2)


async def until_closed(client: RawWebSocket) -> bytes:
    """Read until the node ends a websocket; its close frame."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while True:
            opcode, payload = await client.receive()
            said = payload if opcode == CLOSE else said
    return said


async def without_a_request(port: int, sent: bytes, *, slowly: bool = False) -> tuple[float, bytes]:
    """Send less than a request; how long the node waits for more, and what it answers in the end."""
    loop = asyncio.get_running_loop()
    with RawWebSocket(port) as client:
        began = loop.time()
        await client.connect()
        sending = asyncio.create_task(drip(client, sent) if slowly else client.write(sent))
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := await client.read(4096):
                said += data
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return loop.time() - began, said


async def without_a_session(port: int, token: str = "", *, alive: bool = False) -> tuple[float, bytes]:
    """Open a websocket without a session, or with a `token` leave its session; the same."""
    loop = asyncio.get_running_loop()
    with RawWebSocket(port) as client:
        if token:
            await client.open(token, "left")
            await client.say("41")
        else:
            await client.connect()
            await client.upgrade()
        began = loop.time()
        living = asyncio.create_task(send_pongs(client) if alive else asyncio.sleep(0))
        said = await until_closed(client)
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        return loop.time() - began, said


async def test_a_connection_without_a_request_or_a_session_is_closed_after_five_seconds(cluster):
    port = cluster.ports[0]
    _, token = await guest_token(cluster.urls[0], "Leaver")
    header = upgrade_request(port)
    no_request = await asyncio.gather(
        without_a_request(port, b""),
        without_a_request(port, header[:-2]),
        without_a_request(port, header, slowly=True),
        without_a_request(port, HALF_A_BODY),
        without_a_session(port),
        without_a_session(port, alive=True),
        without_a_session(port, token),
    )
    for number, (seconds, said) in enumerate(no_request):
        assert CLOSED_AFTER_S < seconds < CLOSED_WITHIN_S, number
        if number == 3:
            assert said.startswith(b"HTTP/1.1 408 ")
        elif number < 3:
            assert said == b""
        else:
            assert said == (1008).to_bytes(2, "big") + b"no CONNECT within 5 s"


async def test_a_connection_that_has_made_a_request_or_has_a_session_is_left_alone(cluster):
    port = cluster.ports[0]
    _, token = await guest_token(cluster.urls[0], "Known")
    with RawWebSocket(port) as client, RawWebSocket(port) as browser:
        await client.open(token, "known")
        await browser.connect()
        for pause in (6.0, 0.0):  # longer than the first request may take
            await browser.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await browser.read(4096)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(pause)
        assert (await client.call("conversation:list", {}))["ok"] is True
