"""The controller does what it says to a real cluster, and only for its own pages with the key."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from sio_clients import ChatClient, guest_token
from sio_server.local.control import Controller
from tests.served.stage import BEARER, KEY
from tests.waiting import Inbox, first_of, poll

pytest_plugins = ["tests.served.stage_fixtures"]


async def device_url(stage, name):
    _, state = await stage.ask("GET", "/state")
    return next(device["url"] for device in state["devices"] if device["name"] == name)


async def node_behind(url):
    async with aiohttp.ClientSession() as http, http.get(f"{url}/healthz") as response:
        return (await response.json())["node"]


async def test_the_state_names_nodes_and_devices_each_with_its_own_node(stage):
    status, state = await stage.ask("GET", "/state")
    ports = stage.cluster.ports
    assert status == 200
    assert state["nodes"] == [{"port": port, "url": f"http://127.0.0.1:{port}", "running": True} for port in ports]
    assert [(device["name"], device["node"]) for device in state["devices"]] == [
        ("laptop", ports[0]),
        ("phone", ports[1]),
        ("terminal", ports[0]),
    ]
    for device in state["devices"]:
        assert await node_behind(device["url"]) == str(device["node"])


async def test_a_node_is_killed_and_started_and_its_device_goes_to_the_next_one_meanwhile(stage):
    first, second = stage.cluster.ports
    phone = await device_url(stage, "phone")
    for _ in range(2):  # the second time there is nothing to kill
        status, state = await stage.ask("POST", f"/nodes/{second}/kill")
        assert (status, [node["running"] for node in state["nodes"]]) == (200, [True, False])
    assert await node_behind(phone) == str(first)
    results = await asyncio.gather(*(stage.ask("POST", f"/nodes/{second}/start") for _ in range(2)))
    for status, state in results:
        assert (status, [node["running"] for node in state["nodes"]]) == (200, [True, True])
    assert await node_behind(phone) == str(second)
    assert stage.cluster.ended.empty()


async def test_the_start_of_a_node_that_is_killed_meanwhile_is_reported_as_failed(stage):
    port = stage.cluster.ports[1]
    await stage.ask("POST", f"/nodes/{port}/kill")
    starting = asyncio.create_task(stage.ask("POST", f"/nodes/{port}/start"))
    while not stage.cluster.is_running(port):  # noqa: ASYNC110 - nothing says so sooner
        await asyncio.sleep(0)
    assert (await stage.ask("GET", "/state"))[1]["nodes"][1]["running"] is False
    await stage.ask("POST", f"/nodes/{port}/kill")
    status, answer = await starting
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    assert stage.cluster.ended.empty()


async def test_a_dropped_device_reconnects_and_misses_nothing(stage):
    phone = await device_url(stage, "phone")
    _, token = await guest_token(stage.cluster.urls[0], "Ann")
    sessions: Inbox[Any] = Inbox()
    async with ChatClient([phone], token) as behind, ChatClient(stage.cluster.urls, token) as direct:
        behind.on("session:opened", sessions)
        conversation = await direct.create(access="open", agent="off")
        entries = (await behind.join(conversation.id)).entries()
        before = len(sessions.items)
        status, answer = await stage.ask("POST", "/devices/phone/drop")
        assert (status, answer["dropped"] >= 1) == (200, True)
        await conversation.send("while it was away")
        await sessions.until(lambda items: len(items) > before, "another session")
        await first_of(entries, lambda entry: entry.text == "while it was away")


async def test_a_delay_applies_in_both_directions(stage):
    laptop = await device_url(stage, "laptop")
    async with aiohttp.ClientSession(laptop) as http:

        async def round_trip() -> float:
            began = time.monotonic()
            async with http.get("/healthz") as response:
                await response.read()
            return time.monotonic() - began

        await round_trip()
        status, state = await stage.ask("POST", "/devices/laptop/delay", body={"ms": 500, "jitter_ms": 20})
        assert (status, state["devices"][0]["delay_ms"], state["devices"][0]["jitter_ms"]) == (200, 500, 20)
        assert 1.0 <= await round_trip() < 5
        await stage.ask("POST", "/devices/laptop/delay", body={"ms": 0})
        assert await round_trip() < 1.0


async def delays(stage):
    return [device["delay_ms"] for device in (await stage.ask("GET", "/state"))[1]["devices"]]


async def test_clearing_delays_leaves_dead_nodes_and_clearing_faults_leaves_none(stage):
    port = stage.cluster.ports[1]
    await stage.ask("POST", "/devices/phone/delay", body={"ms": 300})
    await stage.ask("POST", f"/nodes/{port}/kill")
    assert await delays(stage) == [0, 300, 0]
    status, state = await stage.ask("POST", "/delays/clear")
    assert (status, [node["running"] for node in state["nodes"]]) == (200, [True, False])
    assert await delays(stage) == [0, 0, 0]
    status, state = await stage.ask("POST", "/faults/clear")
    assert (status, [node["running"] for node in state["nodes"]]) == (200, [True, True])
    assert stage.cluster.ended.empty()


async def test_faults_that_nobody_renews_end_by_themselves(stage):
    controller = Controller(stage.cluster, KEY, lease_s=0.5)
    await controller.start()
    port = stage.cluster.ports[1]
    proxy = controller.proxies["phone"]
    try:
        async with aiohttp.ClientSession(controller.url, headers=BEARER) as http:

            async def ask(path: str, body: Any = None) -> None:
                async with http.post(path, json=body) as response:
                    assert response.status == 200

            await ask("/devices/phone/delay", {"ms": 300})
            for _ in range(4):  # two leases long; each renewal comes in half of one
                await asyncio.sleep(0.25)
                await ask("/faults/renew")
                assert proxy.up.delay_s == proxy.down.delay_s == 0.3
            await ask(f"/nodes/{port}/kill")
            assert not stage.cluster.is_running(port)
            await poll(lambda: proxy.up.delay_s == proxy.down.delay_s == 0, "an end of the delay")
            await poll(lambda: stage.cluster.is_running(port), "the node again")
            await ask(f"/nodes/{port}/start")  # returns when it is ready
    finally:
        await controller.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({**BEARER, "Origin": "http://evil.example"}, 403),
        ({**BEARER, "Origin": "null"}, 403),
        ({**BEARER, "Host": "evil.example"}, 403),
        ({**BEARER, "Host": "127.0.0.1.evil.example:80"}, 403),
    ],
)
async def test_a_request_without_the_key_or_from_another_origin_changes_nothing(stage, headers, status):
    for method, path in (("GET", "/state"), ("POST", f"/nodes/{stage.cluster.ports[0]}/kill"), ("POST", "/x")):
        answered, answer = await stage.ask(method, path, headers=headers)
        assert (answered, answer["ok"]) == (status, False)
    assert stage.cluster.is_running(stage.cluster.ports[0])


async def test_only_pages_of_the_cluster_get_cors_headers(stage):
    async with aiohttp.ClientSession() as http:
        for origin in (stage.cluster.urls[1], f"http://localhost:{stage.cluster.ports[0]}"):
            asking = {"Origin": origin, "Access-Control-Request-Headers": "authorization,content-type"}
            async with http.options(f"{stage.controller.url}/devices/phone/delay", headers=asking) as response:
                assert response.status == 204
                assert response.headers["Access-Control-Allow-Origin"] == origin
                assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
            assert (await stage.ask("GET", "/state", headers={**BEARER, "Origin": origin}))[0] == 200
        async with http.options(
            f"{stage.controller.url}/state", headers={"Origin": "http://evil.example"}
        ) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/nodes/1/kill", None, 404),
        ("/nodes/99999999/start", None, 404),
        ("/devices/toaster/drop", None, 404),
        ("/devices/phone/delay", None, 400),
        ("/devices/phone/delay", {}, 400),
        ("/devices/phone/delay", {"ms": "100"}, 400),
        ("/devices/phone/delay", {"ms": -1}, 400),
        ("/devices/phone/delay", {"ms": 5001}, 400),
        ("/devices/phone/delay", {"ms": 1, "jitter_ms": 6000}, 400),
        ("/devices/phone/delay", {"ms": 1, "more": 1}, 400),
        ("/devices/phone/delay", {"ms": 1, "more": "x" * 5000}, 413),
    ],
)
async def test_an_unknown_node_or_device_and_a_delay_out_of_bounds_are_refused(stage, path, body, status):
    answered, answer = await stage.ask("POST", path, body=body)
    assert (answered, answer["ok"]) == (status, False)
