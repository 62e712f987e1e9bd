"""What a node serves over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import generate_latest

from sio_server.gateway.http.assets import VENDORED, WEB
from sio_server.gateway.http.errors import errors_as_json
from sio_server.gateway.http.metrics import MetricsRoutes
from sio_server.gateway.metrics import Metrics
from tests.faults.raw_websocket import RawWebSocket, upgrade_request


@pytest.fixture
async def http(cluster):
    async with aiohttp.ClientSession(cluster.urls[0]) as session:
        yield session


async def test_health_is_told_always_and_readiness_with_what_is_reached(http, cluster):
    async with http.get("/healthz") as response:
        assert (response.status, (await response.json())["ok"]) == (200, True)
    async with http.get("/ready") as response:
        body = await response.json()
        assert (response.status, body["redis"], body["bus"]) == (200, True, True)
        assert body["node"] == str(cluster.ports[0])


async def test_a_guest_gets_a_token_that_opens_a_session(http, raw_client):
    async with http.post("/api/guest", json={"name": "  Ann  "}) as response:
        guest = await response.json()
    assert response.status == 200
    assert guest["name"] == "Ann"
    assert guest["user_id"].startswith("ann-")
    client = await raw_client(token=guest["token"])
    assert (await client.call("conversation:list", {}))["ok"] is True


@pytest.mark.parametrize(
    "body", ["", "{}", '{"name": ""}', '{"name": 7}', "[]", '{"name": "a", "x": 1}', b"\xff\xfe"]
)
async def test_a_wrong_guest_request_is_refused_with_a_code(http, body):
    async with http.post("/api/guest", data=body) as response:
        answer = await response.json()
    assert response.status == 400
    assert answer["error"]["code"] == "invalid_payload"


async def test_a_charset_that_does_not_exist_is_refused_with_a_code(http):
    headers = {"Content-Type": "application/json; charset=nope"}
    async with http.post("/api/guest", data=b'{"name": "Ann"}', headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_payload")


async def test_the_status_needs_a_token(http):
    async with http.get("/api/status") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "token_missing")
    async with http.get("/api/status", headers={"Authorization": "Bearer x"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "token_invalid")


async def test_the_metrics_count_sends_and_deliveries(http, raw_client, new_id):
    async def figures() -> dict[str, float]:
        async with http.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")
        }

    client = await raw_client(node=0)
    await client.call("conversation:create", {"conversation_id": new_id, "access": "open", "agent": "off"})
    before = await figures()
    send = {"conversation_id": new_id, "request_id": "c1", "text": "hi"}
    for _ in range(2):
        await client.call("message:send", send)
    # The answer to a later event comes after the entry: this client's queue is in order.
    await client.call("conversation:list", {})
    while not client.named("entry:appended"):
        await client.call("conversation:list", {})
    after = await figures()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown('roomgraph_sends_total{outcome="new"}') == 1
    assert grown('roomgraph_sends_total{outcome="repeated"}') == 1
    assert grown("roomgraph_append_seconds_count") == 2
    assert grown("roomgraph_fanout_seconds_count") == 1
    assert grown("roomgraph_deliveries_total") >= 1
    assert after["roomgraph_sessions"] >= 1


async def test_the_page_is_served_with_its_content_security_policy(http):
    async with http.get("/") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    async with http.get("/js/main.js") as response:
        assert response.status == 200
        # Without one of these types a browser does not run a module.
        assert response.content_type in ("text/javascript", "application/javascript")
        # After an upgrade no page runs with modules of two versions.
        assert response.headers["Cache-Control"] == "no-cache"
    async with http.get("/vendor/socket.io.esm.min.js") as response:
        assert response.status == 200
    async with http.get("/js/../../pyproject.toml") as response:
        assert response.status == 404


def connectable(policy: str) -> set[str]:
    (directive,) = [part.split() for part in policy.split(";") if part.split()[0] == "connect-src"]
    return set(directive[1:])


async def test_a_page_may_connect_to_its_own_node_and_those_that_are_listed_and_nowhere_else(http, cluster):
    hosts = [f"{host}:{port}" for port in cluster.ports for host in ("127.0.0.1", "localhost")]
    listed = {f"{scheme}://{host}" for scheme in ("http", "ws") for host in hosts}
    for own in ("localhost", "chat.localhost:8443", "[::1]:9000"):
        async with http.get("/", headers={"Host": own}) as response:
            policy = response.headers["Content-Security-Policy"]
        # 'self' does not cover websockets in every browser.
        assert connectable(policy) == {"'self'", f"ws://{own}", f"wss://{own}", *listed}


async def test_an_invalid_host_header_gets_into_no_content_security_policy(http):
    for host in ("evil; script-src *", "a b", "*", ""):
        async with http.get("/", headers={"Host": host}) as response:
            policy = response.headers["Content-Security-Policy"]
        assert policy.count("script-src") == 1
        assert not {"*", "ws://*", "ws://a", "b"} & connectable(policy)


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/guest", "/socket.io/?EIO=4&transport=websocket"])
async def test_a_name_that_is_not_of_this_node_is_refused_also_when_the_origin_is_the_same(cluster, http, path):
    """DNS rebinding: to the browser the node is a part of the other site."""
    host = f"evil-{uuid.uuid4().hex[:8]}.example:{cluster.ports[0]}"
    for _ in range(3):
        async with http.get(path, headers={"Host": host, "Origin": f"http://{host}"}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "host_not_allowed")
    log = (cluster.data_dir / "logs" / f"node-{cluster.ports[0]}.log").read_text()
    (line,) = [line for line in log.splitlines() if host.partition(":")[0] in line]
    assert "write ALLOWED_HOSTS=" in line


async def test_no_answer_names_the_software_of_the_node(cluster, http):
    port = cluster.ports[0]
    for path in ("/", "/js/main.js", "/none", "/api/status"):
        async with http.get(path) as response:
            assert "Server" not in response.headers, path
    with RawWebSocket(port) as client:
        await client.connect()
        await client.write(upgrade_request(port))
        head = await client.read(65536)
        assert head.startswith(b"HTTP/1.1 101")
        assert b"server:" not in head.lower()


@pytest.mark.parametrize("path", ["/healthz", "/ready"])
async def test_a_load_balancer_may_ask_for_the_health_under_any_name(http, path):
    async with http.get(path, headers={"Host": "backend"}) as response:
        assert response.status == 200


async def test_metrics_are_not_for_clients_that_come_through_a_proxy(http):
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        async with http.get("/metrics", headers={header: "127.0.0.1"}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(
    ("token", "peer", "authorization", "code"),
    [
        ("", "127.0.0.1", None, None),
        ("", "::1", None, None),
        ("", "10.20.30.40", None, None),
        ("", "::ffff:192.168.0.7", None, None),
        ("", "8.8.8.8", None, "not_allowed"),
        ("", "2600::1", None, "not_allowed"),
        ("", "8.8.8.8", "Bearer ", "not_allowed"),
        ("t" * 16, "127.0.0.1", None, "token_missing"),
        ("t" * 16, "127.0.0.1", "Bearer wrong", "token_invalid"),
        ("t" * 16, "127.0.0.1", "Basic " + "t" * 16, "token_invalid"),
        ("t" * 16, "8.8.8.8", "Bearer " + "t" * 16, None),
    ],
)
async def test_metrics_are_for_clients_with_the_token_or_without_one_for_near_ones(
    token, peer, authorization, code
):
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(MetricsRoutes(Metrics(), token).routes())
    (route,) = [route for route in app.router.routes() if route.method == "GET"]
    headers = {"Authorization": authorization} if authorization else {}
    request = make_mocked_request("GET", "/metrics", headers=headers).clone(remote=peer)
    response: Any = await errors_as_json(request, route.handler)
    assert (None if response.status == 200 else json.loads(response.text or "")["error"]["code"]) == code


async def test_failures_of_background_tasks_are_counted_by_task():
    metrics = Metrics()
    metrics.task_failed("leases")
    counted = 'roomgraph_background_task_failures_total{task="leases"} 1.0'
    assert counted in generate_latest(metrics.registry).decode()


@pytest.mark.parametrize("name", ["package.json", "..%2Fpackage.json", "marked", "socket.io.esm.min.js.map"])
async def test_only_listed_modules_of_others_are_served(http, name):
    async with http.get(f"/vendor/{name}") as response:
        assert response.status == 404


@pytest.mark.parametrize("name", VENDORED)
async def test_a_listed_module_is_served_or_its_absence_is_explained(http, name):
    async with http.get(f"/vendor/{name}") as response:
        if (WEB / "node_modules" / VENDORED[name]).is_file():
            assert response.status == 200
            assert response.content_type in ("text/javascript", "application/javascript")
        else:
            error = (await response.json())["error"]
            assert (response.status, error["code"]) == (503, "unavailable")
            assert "npm ci" in error["message"]


async def hashed(http) -> str:
    """The address below which the page names its files."""
    async with http.get("/") as response:
        page = await response.text()
    (address,) = set(re.findall(r'(?:href|src)="(assets/[0-9a-f]+/)', page))
    return f"/{address}"


async def test_files_of_this_version_are_cached_for_ever_and_those_of_another_are_asked_for_again(http):
    below = await hashed(http)
    for path in ("js/main.js", "css/base.css", "words/en.json", "vendor/socket.io.esm.min.js"):
        async with http.get(below + path) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            body = await response.read()
        async with http.get(f"/assets/0123456789abcdef/{path}") as response:
            assert (response.status, await response.read()) == (200, body)
            assert response.headers["Cache-Control"] == "no-cache"
    async with http.get(f"{below}js/none.js") as response:
        assert response.status == 404


async def test_a_file_is_sent_compressed_to_those_who_take_it_and_once_to_those_who_have_it(http):
    path = f"{await hashed(http)}js/main.js"
    plain = (WEB / "js" / "main.js").read_bytes()
    for accepted, packed in {"gzip, br": True, "*": True, "identity": False, "gzip;q=0, br": False}.items():
        async with http.get(path, headers={"Accept-Encoding": accepted}) as response:
            assert response.headers.get("Content-Encoding") == ("gzip" if packed else None), accepted
            assert (response.headers["Vary"], await response.read()) == ("Accept-Encoding", plain)
            assert (int(response.headers["Content-Length"]) < len(plain)) == packed
            known = {"If-None-Match": response.headers["ETag"], "Accept-Encoding": accepted}
        async with http.get(path, headers=known) as response:
            assert (response.status, await response.read()) == (304, b"")


async def test_the_policy_allows_the_page_s_import_map_and_no_other_inline_script(http):
    async with http.get("/") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
    (script,) = re.findall(r'<script type="importmap">(.*?)</script>', page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    async with http.get("/", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
