"""A node that takes no clients says so when a websocket is opened, by which proxies choose another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sio_server.gateway.transport.direct.engine import DirectEngine
from sio_server.gateway.transport.engine import ConnectionLimits, Engine
from sio_server.gateway.transport.inbound import InboundLimits
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.gateway.transport.stock.engine import StockEngine
from sio_server.protocol.errors import Unavailable

OPENING = {
    **{"Host": "chat.example.com", "Upgrade": "websocket", "Connection": "Upgrade"},
    **{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
}


class Node:
    """What an engine is told of its node."""

    is_cut_off = False

    def __init__(self) -> None:
        self.refused: list[str] = []

    def admit(self) -> None:
        if self.is_cut_off:
            raise Unavailable("this node cannot serve at this moment; go to another one")

    def limits(self, max_connections: int = 10) -> ConnectionLimits:
        inbound = InboundLimits.above_events([])
        return ConnectionLimits(
            max_connections, AllowedOrigins(()), inbound, admit=self.admit, on_refused=self.refused.append
        )


def direct(limits: ConnectionLimits) -> Engine:
    return DirectEngine(limits=limits)


def stock(limits: ConnectionLimits) -> Engine:
    return StockEngine(limits=limits, on_fault=lambda *_: None, on_queue_full=lambda _: None)


async def ask(engine: Engine, method: str = "GET", query: str = "EIO=4&transport=websocket") -> tuple[int, Any]:
    request = make_mocked_request(method, f"/socket.io/?{query}", headers=OPENING)
    response = await engine.handle_request(request)
    assert isinstance(response, web.Response)
    assert response.text is not None
    return response.status, json.loads(response.text)["error"]


@pytest.mark.parametrize("make", [direct, stock])
@pytest.mark.parametrize("why", ["full", "cut off"])
async def test_a_node_that_is_full_or_cut_off_answers_503_to_whatever_opens_a_connection(
    make: Callable[[ConnectionLimits], Engine], why: str
) -> None:
    node = Node()
    node.is_cut_off = why == "cut off"
    engine = make(node.limits(0 if why == "full" else 10))
    # The page asks with POST why its websocket was refused, and a client of another transport is sent on too.
    for method, query in (
        ("GET", "EIO=4&transport=websocket"),
        ("POST", "EIO=4&transport=websocket"),
        ("GET", "EIO=4&transport=polling"),
    ):
        status, error = await ask(engine, method, query)
        assert (status, error["code"], error["retryable"]) == (503, "unavailable", True)
    assert node.refused == ["unavailable"] * 3


async def test_an_opening_that_was_turned_away_is_not_told_to_be_wrong_when_the_node_serves_again() -> None:
    """It was not taken over since the node was cut off, and is answered when it is not any more."""
    node = Node()
    engine = direct(node.limits())
    status, error = await ask(engine)
    assert (status, error["code"]) == (400, "not_supported"), "of which the form is not served"
    node.is_cut_off = True
    assert engine.turn_away() is not None
    node.is_cut_off = False
    status, error = await ask(engine)
    assert (status, error["code"], error["retryable"]) == (503, "unavailable", True)
