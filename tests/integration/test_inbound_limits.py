"""What one client may send is bounded in frames and bytes, with a session and without, and others do not wait."""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
import pytest

from sio_clients import guest_token
from tests.faults.nodes import metrics
from tests.faults.raw_websocket import CLOSE, PING, PONG, TEXT, RawWebSocket, frame

FLOODING = 'roomgraph_drops_total{reason="flooding"}'
TOO_MANY_FRAMES = (1008).to_bytes(2, "big") + b"too many websocket pings, pongs or fragments"
TOO_MANY_MESSAGES = (1008).to_bytes(2, "big") + b"too many messages"
TOO_MANY_BYTES = (1008).to_bytes(2, "big") + b"too many bytes"
FRAGMENT = frame(b"42", TEXT, final=False) + frame(b"", 0, final=False) * 999
LIST = b'42["conversation:list",{}]'
BIG = b'42["conversation:list",{"after":"' + b"x" * 60_000 + b'"}]'


async def sent_until_closed(client: RawWebSocket, data: bytes, seconds: float = 5.0) -> bytes:
    """Send this again and again; the close frame of the node."""
    closing = b""

    async def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                await client.write(data)
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    try:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                while True:
                    opcode, payload = await client.receive()
                    closing = payload if opcode == CLOSE else closing
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return closing


@pytest.mark.parametrize("session", [False, True], ids=["without a session", "with a session"])
@pytest.mark.parametrize(
    ("flood", "reason"),
    [
        (frame(b"", PING) * 1000, TOO_MANY_FRAMES),
        (frame(b"x" * 125, PING) * 100, TOO_MANY_FRAMES),
        (frame(b"", PONG) * 1000, TOO_MANY_FRAMES),
        (FRAGMENT, TOO_MANY_FRAMES),
        (frame(b"3") * 100, TOO_MANY_MESSAGES),
        (frame(b'430[{"ok":true}]') * 100, TOO_MANY_MESSAGES),
    ],
    ids=["pings", "full pings", "pongs", "fragments", "pongs of the engine", "acks"],
)
async def test_a_client_that_floods_its_node_is_closed_with_the_reason_and_counted(
    cluster, session, flood, reason
):
    port = cluster.ports[0]
    before = (await metrics(port)).get(FLOODING, 0)
    with RawWebSocket(port) as client:
        if session:
            _, token = await guest_token(cluster.urls[0], "Flood")
            await client.open(token, "flood")
        else:
            await client.connect()
            await client.upgrade()
        assert await sent_until_closed(client, flood) == reason
    assert (await metrics(port))[FLOODING] == before + 1


@pytest.mark.parametrize(
    ("message", "reason"), [(LIST, TOO_MANY_MESSAGES), (BIG, TOO_MANY_BYTES)], ids=["messages", "bytes"]
)
async def test_an_unidentified_client_may_send_little(cluster, message, reason):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        await client.upgrade()
        assert await sent_until_closed(client, frame(message)) == reason


async def test_a_frame_without_a_mask_ends_the_connection(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        _, token = await guest_token(cluster.urls[0], "Bare")
        await client.open(token, "bare")
        assert (await client.call("conversation:list", {}))["ok"] is True
        await client.write(frame(b'421["conversation:list",{}]', masked=False))
        closing = await sent_until_closed(client, b"")
    assert closing == (1002).to_bytes(2, "big") + b"a client must mask its frames"


async def test_the_pings_of_an_ordinary_client_are_answered(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        _, token = await guest_token(cluster.urls[0], "Ordinary")
        await client.open(token, "ordinary")
        await client.write(b"".join(frame(bytes([number]), PING) for number in range(20)))
        pongs: list[bytes] = []
        while len(pongs) < 20:
            opcode, payload = await client.receive()
            pongs += [payload] if opcode == PONG else []
        assert pongs == [bytes([number]) for number in range(20)]
        # A message in pieces, with a ping between: both are taken.
        await client.write(
            frame(b'421["conversation:', final=False) + frame(b"", PING) + frame(b'list",{}]', opcode=0)
        )
        while not (await client.hear()).startswith("431["):
            pass


async def test_others_do_not_wait_while_clients_without_a_token_flood_the_node(cluster):
    """Four connections at a time, which come again as soon as they are closed."""
    port = cluster.ports[1]
    until = time.monotonic() + 1.5
    slowest = 0.0

    async def flood() -> None:
        while time.monotonic() < until:
            with RawWebSocket(port) as client:
                with contextlib.suppress(OSError, TimeoutError):
                    await client.connect()
                    await client.upgrade()
                    await sent_until_closed(client, frame(b"", PING) * 20_000, until - time.monotonic())

    floods = [asyncio.create_task(flood()) for _ in range(4)]
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < until:
            began = time.monotonic()
            async with http.get(f"{cluster.urls[1]}/healthz") as response:
                assert response.status == 200
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
    await asyncio.gather(*floods)
    print(f"\nslowest answer: {slowest:.3f} s")
    assert slowest < 0.5
