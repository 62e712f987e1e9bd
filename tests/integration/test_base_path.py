"""BASE_PATH: nodes that are served below a path of somebody else's address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from roomgraph.cli.options import urls_or_fail
from roomgraph.load.wire import Wire
from sio_clients import ChatClient, connect_guest, guest_token
from sio_server.cluster.nodes import Nodes
from sio_server.cluster.peers import Peers
from sio_server.local.cluster import LocalCluster
from sio_server.store.connection import connect
from sio_server.store.scripts import Scripts
from tests.conftest import NODE_SETTINGS, free_ports
from tests.waiting import within

PATH = "/team/chat"
SERVICE_KEY = "a-service-key-that-only-these-tests-use"
SERVICE = {"Authorization": f"Bearer {SERVICE_KEY}"}


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes below a path, one of them on the stock transport."""
    port = free_ports(2)
    settings = {
        **NODE_SETTINGS,
        "BASE_PATH": PATH,
        "STAGE_KEY": "the-key-of-this-stage",
        "SERVICE_KEYS": f"shop:{SERVICE_KEY}",
    }
    running = LocalCluster(port, 2, tmp_path_factory.mktemp("cluster"), settings=settings)
    running.node_settings[port + 1] = {"TRANSPORT": "stock"}
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


def origin_of(cluster: LocalCluster, node: int = 0) -> str:
    return f"http://127.0.0.1:{cluster.ports[node]}"


async def test_the_sdk_sends_and_receives_below_the_path(cluster: LocalCluster) -> None:
    assert all(url.endswith(PATH) for url in cluster.urls)
    async with (
        connect_guest(cluster.urls, "Ann") as ann,
        connect_guest([f"{url}/" for url in reversed(cluster.urls)], "Bob") as bob,
    ):
        plans = await ann.create("Plans", access="open", agent="off")
        seen = await bob.join(plans.id)
        ack = await plans.send("hello")
        async for entry in seen.entries():
            if entry.seq == ack.seq:
                assert entry.text == "hello"
                break
        assert ann.node != bob.node


async def test_a_client_that_loses_its_node_moves_to_another_address_with_the_path(cluster: LocalCluster) -> None:
    _, token = await guest_token(cluster.urls[0], "Ann")
    async with ChatClient(cluster.urls, token) as ann:
        first = ann.node
        await ann.go_offline()
        await ann.go_online(cluster.urls[1])
        assert ann.node != first


@pytest.mark.parametrize("node", [0, 1], ids=["direct", "stock"])
async def test_a_session_is_told_the_addresses_of_the_nodes_with_the_path(
    cluster: LocalCluster, node: int
) -> None:
    _, token = await guest_token(cluster.urls[node], "Ann")
    opened = await (wire := Wire(lambda frame: None, lambda: None)).open(cluster.urls[node], {"token": token}, 5)
    wire.close()
    assert sorted(opened["nodes"]) == cluster.urls


PAGES = (
    "/",
    "/stage",
    "/js/main.js",
    "/css/base.css",
    "/words/en.json",
    "/sw.js",
    "/manifest.webmanifest",
    "/vendor/socket.io.esm.min.js",
)
API = ("/api/v1/openapi.json", "/api/v1/status", "/api/v1/users/ann/conversations")


@pytest.mark.parametrize("path", [*PAGES, *API, "/healthz", "/ready", "/metrics"])
async def test_everything_is_served_below_the_path_and_nowhere_else(cluster: LocalCluster, path: str) -> None:
    async with aiohttp.ClientSession(origin_of(cluster), headers=SERVICE) as http:
        async with http.get(PATH + path) as response:
            assert response.status == 200
        for outside in (path, f"{PATH}x{path}", f"/team{path}"):
            async with http.get(outside) as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"]) == (404, "not_found")
            assert f"below {PATH}/" in error["message"]


