"""A request that is not served gets an answer that says why: over HTTP, and by Socket.IO's own means."""

from __future__ import annotations

from unittest.mock import Mock

import aiohttp
import pytest
import socketio
from aiohttp.test_utils import TestServer

from sio_clients import guest_token
from sio_server.gateway.http.application import make_application
from sio_server.gateway.http.assets import Assets
from sio_server.gateway.http.cors import Cors
from sio_server.gateway.http.guest import GuestRoutes, GuestTokens
from sio_server.gateway.http.health import HealthRoutes
from sio_server.gateway.http.hosts import AllowedHosts
from sio_server.gateway.http.page import PagePolicy
from sio_server.gateway.http.request_limits import RequestLimits
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.limits import Limits
from sio_server.gateway.sessions.remembered_guests import RememberedGuests
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.protocol.names import AgentNames
from tests.conftest import SECRET, PlainSio
from tests.faults.raw_websocket import RawWebSocket

ALLOWED, OTHER = "https://chat.example.com", "https://evil.example.com"


@pytest.fixture
async def http(cluster):
    async with aiohttp.ClientSession(cluster.urls[0]) as session:
        yield session


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/socket.io/"),
        ("GET", "/socket.io/?EIO=4&transport=polling"),
        ("POST", "/socket.io/?EIO=4&transport=polling&sid=x"),
        ("GET", "/socket.io/?EIO=3&transport=websocket"),
        ("GET", "/socket.io/?EIO=4&transport=websocket"),
        ("GET", "/socket.io/?EIO=4&transport=websocket&sid=x"),
        ("POST", "/socket.io/?EIO=4&transport=websocket"),
        ("OPTIONS", "/socket.io/?EIO=4&transport=websocket"),
    ],
)
async def test_what_opens_no_websocket_is_told_what_is_served(http, method, path):
    async with http.request(method, path) as response:
        answer = await response.json()
    assert (response.status, answer["ok"], answer["error"]["code"]) == (400, False, "not_supported")
    assert "websocket" in answer["error"]["message"] or "EIO=4" in answer["error"]["message"]


async def test_another_namespace_is_refused_with_a_code(cluster):
    _, token = await guest_token(cluster.urls[0], "Ann")
    client = PlainSio()
    refused: list[dict[str, dict[str, object]]] = []
    client.on("connect_error", refused.append, namespace="/chat")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(
            cluster.urls[0], auth={"token": token}, transports=["websocket"], namespaces=["/chat"]
        )
    assert refused[0]["data"]["code"] == "not_supported"
    assert refused[0]["data"]["retryable"] is False


async def test_a_session_survives_that_its_client_asks_for_another_namespace(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        _, token = await guest_token(cluster.urls[0], "Ann")
        await client.open(token, "ann")
        await client.say("40/chat,{}")
        while not (answer := await client.hear()).startswith("44/chat,"):
            pass
        assert '"code":"not_supported"' in answer
        assert (await client.call("conversation:list", {}))["ok"] is True


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("DELETE", "/socket.io/", 405, "method_not_allowed"),
        ("GET", "/api/guest", 405, "method_not_allowed"),
        ("OPTIONS", "/api/guest", 405, "method_not_allowed"),
        ("DELETE", "/", 405, "method_not_allowed"),
    ],
)
async def test_every_error_over_http_is_json(http, method, path, status, code):
    async with http.request(method, path) as response:
        answer = await response.json()
    assert (response.status, answer["error"]["code"], answer["error"]["retryable"]) == (status, code, False)
    assert ("Allow" in response.headers) == (status == 405)


async def test_a_body_that_is_too_large_is_refused_with_json(http):
    async with http.post("/api/guest", data=b"x" * 17_000) as response:
        answer = await response.json()
    assert (response.status, answer["error"]["code"]) == (413, "payload_too_large")


async def test_what_is_no_http_is_answered_with_json(cluster):
    with RawWebSocket(cluster.ports[0]) as client:
        await client.connect()
        await client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n")
        said = b""
        while data := await client.read(4096):
            said += data
    assert said.startswith(b"HTTP/1.0 400 ")
    assert b'"code": "invalid_payload"' in said


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_of_authorization_may_be_in_any_case(http, cluster, scheme):
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with http.get("/api/status", headers={"Authorization": f"{scheme} {token}"}) as response:
        assert response.status == 200


async def test_pages_of_listed_origins_may_read_the_api_and_others_may_not():
    limits = RequestLimits(Limits(None), 0)  # type: ignore[arg-type]
    origins = AllowedOrigins([ALLOWED])
    remembered = RememberedGuests(Mock(), Mock(), secret=SECRET, days=0)
    guests = GuestTokens(Tokens(SECRET, "roomgraph"), remembered, allowed=True, token_ttl_s=60)
    application = make_application(
        [
            HealthRoutes("n", lambda: {}),
            GuestRoutes(guests, Mock(), limits, origins, AgentNames(())),
        ],
        hosts=AllowedHosts(()),
        cors=Cors(origins),
        policy=PagePolicy((), Assets(), stage=False),
    )
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with TestServer(application) as server:
        for origin, allowed in ((ALLOWED, ALLOWED), (OTHER, None)):
            async with aiohttp.ClientSession(server.make_url("/"), headers={"Origin": origin}) as http:
                async with http.options("/api/guest", headers=asked) as preflight:
                    assert preflight.status == 204
                async with http.post("/api/guest", json={"name": "Ann"}) as answer:
                    assert answer.status == (200 if allowed else 403)
                async with http.post("/api/guest", json={}) as refusal:
                    assert refusal.status == (400 if allowed else 403)
                async with http.get("/healthz") as other:
                    assert "Access-Control-Allow-Origin" not in other.headers
            for response in (preflight, answer, refusal):
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
                assert response.headers["Vary"] == "Origin"
                credentials = response.headers.get("Access-Control-Allow-Credentials")
                assert credentials == ("true" if allowed else None)
            assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
            headers = preflight.headers["Access-Control-Allow-Headers"]
            assert {"Authorization", "Content-Type"} <= set(headers.split(", "))


async def test_without_listed_origins_no_page_of_another_origin_reads_the_api(http):
    async with http.get("/api/status", headers={"Origin": OTHER}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("name", ["agent", "Ｃｏｎｃｉｅｒｇｅ", "con\u200bcierge", "\u200b", "  "])
async def test_a_guest_takes_neither_the_name_of_an_agent_nor_none(http, name):
    async with http.post("/api/guest", json={"name": name}) as response:
        answer = await response.json()
    assert (response.status, answer["error"]["code"]) == (400, "invalid_payload")
