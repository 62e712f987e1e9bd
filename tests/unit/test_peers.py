"""Whether another node is well: asked over HTTP, and believed only if it has heard Redis of late."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sio_server.cluster.nodes import address_of
from sio_server.cluster.peers import Peers

WELL = {"ready": True, "heard_ms": {"redis": 300, "bus": 900}}


async def asked(*answers: tuple[int, Any] | None) -> bool:
    """What a node finds whose peers answer so; None: not at all."""
    servers = []
    for answer in answers:

        async def ready(request: web.Request, answer: tuple[int, Any] | None = answer) -> web.Response:
            if answer is None:
                await asyncio.sleep(60)
            assert answer is not None
            return web.json_response(answer[1], status=answer[0])

        app = web.Application()
        app.router.add_get("/ready", ready)
        servers.append(TestServer(app))
        await servers[-1].start_server()
    peers = Peers([str(server.make_url("")).rstrip("/") for server in servers[:1]])
    peers.learn([str(server.make_url("")).rstrip("/") for server in servers[1:]])
    try:
        return await peers.one_is_well()
    finally:
        await asyncio.gather(*(server.close() for server in servers))


@pytest.mark.parametrize(
    ("answers", "well"),
    [
        ([(200, WELL)], True),
        ([(503, {**WELL, "ready": False}), (200, WELL)], True),
        ([(200, WELL), (503, {**WELL, "ready": False})], True),
        ([(503, {**WELL, "ready": False})], False),
        # It has lost Redis as well, and has only not noticed yet.
        ([(200, {"ready": True, "heard_ms": {"redis": 2800, "bus": 2900}})], False),
        ([(200, {"ready": True, "heard_ms": {"redis": 200, "bus": 2900}})], False),
        # Older nodes, and whoever else may answer at an address.
        ([(200, {"ready": True})], False),
        ([(200, ["ready"])], False),
        ([(200, {"ready": True, "heard_ms": {}})], False),
        ([(200, {"ready": True, "heard_ms": {"redis": "0"}})], False),
        ([], False),
    ],
)
async def test_a_node_is_well_if_it_is_ready_and_has_heard_redis_and_the_bus_of_late(answers, well):
    assert await asked(*answers) is well


async def test_a_peer_that_does_not_answer_is_not_waited_for():
    began = time.monotonic()
    assert await Peers(["http://127.0.0.1:1"]).one_is_well() is False
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("described", "address"),
    [
        ({"host": "10.0.0.7", "port": "9000", "path": ""}, "http://10.0.0.7:9000"),
        ({"host": "fd00::7", "port": "9000", "path": "/chat"}, "http://[fd00::7]:9000/chat"),
    ],
)
def test_a_node_is_asked_where_it_listens(described: dict[str, str], address: str) -> None:
    assert address_of(described) == address