@pytest.mark.parametrize("node", [0, 1], ids=["direct", "stock"])
async def test_a_websocket_outside_of_the_path_is_refused(cluster: LocalCluster, node: int) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await http.ws_connect(f"{origin_of(cluster, node)}/socket.io/?EIO=4&transport=websocket")


async def test_a_backend_posts_below_the_path_and_follows_the_events(cluster: LocalCluster) -> None:
    async with aiohttp.ClientSession(headers=SERVICE) as http:
        async with http.get(f"{cluster.urls[0]}/api/v1/openapi.json") as answer:
            (server,) = (await answer.json())["servers"]
        assert server["url"].startswith(f"{PATH}/")
        api = f"{origin_of(cluster)}{server['url']}/conversations"
        async with http.post(api, json={"agent": "off"}) as answer:
            assert answer.status == 201
            where = f"{api}/{(await answer.json())['conversation_id']}"
        async with http.get(f"{where}/events") as stream, within(20, "the event of a message"):
            async with http.post(f"{where}/messages", json={"text": "below the path"}) as answer:
                assert answer.status == 201
            async for line in stream.content:
                if b"below the path" in line:
                    break


async def test_the_path_without_its_slash_leads_to_the_page_with_its_query(cluster: LocalCluster) -> None:
    async with aiohttp.ClientSession(origin_of(cluster)) as http:
        async with http.get(f"{PATH}?token=a%2Bb", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (307, f"{PATH}/?token=a%2Bb")


async def test_errors_below_the_path_are_those_of_every_node(cluster: LocalCluster) -> None:
    async with aiohttp.ClientSession(origin_of(cluster)) as http:
        for method, path, status, code in (
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "/api/guest", 405, "method_not_allowed"),
            ("GET", "/socket.io/?EIO=4&transport=polling", 400, "not_supported"),
        ):
            async with http.request(method, PATH + path) as response:
                answer = await response.json()
            assert (response.status, answer["error"]["code"]) == (status, code)
        async with http.get(f"{PATH}/ready", headers={"Host": "backend"}) as response:
            assert response.status == 200
        asked = {"Access-Control-Request-Method": "POST", "Origin": cluster.origins[0]}
        async with http.options(f"{PATH}/api/guest", headers=asked) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == cluster.origins[0]


async def test_the_log_says_once_what_a_proxy_that_removes_the_path_has_to_change(cluster: LocalCluster) -> None:
    async with aiohttp.ClientSession(origin_of(cluster, 1)) as http:
        for path in ("/socket.io/", "/socket.io/", "/wp-admin"):
            async with http.get(path) as response:
                assert response.status == 404
    log = (cluster.data_dir / "logs" / f"node-{cluster.ports[1]}.log").read_text()
    (line,) = [line for line in log.splitlines() if "/socket.io/" in line]
    assert f"below BASE_PATH={PATH}" in line
    assert "/wp-admin" not in log, "what anyone may ask for fills no log"


async def test_a_page_s_policy_names_the_origins_of_nodes_whose_addresses_have_a_path(
    cluster: LocalCluster,
) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{cluster.urls[0]}/") as response:
        policy = response.headers["Content-Security-Policy"]
    assert PATH not in policy
    assert f"ws://127.0.0.1:{cluster.ports[1]}" in policy.split()


async def test_nodes_ask_each_other_below_the_path(cluster: LocalCluster) -> None:
    redis = connect(cluster.redis_url)
    addresses = await Nodes(redis, Scripts(redis), "nobody", {}).addresses()
    await redis.aclose()
    assert sorted(addresses) == sorted(cluster.urls)
    peers = Peers(())
    peers.learn(addresses)
    assert await peers.one_is_well()


def test_commands_find_the_nodes_of_this_machine_below_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_PATH", "/chat")
    assert urls_or_fail(None)[0] == "http://127.0.0.1:9000/chat"
    assert urls_or_fail(["https://a.example/x/"]) == ["https://a.example/x"]
