"""Clients that exceed a limit are told so with a stable code, on whatever node, and others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
import socketio

from sio_clients import ChatClient, NotConnected, RateLimited, guest_token
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.transport.frames import MAX_DEPTH
from tests.conftest import NODE_SETTINGS, SECRET, RawClient, cluster_in
from tests.faults.raw_websocket import CLOSE, RawWebSocket, frame
from tests.waiting import poll

TOKENS = Tokens(SECRET, "roomgraph")
PER_SECOND = 10
EVENTS = 300
LIMITS = {
    "RATE_LIMIT_USER": f"{PER_SECOND}/second",
    "RATE_LIMIT_EVENTS": f"{EVENTS}/minute",
    "RATE_LIMIT_ADDRESS": "40/minute",
    "TRUSTED_PROXIES": "1",
    "CONNECTIONS_PER_USER": "4",
    "CONNECTIONS_PER_ADDRESS": "3",
    "CONVERSATIONS_PER_SESSION": "3",
}


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    """A cluster with low limits. Clients without X-Forwarded-For are on loopback, and not counted by address."""
    async with cluster_in(tmp_path_factory.mktemp("limits"), {**NODE_SETTINGS, **LIMITS}) as running:
        yield running


async def opened(cluster, user_id: str, node: int = 0, *, address: str = "") -> RawClient:
    """A handshake of the user, from an address: its refusal, if any, is in `refusals`."""
    client = RawClient()
    auth = {"token": TOKENS.issue(user_id, "Ann", 3600)}
    headers = {"X-Forwarded-For": address} if address else {}
    try:
        await client.sio.connect(
            cluster.urls[node], auth=auth, headers=headers, transports=["websocket"], wait_timeout=5
        )
    except socketio.exceptions.ConnectionError:
        return client
    await client.until(lambda: client.named("session:opened"))
    return client


Connect = Callable[..., Awaitable[RawClient]]


@pytest.fixture
async def connect(cluster) -> AsyncIterator[Connect]:
    """Connect a user to a node: `await connect(user_id, node=0, address="...")`."""
    clients: list[RawClient] = []

    async def make(user_id: str, node: int = 0, *, address: str = "") -> RawClient:
        client = await opened(cluster, user_id, node, address=address)
        clients.append(client)
        assert client.sio.connected, client.refusals
        return client

    yield make
    for client in clients:
        await client.sio.disconnect()


async def refusal(cluster, user_id: str, node: int = 0, *, address: str = "") -> tuple[str, bool]:
    """The code with which a handshake is refused, and whether it may be repeated."""
    client = await opened(cluster, user_id, node, address=address)
    (refused,) = client.refusals
    return refused["data"]["code"], refused["data"]["retryable"]


async def until_limited(client: RawClient) -> int:
    """Make requests until one is refused; how many were not. How long it takes is the machine's affair."""
    for count in range(100_000):
        ack = await client.call("conversation:list", {})
        if not ack["ok"]:
            assert ack["error"]["code"] == "rate_limited"
            return count
    raise AssertionError("nothing was refused")


async def test_a_user_s_sends_are_limited_over_all_nodes_together(connect, new_id):
    devices = [await connect(new_id, node) for node in range(3)]
    bob = await connect(f"{new_id}-bob")
    for user, conversation_id in ((devices[0], new_id), (bob, f"{new_id}-bob")):
        await user.call(
            "conversation:create", {"conversation_id": conversation_id, "access": "open", "agent": "off"}
        )
    await asyncio.sleep(1.1)  # both have earned it back
    began = time.monotonic()
    accepted: list[str] = []
    refused: list[dict] = []

    async def flood(device: RawClient, number: int) -> None:
        for turn in range(10_000):
            if time.monotonic() > began + 2:
                return
            request_id = f"m-{number}-{turn}"
            ack = await device.call(
                "message:send", {"conversation_id": new_id, "request_id": request_id, "text": "x"}
            )
            accepted.append(request_id) if ack["ok"] else refused.append(ack["error"])
            await asyncio.sleep(0.05)  # fewer than the limit of all events

    async def talk() -> None:
        for turn in range(8):
            send = {"conversation_id": f"{new_id}-bob", "request_id": f"m{turn}", "text": "x"}
            assert (await bob.call("message:send", send))["ok"], "another user is not limited"
            await asyncio.sleep(0.2)

    await asyncio.gather(talk(), *(flood(device, number) for number, device in enumerate(devices)))
    took = time.monotonic() - began
    # Each node may let through a burst before it has heard of the others'; that is paid back.
    assert PER_SECOND * 2 < len(accepted) <= PER_SECOND * (1 + took) + 2 * PER_SECOND, (len(accepted), took)
    assert {(error["code"], error["retryable"]) for error in refused} == {("rate_limited", True)}
    # Twice the period at most, but for what a slow machine takes to exchange it.
    waits = [error["retry_after_ms"] for error in refused]
    assert all(0 < wait <= 2000 + 1000 * took for wait in waits), waits
    # What was refused was not done; after a while it is accepted.
    again = {"conversation_id": new_id, "request_id": "again", "text": "x"}
    async with asyncio.timeout(10):
        while not (ack := await devices[1].call("message:send", again))["ok"]:  # noqa: ASYNC110
            await asyncio.sleep(ack["error"]["retry_after_ms"] / 1000)
    page = await devices[2].call("history:read", {"conversation_id": new_id, "limit": 200})
    assert page["head"] == len(accepted) + 2


