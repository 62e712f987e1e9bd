"""A node in a program of someone else: as a context manager, in an aiohttp application, beside FastAPI."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web

from sio_clients import connect_guest
from sio_server.local.cluster import LocalCluster
from sio_server.node import Node
from sio_server.settings import Settings, SettingsError
from tests.conftest import free_ports

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi" / "shop.py"
KEY = "a-service-key-that-only-these-tests-use"


@pytest.fixture(scope="module")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A Redis without nodes."""
    server = LocalCluster(free_ports(1), 1, tmp_path_factory.mktemp("redis"))
    await server.start_redis()
    yield server.redis_url
    await server.stop()


def settings(redis_url: str, **more: Any) -> Settings:
    chosen = {"host": "127.0.0.1", "auth_mode": "guest", "graph": "echo", "drain_grace": 0.0, **more}
    return Settings(redis_url=redis_url, **chosen)


async def test_a_node_serves_while_its_context_lasts(redis_url: str) -> None:
    chosen = settings(redis_url, port=free_ports(1))
    address = f"http://127.0.0.1:{chosen.port}"
    async with aiohttp.ClientSession() as http:
        async with Node(chosen):
            async with http.get(f"{address}/healthz") as response:
                assert response.status == 200
            with pytest.raises(SettingsError, match="PORT: write a number that is free"):
                async with Node(chosen):
                    raise AssertionError("two nodes have the same port")
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{address}/healthz")


async def test_a_node_is_a_part_of_an_aiohttp_application(redis_url: str) -> None:
    async def own(request: web.Request) -> web.Response:
        return web.Response(text="the program's own")

    application = web.Application()
    application.router.add_get("/own", own)
    async with Node(settings(redis_url, base_path="/chat"), embedded=True) as node:
        application.add_subapp("/chat/", node.application)
        runner = web.AppRunner(application)
        await runner.setup()
        port = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        address = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession() as http:
                for path, said in (("/own", "the program's own"), ("/chat/", "<!doctype html>")):
                    async with http.get(address + path) as response:
                        assert said in (await response.text()).lower()
            async with connect_guest([f"{address}/chat"], "Ann") as ann:
                plans = await ann.create("Plans", access="open")
                ack = await plans.send("hello")
                async for entry in plans.entries():
                    if entry.seq > ack.seq:
                        assert (entry.type, entry.data["run_id"]) == ("answer", ack.run_id)
                        break
        finally:
            await runner.cleanup()


def test_an_embedded_node_has_to_be_somewhere(redis_url: str) -> None:
    with pytest.raises(SettingsError, match="BASE_PATH: write where the node is mounted"):
        Node(settings(redis_url), embedded=True)


async def test_the_example_tells_a_customer_once(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        **{"SHOP_KEY": KEY, "REDIS_URL": redis_url, "PORT": str(free_ports(1)), "AUTH_MODE": "guest"},
        **{"GRAPH": "echo", "DRAIN_GRACE": "0"},
    }.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("shop", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    shop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shop)
    async with shop.lifespan(shop.app):
        transport = httpx.ASGITransport(shop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            told = [(await http.post("/orders/7/sent?customer=ann")).json() for _ in range(2)]
    assert told[0]["seq"] == 2
    assert told[1] == told[0]
