"""The Admin UI: operators with its account see how many sessions each node has, and nothing else."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import socketio

from sio_clients import ChatClient, guest_token
from sio_server.gateway.transport.admin_ui import AdminUi, NodeFigures
from sio_server.protocol.errors import Refused
from tests.conftest import ClusterFactory, PlainSio, RawClient
from tests.waiting import Changes

ACCOUNT = {"username": "ops", "password": "a-password-nobody-guesses"}


class Admin:
    """A client of the namespace, which keeps all that it is told."""

    def __init__(self) -> None:
        self.sio = PlainSio()
        self.told: list[tuple[str, Any]] = []
        self.changes = Changes(lambda: self.told[-5:])
        self.sio.on("*", self._on_event, namespace="/admin")

    def _on_event(self, event: str, *data: Any) -> None:
        self.told.append((event, data[0]))
        self.changes.changed()

    async def connect(self, url: str, auth: Any, headers: dict[str, str] | None = None) -> None:
        await self.sio.connect(
            url, headers or {}, auth, transports=["websocket"], namespaces=["/admin"], wait_timeout=10
        )

    def nodes(self) -> dict[str, int]:
        """The sessions of each node, as told last."""
        return {said["serverId"]: said["clientsCount"] for event, said in self.told if event == "server_stats"}


@pytest.mark.faults
@pytest.mark.parametrize("transport", ["direct", "stock"])
async def test_it_shows_every_node_with_its_sessions_and_nothing_that_people_write(
    start_cluster: ClusterFactory, transport: str
) -> None:
    account = f"{ACCOUNT['username']}:{ACCOUNT['password']}"
    cluster = await start_cluster(2, ADMIN_UI=account, TRANSPORT=transport)
    _, token = await guest_token(cluster.urls[1], "Ann")
    ann = ChatClient([cluster.urls[1]], token)
    await ann.connect()
    admin = Admin()
    try:
        for wrong in (None, {**ACCOUNT, "password": "another"}, {"username": "ops"}, "ops"):
            refused = Admin()
            with pytest.raises(socketio.exceptions.ConnectionError):
                await refused.connect(cluster.urls[0], wrong)
            assert refused.told == []
        await admin.connect(cluster.urls[0], ACCOUNT)
        conversation = await ann.create(agent="off")
        await conversation.send("a secret")
        here, there = (str(port) for port in cluster.ports)
        await admin.changes.until(lambda: admin.nodes() == {here: 0, there: 1}, "the sessions of both nodes", 20)
        # It may ask, and nothing is done.
        for event in ("emit", "join", "_disconnect", "message:send"):
            await admin.sio.emit(event, ("/", None, "x"), namespace="/admin")
        seen = len(admin.told)
        await admin.changes.until(lambda: len(admin.told) > seen + 2, "more figures", 20)
        await conversation.send("another secret")
        assert {event for event, _ in admin.told} == {"config", "server_stats"}
        assert "secret" not in repr(admin.told)
    finally:
        await asyncio.gather(admin.sio.disconnect(), ann.close())


async def test_attempts_to_guess_the_account_are_limited_counted_logged_and_end_their_connection(
    start_cluster: ClusterFactory,
) -> None:
    account = f"{ACCOUNT['username']}:{ACCOUNT['password']}"
    limit = {"RATE_LIMIT_ADDRESS": "40/hour", "TRUSTED_PROXIES": "1"}
    cluster = await start_cluster(1, ADMIN_UI=account, **limit)
    (url,) = cluster.urls
    codes = []
    for _ in range(6):
        guessing = Admin()
        refused: list[Any] = []
        guessing.sio.on("connect_error", refused.append, namespace="/admin")
        with pytest.raises(socketio.exceptions.ConnectionError):
            await guessing.connect(url, {**ACCOUNT, "password": "a guess"}, {"X-Forwarded-For": "8.8.8.8"})
        codes.append(refused[0]["data"]["code"])
    assert codes == ["token_invalid"] * 4 + ["rate_limited"] * 2
    with pytest.raises(socketio.exceptions.ConnectionError):  # the right one is not tried either
        await Admin().connect(url, ACCOUNT, {"X-Forwarded-For": "8.8.8.8"})
    # A connection that has a session as well is closed, too.
    _, token = await guest_token(url, "Ann")
    raw = RawClient()
    await raw.connect(url, {"token": token})
    await raw.sio.eio.send('0/admin,{"username":"ops","password":"a guess"}')
    await raw.closed(20.0)
    elsewhere = Admin()
    await elsewhere.connect(url, ACCOUNT, {"X-Forwarded-For": "9.9.9.9"})
    await elsewhere.sio.disconnect()
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        figures = await response.text()
    assert 'roomgraph_refused_handshakes_total{code="token_invalid"} 5.0' in figures
    assert 'roomgraph_refused_handshakes_total{code="rate_limited"} 3.0' in figures
    warnings = (cluster.data_dir / "logs" / f"node-{cluster.ports[0]}.log").read_text()
    assert warnings.count("Admin UI was refused: code=token_invalid") == 1
    assert "Admin UI was refused: code=token_invalid address=8.8.8.8" in warnings, "and not the proxy's"


def test_only_texts_are_compared_with_the_account() -> None:
    async def no_nodes() -> list[NodeFigures]:
        return []

    admin = AdminUi("None:None", no_nodes)
    with pytest.raises(Refused):
        admin.check({"username": None, "password": None}, SimpleNamespace(remote="8.8.8.8"))
    admin.check({"username": "None", "password": "None"}, SimpleNamespace(remote="8.8.8.8"))


async def test_without_an_account_there_is_no_such_namespace(start_cluster: ClusterFactory) -> None:
    cluster = await start_cluster(1)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await Admin().connect(cluster.urls[0], {"username": "", "password": ""})
