"""The gateway: every event gets exactly one ack, and no client can crash it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import socketio

from sio_server.conversation.author import Author
from sio_server.protocol.events import MAX_FRAME_BYTES, MAX_PAGE_BYTES, MAX_TEXT_BYTES, REQUESTS
from sio_server.store.json_text import to_json
from tests.conftest import SECRET, RawClient
from tests.faults.raw_websocket import RawWebSocket, upgrade_request
from tests.waiting import Inbox, within

ROOM = {"access": "open", "agent": "off"}


async def test_wrong_payloads_get_an_ack_with_a_code_for_every_event(raw_client):
    client = await raw_client()
    wrong: tuple[Any, ...] = (
        [],
        "text",
        7,
        None,
        {"conversation_id": 7},
        {"nonsense": True},
        {"conversation_id": "{x}"},
    )
    for event in REQUESTS:
        for payload in wrong:
            ack = await client.call(event, payload) if payload is not None else await client.call(event)
            assert ack["ok"] is False, (event, payload)
            assert ack["error"]["code"] == "invalid_payload", (event, payload)
            assert ack["error"]["retryable"] is False
        assert (await client.call(event, {}, {}))["error"]["code"] == "invalid_payload"


async def test_unknown_events_and_the_librarys_own_names_get_an_ack(raw_client):
    client = await raw_client()
    for event in ("nonsense", "message", "connect", "disconnect", "connect_error", "trigger_event", "*"):
        ack = await client.call(event, {})
        assert ack == {"ok": False, "error": {**ack["error"], "code": "unknown_event"}}, event
    # The session is none the worse for it.
    assert (await client.call("conversation:list", {}))["ok"] is True


async def test_too_long_a_text_and_too_large_a_frame_are_refused_with_an_ack(raw_client, new_id):
    client = await raw_client()
    await client.call("conversation:create", {"conversation_id": new_id, **ROOM})
    send = {"conversation_id": new_id, "request_id": "c1"}
    for text in (
        "x" * (MAX_TEXT_BYTES + 1),
        "你" * (MAX_TEXT_BYTES // 3 + 1),
        "x" * (MAX_FRAME_BYTES + 1),
        "你" * 40_000,
    ):
        ack = await client.call("message:send", {**send, "text": text})
        assert ack["error"]["code"] == "payload_too_large"
    ack = await client.call("message:send", {**send, "text": "x" * MAX_TEXT_BYTES})
    assert (ack["ok"], ack["seq"]) == (True, 2)


@pytest.mark.parametrize("letter", ["x", "你"])
async def test_a_sync_of_many_conversations_stays_within_its_bytes_in_every_language(
    raw_client, log, new_id, letter
):
    client = await raw_client()
    author = Author(client.user_id, "Raw", "device")
    text = letter * (MAX_TEXT_BYTES // len(letter.encode()))
    ids = [f"{new_id}-{number}" for number in range(8)]
    for conversation_id in ids:
        await client.call("conversation:create", {"conversation_id": conversation_id, **ROOM})
        sends = [log.append_message(conversation_id, author, f"m{n}", text, run_id="r") for n in range(6)]
        await asyncio.gather(*sends)
    sync = await client.call("session:sync", {"positions": dict.fromkeys(ids)})
    sizes = [
        sum(len(to_json(entry).encode()) for entry in sync["conversations"][conversation_id]["entries"])
        for conversation_id in ids
    ]
    in_all = len(ids) * 6 * MAX_TEXT_BYTES
    most = MAX_PAGE_BYTES + len(ids) * (MAX_TEXT_BYTES + 1024)  # each holds one entry at least
    assert MAX_PAGE_BYTES / 2 < sum(sizes) <= most < in_all
    assert sync["conversations"][ids[-1]]["more"]


async def test_unknown_conversations_are_named_so_for_every_event(raw_client):
    client = await raw_client()
    payloads: dict[str, dict[str, Any]] = {
        "conversation:join": {},
        "history:read": {},
        "members:list": {},
        "conversation:invite": {"user_ids": ["bob"]},
        "conversation:rename": {"title": "x"},
        "conversation:delete": {},
        "members:remove": {"user_id": "bob"},
        "message:send": {"request_id": "c", "text": "hi"},
        "draft:save": {"text": "x"},
    }
    for event, rest in payloads.items():
        ack = await client.call(event, {"conversation_id": "nowhere-at-all", **rest})
        assert ack["error"]["code"] == "unknown_conversation", event
    assert (await client.call("conversation:list", {}))["conversations"] == []


async def test_half_a_surrogate_pair_is_refused_and_the_connection_continues(raw_client, new_id):
    client = await raw_client()
    await client.call("conversation:create", {"conversation_id": new_id, **ROOM})
    ack = await client.call("message:send", {"conversation_id": new_id, "request_id": "c", "text": "\ud800"})
    assert ack["error"]["code"] == "invalid_payload"
    assert (await client.call("conversation:list", {}))["ok"] is True


async def test_messages_sent_in_a_row_without_waiting_are_logged_in_that_order(raw_client, new_id):
    client = await raw_client()
    await client.call("conversation:create", {"conversation_id": new_id, **ROOM})
    acks: Inbox[dict[str, Any]] = Inbox()
    for number in range(100):
        send = {"conversation_id": new_id, "request_id": f"c{number}", "text": str(number)}
        await client.sio.emit("message:send", send, callback=acks)
    await acks.until(lambda acks: len(acks) == 100, "100 acks")
    assert [ack["seq"] for ack in acks.items] == list(range(2, 102))
    page = await client.call("history:read", {"conversation_id": new_id, "after": 1, "limit": 200})
    assert [entry["data"]["text"] for entry in page["entries"]] == [str(number) for number in range(100)]


def token(**claims: object) -> str:
    now = int(time.time())
    return jwt.encode({"sub": "ann", "aud": "roomgraph", "exp": now + 3600, **claims}, SECRET, algorithm="HS256")


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "token_missing"),
        ({}, "token_missing"),
        ("a string", "token_missing"),
        ({"token": ""}, "token_missing"),
        ({"token": 7}, "invalid_payload"),
        ({"token": "nonsense"}, "token_invalid"),
        ({"token": token(exp=1)}, "token_expired"),
        ({"token": token(exp=10**400)}, "token_invalid"),
        ({"token": token(iat=10**400)}, "token_invalid"),
        ({"token": token(aud="another")}, "token_invalid"),
        ({"token": token(sub="agent:concierge")}, "token_invalid"),
        ({"token": token(), "device_id": "not an id"}, "invalid_payload"),
        (
            {"token": jwt.encode({"sub": "ann", "aud": "roomgraph", "exp": 9e9}, "", algorithm="none")},
            "token_invalid",
        ),
        ({"token": jwt.encode({"sub": "ann", "aud": "roomgraph", "exp": 9e9}, "x" * 40)}, "token_invalid"),
    ],
)
async def test_a_handshake_without_a_good_token_is_refused_with_the_reason(cluster, auth, code):
    client = RawClient()
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(cluster.urls[0], auth)
    assert client.refusals[0]["data"]["code"] == code
    assert client.refusals[0]["message"]
    assert client.events == []


async def test_a_refused_handshake_closes_the_connection(cluster):
    address = cluster.urls[0].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(address) as ws:
            await ws.receive_str()
            await ws.send_str('40{"token":"nonsense"}')
            assert (await ws.receive_str()).startswith("44")
            async with within(5, "the end of the connection"):
                while (await ws.receive()).type == aiohttp.WSMsgType.TEXT:
                    pass
            assert ws.closed


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "9",
        "4",
        "45-[",
        "42",
        "42[",
        "42{}",
        "42[]",
        "42[7]",
        "42[null]",
        '42[["message:send"]]',
        "42" + "[" * 20_000,
        "4" + "[" * 20_000,
        "42" + "9" * 5_000 + "[]",
        '42["message:send",' + "9" * 10_000 + "]",
        "42/other,[]",
        "43[]",
        "431[1]",
        '451-["message:send",{"_placeholder":true,"num":0}]',
        b"\x00\x01",
        "40/other,",
        "6",
        "5",
    ],
)
async def test_malformed_frames_end_at_most_their_own_connection_and_leave_no_traceback(cluster, frame):
    log = cluster.data_dir / "logs" / f"node-{cluster.ports[0]}.log"
    before = log.stat().st_size
    address = cluster.urls[0].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(address) as ws:
            await ws.receive_str()
            await ws.send_str(f'40{{"token":"{token()}"}}')
            assert (await ws.receive_str()).startswith('40{"sid"')
            if isinstance(frame, bytes):
                await ws.send_bytes(frame)
            else:
                await ws.send_str(frame)
            # Either the connection is closed, or it answers as before.
            await ws.send_str('427["conversation:list",{}]')
            while True:
                message = await ws.receive(timeout=5)
                if message.type != aiohttp.WSMsgType.TEXT or message.data.startswith("437["):
                    break
        async with http.get(cluster.urls[0] + "/ready") as response:
            assert response.status == 200
    with log.open() as lines:
        lines.seek(before)
        assert "Traceback" not in lines.read()


async def test_a_client_that_does_not_read_its_answers_is_not_read_from(start_cluster):
    cluster = await start_cluster(nodes=1)
    pid = json.loads((cluster.data_dir / "processes.json").read_text())[f"node-{cluster.ports[0]}"]

    def megabytes() -> float:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20

    user = RawClient()
    await user.connect(cluster.urls[0], {"token": token()})
    await user.call("conversation:create", {"conversation_id": "big", "access": "open", "agent": "off"})
    for number in range(20):
        await user.call(
            "message:send", {"conversation_id": "big", "request_id": f"c{number}", "text": "x" * 16_000}
        )
    before = megabytes()
    address = cluster.urls[0].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(address) as ws:
        await ws.receive()
        await ws.send_str(f'40{{"token":"{token()}"}}')
        await ws.receive()
        connection: Any = ws._response.connection
        connection.transport.pause_reading()
        for number in range(200):  # answers of a quarter of a megabyte each
            await ws.send_str(f'42{number}["history:read",{{"conversation_id":"big","after":0,"limit":200}}]')
        await ws.send_str('42999["message:send",{"conversation_id":"big","request_id":"last","text":"got here"}]')
        # The last request would be carried out within a second; it is not read as long as answers are not.
        until = asyncio.get_running_loop().time() + 4
        while asyncio.get_running_loop().time() < until:
            page = await user.call("history:read", {"conversation_id": "big", "limit": 1})
            assert page["entries"][0]["data"]["text"] != "got here"
        assert megabytes() - before < 60
        connection.transport.abort()
    await user.sio.disconnect()


async def test_a_mistake_of_a_client_is_no_error_in_the_log_of_the_node(cluster):
    log = cluster.data_dir / "logs" / f"node-{cluster.ports[2]}.log"
    before = log.stat().st_size
    async with aiohttp.ClientSession() as http:
        await http.get(cluster.urls[2] + "/socket.io/?EIO=4&transport=polling")
        await http.get(cluster.urls[2] + "/socket.io/?EIO=3&transport=websocket")
    assert log.stat().st_size == before


async def test_the_polling_transport_is_refused(cluster):
    async with aiohttp.ClientSession() as http:
        async with http.get(cluster.urls[0] + "/socket.io/?EIO=4&transport=polling") as response:
            assert response.status == 400


async def test_a_request_that_half_opens_a_websocket_is_refused_and_no_error_of_the_node(cluster):
    port = cluster.ports[0]
    log = cluster.data_dir / "logs" / f"node-{port}.log"
    before = log.stat().st_size
    good = upgrade_request(port)
    found = re.search(rb"Key: (\S+)", good)
    assert found is not None
    key = found[1]
    for bad in (
        good.replace(b"Connection: Upgrade\r\n", b""),
        good.replace(b"Version: 13", b"Version: 1"),
        good.replace(key, b"\xff" + key),
        good.replace(key, b"short"),
    ):
        with RawWebSocket(port) as client:
            await client.connect()
            await client.write(bad)
            assert (await client.read(4096)).startswith(b"HTTP/1.1 400")
    with log.open() as lines:
        lines.seek(before)
        # Of what a proxy may have removed the operator is told; the rest is the client's own mistake.
        assert [line.partition(" WARNING ")[2][:46] for line in lines] == [
            "sio_server.gateway.transport.lost_headers: the"
        ]


async def test_a_page_whose_origin_is_not_listed_is_refused_and_both_it_and_the_operator_learn_why(cluster):
    address, origin = cluster.urls[0] + "/socket.io/?EIO=4&transport=websocket", "https://evil.example"
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(address.replace("http", "ws"), headers={"Origin": origin})
            assert refused.value.status == 403
        # A page cannot read the answer to a websocket's request; it may ask again, and read this one.
        async with http.post(address, headers={"Origin": origin}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert (await response.json())["error"]["code"] == "origin_not_allowed"
        async with http.post(address, headers={"Origin": cluster.urls[1]}) as response:
            assert (response.status, "Access-Control-Allow-Origin" in response.headers) == (400, False)
        async with http.ws_connect(address.replace("http", "ws"), headers={"Origin": cluster.urls[1]}) as ws:
            assert (await ws.receive_str()).startswith("0")
    log = (cluster.data_dir / "logs" / f"node-{cluster.ports[0]}.log").read_text()
    (line,) = [line for line in log.splitlines() if origin in line]
    assert f"write ALLOWED_ORIGINS={','.join([*cluster.origins, origin])}" in line


def test_no_node_has_written_a_traceback(cluster):
    for path in sorted((cluster.data_dir / "logs").glob("node-*.log")):
        assert "Traceback" not in path.read_text(), path