async def test_a_limit_that_was_reached_on_one_node_holds_on_the_others(connect, new_id):
    first, second = await connect(new_id, 0), await connect(new_id, 1)
    await first.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await until_limited(first)
    # Without a word from the first node the second would let through as many again.
    assert await until_limited(second) < EVENTS * 3 / 4  # a slow machine lets some more through meanwhile


async def test_the_sdk_waits_for_the_limit_and_each_message_counts_once(cluster, new_id):
    async with ChatClient(cluster.urls, TOKENS.issue(new_id, "Ann", 3600)) as client:
        conversation = await client.create(conversation_id=new_id, access="open", agent="off")
        began = time.monotonic()
        seqs = [(await conversation.send(f"message {n}")).seq for n in range(25)]
        assert seqs == list(range(2, 27))
        assert time.monotonic() - began > (25 - PER_SECOND) / PER_SECOND * 0.9
        client.give_up_after = 0.05
        sends = [conversation.send(f"no time left {n}") for n in range(PER_SECOND + 2)]
        results = await asyncio.gather(*sends, return_exceptions=True)
        limited = [result for result in results if isinstance(result, RateLimited)]
        assert limited
        assert limited[0].retry_after_ms > 0


async def test_requests_that_only_read_are_counted_as_events_only(connect, new_id):
    ann = await connect(new_id)
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    reads = [await ann.call("history:read", {"conversation_id": new_id}) for _ in range(3 * PER_SECOND)]
    assert all(ack["ok"] for ack in reads)
    assert await until_limited(ann) > EVENTS / 2


async def test_while_redis_is_away_limits_hold_and_no_request_waits_for_them(cluster, connect, new_id):
    ann = await connect(new_id)
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    await cluster.signal_redis(signal.SIGSTOP)
    try:
        send = {"conversation_id": new_id, "request_id": "c", "text": "x"}
        began = time.monotonic()
        assert (await ann.call("message:send", send))["error"]["code"] == "unavailable"
        assert time.monotonic() - began < 4
        # Requests to which nothing is done, so that many can be made at once.
        codes = [(await ann.call("message:send", {}))["error"]["code"] for _ in range(3 * PER_SECOND)]
        assert codes.count("rate_limited") >= PER_SECOND
        assert "invalid_payload" in codes
    finally:
        await cluster.signal_redis(signal.SIGCONT)

    async def is_accepted() -> bool:
        return bool((await ann.call("message:send", send))["ok"])

    await poll(is_accepted, "an accepted message", 10)


async def test_handshakes_and_guests_are_limited_by_address(cluster, connect, new_id):
    address = "93.184.216.34"
    assert (await connect(new_id, address=address)).sio.connected
    async with aiohttp.ClientSession(headers={"X-Forwarded-For": f"8.8.8.8, {address}"}) as http:
        # What the client itself puts in front of the list does not matter.
        for guests in range(100):  # noqa: B007
            async with http.post(f"{cluster.urls[0]}/api/guest", json={"name": "Ann"}) as response:
                body = await response.json()
                if response.status != 200:
                    break
    assert guests > 0
    assert (response.status, body["error"]["code"]) == (429, "rate_limited")
    wait_s = body["error"]["retry_after_ms"] / 1000
    assert int(response.headers["Retry-After"]) == math.ceil(wait_s) > 0
    for n in range(100):
        client = await opened(cluster, f"{new_id}-{n}", address=address)
        if not client.sio.connected:
            break
        await client.sio.disconnect()
    error = client.refusals[0]["data"]
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert error["retry_after_ms"] > 0
    # Another address is served at the same time.
    assert (await connect(new_id, address="1.1.1.1")).sio.connected
    async with aiohttp.ClientSession(headers={"X-Forwarded-For": "1.1.1.2"}) as http:
        async with http.post(f"{cluster.urls[0]}/api/guest", json={"name": "Ann"}) as response:
            assert response.status == 200


async def test_the_connections_of_a_user_are_limited_on_all_nodes_together(cluster, connect, new_id):
    sessions = [await connect(new_id, node % 3) for node in range(4)]
    for node in range(3):
        assert await refusal(cluster, new_id, node) == ("too_many_connections", True)
    client = ChatClient(cluster.urls, TOKENS.issue(new_id, "Ann", 3600), give_up_after=0.5)
    with pytest.raises(NotConnected):
        await client.connect()
    assert all(session.sio.connected for session in sessions)
    await sessions[0].sio.disconnect()
    # The SDK comes in as soon as there is room.
    async with ChatClient(cluster.urls, TOKENS.issue(new_id, "Ann", 3600)) as client:
        assert client.online


