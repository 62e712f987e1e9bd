"""Odd but valid JSON gets an ack with a code, and a frame that is none ends the connection with the reason."""

from __future__ import annotations

import json

import jwt
import pytest

from sio_clients import guest_token
from sio_server.protocol.events import MAX_FRAME_BYTES, MAX_TEXT_BYTES
from tests.conftest import SECRET
from tests.faults.raw_websocket import BINARY, CLOSE, RawWebSocket, frame

SEND = '"message:send",{"conversation_id":"c","request_id":"r","text":'
ANSWER = '"interrupt:respond",{"conversation_id":"c","request_id":"r","interrupt_id":"i","value":'
ODD = {
    "a number of 400 digits": '["conversation:list",{"limit":' + "9" * 400 + "}]",
    "minus 400 digits": '["history:read",{"conversation_id":"c","after":-' + "9" * 400 + "}]",
    "a seq of 400 digits": '["run:regenerate",{"conversation_id":"c","request_id":"r","seq":' + "9" * 400 + "}]",
    "a huge exponent": '["run:regenerate",{"conversation_id":"c","request_id":"r","seq":1e400}]',
    "an answer that is infinite": "[" + ANSWER + "1e400}]",
    "an answer of 400 digits": "[" + ANSWER + "[" + "9" * 400 + "]}]",
    "nested 1000 deep": "[" + SEND + "[" * 1000 + "]" * 1000 + "}]",
    "half a pair in a key": '["conversation:list",{"\\ud83d":1}]',
    "half a pair in a key of positions": '["session:sync",{"positions":{"\\udc00":null}}]',
    "half a pair in a text": "[" + SEND + '"\\ud83d"}]',
    "the same key twice": "[" + SEND + '"good","text":7}]',
    "keys of every object of JavaScript": '["session:sync",{"positions":{"__proto__":null}}]',
    "NaN": '["run:regenerate",{"conversation_id":"c","request_id":"r","seq":NaN}]',
    "Infinity": '["run:regenerate",{"conversation_id":"c","request_id":"r","seq":-Infinity}]',
    "JSON that ends early": '["conversation:list",{',
    "no list": '{"conversation:list":{}}',
    "an empty list": "[]",
    "a text": ' "conversation:list"',
    "null": " null",
    "white space before the list": ' \t["conversation:list",[]]',
    "an empty text": "",
}


async def opened(client: RawWebSocket, url: str) -> None:
    _, token = await guest_token(url, "Odd")
    await client.open(token, "odd")


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
async def test_odd_json_gets_an_ack_with_a_code_and_the_session_goes_on(cluster, text):
    with RawWebSocket(cluster.ports[0]) as client:
        await opened(client, cluster.urls[0])
        await client.say("4277" + text)
        while not (answer := await client.hear()).startswith("4377["):
            pass
        error = json.loads(answer[4:])[0]["error"]
        assert (error["code"], error["retryable"]) == ("invalid_payload", False)
        error["message"].encode()
        assert (await client.call("conversation:list", {}))["ok"] is True


@pytest.mark.parametrize("letter", ["\x01", "é", "你", "😀"], ids=["U+0001", "2 bytes", "3 bytes", "4 bytes"])
async def test_a_legal_text_is_accepted_however_its_json_is_escaped(cluster, new_id, letter):
    text = "x" + letter * ((MAX_TEXT_BYTES - 1) // len(letter.encode()))
    with RawWebSocket(cluster.ports[0]) as client:
        await opened(client, cluster.urls[0])
        room = {"conversation_id": new_id, "request_id": "c", "access": "open", "agent": "off"}
        assert (await client.call("conversation:create", room))["ok"] is True
        message = {"conversation_id": new_id, "request_id": "r", "text": text}  # all but ASCII is escaped
        assert (await client.call("message:send", message))["seq"] == 2
        page = await client.call("history:read", {"conversation_id": new_id, "after": 1})
        assert page["entries"][0]["data"]["text"] == text
        too_large = await client.call("message:send", {**message, "text": "x" * MAX_FRAME_BYTES})
        assert too_large["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b'451-["x",{"_placeholder":true,"num":0}]'), 1002),
        (frame(b"44{}"), 1002),
        (frame(b"hello"), 1002),
        (frame("42²[]".encode()), 1002),
        (frame(b"\x00\x01", BINARY), 1003),
        (frame(b"\xff\xfe"), 1007),
        (frame(b"x" * (1024 * 1024 + 1)), 1009),
    ],
    ids=["a binary event", "a connect error", "no packet", "no ack id", "a binary frame", "not UTF-8", "too big"],
)
async def test_a_frame_that_is_no_packet_closes_the_connection_with_a_code(cluster, sent, code):
    with RawWebSocket(cluster.ports[0]) as client:
        await opened(client, cluster.urls[0])
        await client.write(sent)
        opcode, payload = 0, b""
        while opcode != CLOSE:
            opcode, payload = await client.receive()
    assert int.from_bytes(payload[:2]) == code
    assert payload[2:].decode() or code in (1007, 1009), "the reason in words, but where the HTTP library closes"


@pytest.mark.parametrize(
    "auth",
    ['{"token":' + "9" * 400 + "}", '{"token":NaN}', "[" * 1000, '{"token":"' + "x" * MAX_FRAME_BYTES + '"}', "{"],
    ids=["400 digits", "NaN", "deep", "too large", "no JSON"],
)
async def test_an_odd_handshake_is_refused_with_a_code(cluster, auth):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        await client.upgrade()
        await client.say("40" + auth)
        while not (answer := await client.hear()).startswith("44"):
            pass
        assert json.loads(answer[2:])["data"]["code"] in ("invalid_payload", "payload_too_large", "token_missing")


async def test_a_session_whose_tokens_name_has_half_a_pair_can_write(cluster, raw_client, new_id):
    claims = {"sub": f"ann-{new_id}", "aud": "roomgraph", "exp": 4_000_000_000, "name": "Ann \ud83d"}
    client = await raw_client(token=jwt.encode(claims, SECRET, algorithm="HS256"))
    assert client.named("session:opened")[0]["name"] == "Ann \ufffd"
    room = {"conversation_id": new_id, "access": "open", "agent": "off"}
    assert (await client.call("conversation:create", room))["ok"] is True
    ack = await client.call("message:send", {"conversation_id": new_id, "request_id": "r", "text": "hello"})
    assert ack["ok"] is True
    for name in ("a\ud83d", "\u200b"):
        with RawWebSocket(cluster.ports[0]) as other:
            await other.connect()
            await other.upgrade()
            await other.say("40" + json.dumps({"token": client.token, "device_name": name}))
            while not (answer := await other.hear()).startswith("44"):
                pass
            assert json.loads(answer[2:])["data"]["code"] == "invalid_payload"


@pytest.mark.parametrize(
    ("name", "shown"), [("Ａgent", None), ("\u200b", None), ("Con\u200dcierge", None), ("Ann", "Ann")]
)
async def test_a_token_whose_name_is_blank_or_an_agents_is_shown_with_the_user_id(raw_client, new_id, name, shown):
    claims = {"sub": f"ann-{new_id}", "aud": "roomgraph", "exp": 4_000_000_000, "name": name}
    client = await raw_client(token=jwt.encode(claims, SECRET, algorithm="HS256"))
    assert client.named("session:opened")[0]["name"] == (shown or claims["sub"])