async def test_the_connections_of_an_address_are_limited_on_each_node(cluster, connect, new_id):
    address = "93.184.216.99"
    sessions = [await connect(f"{new_id}-{n}", address=address) for n in range(3)]
    assert await refusal(cluster, f"{new_id}-4", address=address) == ("too_many_connections", True)
    assert (await connect(f"{new_id}-4", address="93.184.216.98")).sio.connected
    await sessions[0].sio.disconnect()

    async def connected() -> RawClient | None:
        again = await opened(cluster, f"{new_id}-5", address=address)
        return again if again.sio.connected else None

    # Each try is counted, so they are few.
    again = await poll(connected, "a place for another connection", 20, every=0.5)
    await again.sio.disconnect()


async def test_the_conversations_that_a_session_follows_are_limited(connect, new_id):
    ann, phone = await connect(new_id), await connect(new_id, 1)
    for n in range(3):
        assert (
            await ann.call(
                "conversation:create", {"conversation_id": f"{new_id}-{n}", "access": "open", "agent": "off"}
            )
        )["ok"]
    ack = await ann.call(
        "conversation:create", {"conversation_id": f"{new_id}-3", "access": "open", "agent": "off"}
    )
    assert (ack["error"]["code"], ack["error"]["retryable"]) == ("too_many_conversations", False)
    # Nothing was done; another session may, and what is followed already may be synced again.
    assert (
        await phone.call(
            "conversation:create", {"conversation_id": f"{new_id}-3", "access": "open", "agent": "off"}
        )
    )["created"]
    ack = await ann.call("conversation:join", {"conversation_id": f"{new_id}-3"})
    assert ack["error"]["code"] == "too_many_conversations"
    sync = await ann.call("session:sync", {"positions": {f"{new_id}-3": None, f"{new_id}-0": None}})
    assert sync["conversations"][f"{new_id}-3"]["error"]["code"] == "too_many_conversations"
    assert sync["conversations"][f"{new_id}-0"]["verdict"] == "snapshot"
    await ann.call("conversation:leave", {"conversation_id": f"{new_id}-0"})
    await ann.until(lambda: [e for e in ann.named("entry:appended") if e["type"] == "member_left"])
    assert (await ann.call("conversation:join", {"conversation_id": f"{new_id}-3"}))["ok"]


async def test_a_frame_that_is_nested_too_deep_is_refused_before_it_is_parsed(connect, new_id):
    ann = await connect(new_id)
    await ann.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    deep: object = "x"
    for _ in range(MAX_DEPTH):
        deep = [deep]
    for event in ("message:send", "interrupt:respond", "no:such"):
        ack = await ann.call(event, {"conversation_id": new_id, "interrupt_id": "i", "value": deep})
        assert (ack["error"]["code"], ack["error"]["retryable"]) == ("invalid_payload", False)
        assert f"deeper than {MAX_DEPTH}" in ack["error"]["message"]
    # As deep as a frame can be, which would break what reads it; sent as text, since no library would write it.
    nested = "[" * 30_000 + "]" * 30_000
    answered = asyncio.get_running_loop().create_future()
    number = ann.sio._generate_ack_id("/", answered.set_result)
    await ann.sio.eio.send(f'2{number}["interrupt:respond",{{"value":{nested}}}]')
    assert json.loads(json.dumps(await asyncio.wait_for(answered, 5)))["error"]["code"] == "invalid_payload"
    # What an answer may hold is less, and said by the event itself.
    ack = await ann.call(
        "interrupt:respond", {"conversation_id": new_id, "interrupt_id": "i", "value": [[[[[[[[[1]]]]]]]]]}
    )
    assert "value: nested deeper than 8 levels" in ack["error"]["message"]
    assert (await ann.call("message:send", {"conversation_id": new_id, "request_id": "c", "text": "[[[[" * 99}))[
        "ok"
    ]


async def test_a_body_that_is_nested_too_deep_is_refused(cluster):
    async with aiohttp.ClientSession() as http:
        body = '{"name":' + "[" * 8000 + "]" * 8000 + "}"
        async with http.post(f"{cluster.urls[0]}/api/guest", data=body) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_payload")
    assert (await guest_token(cluster.urls[0], "Ann"))[1]


async def test_a_client_that_sends_on_though_it_is_refused_is_closed(cluster, new_id):
    event = frame(b'42["typing:set",{"conversation_id":"none","typing":true}]')
    with RawWebSocket(cluster.ports[0]) as client:
        await client.open(TOKENS.issue(new_id, "Ann", 3600), "flood")
        closing = b""

        async def send() -> None:
            with contextlib.suppress(OSError):
                while True:
                    await client.write(event * 100)

        sending = asyncio.create_task(send())
        with contextlib.suppress(ConnectionError):
            while True:
                opcode, payload = await client.receive()
                closing = payload if opcode == CLOSE else closing
        await sending
        assert closing == (1008).to_bytes(2, "big") + b"too many messages"
