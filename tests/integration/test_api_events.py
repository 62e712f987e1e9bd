"""Server-sent events of a conversation: in order, caught up from any position on any node."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, cluster_in

KEY = "a-service-key-that-only-these-tests-use"
HEADERS = {"Authorization": f"Bearer {KEY}"}
SETTINGS = {**NODE_SETTINGS, "SERVICE_KEYS": f"shop:{KEY}"}


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes that serve the API."""
    async with cluster_in(tmp_path_factory.mktemp("cluster"), SETTINGS, nodes=2) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        yield session


class Events:
    """The events of a stream, as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> tuple[str, Any] | None:
        """The next event and its data; None at the end."""
        name = ""
        async with asyncio.timeout(10):
            async for line in self.response.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    self.last_id = value
                elif field == "data":
                    return name, json.loads(value)
        return None

    async def until(self, name: str, **fields: Any) -> list[tuple[str, Any]]:
        """The events up to the first of this name whose data has these fields."""
        came = []
        while event := await self.next():
            came.append(event)
            if event[0] == name and event[1].items() >= fields.items():
                return came
        raise AssertionError(f"the stream ended after {came}")


async def follow(
    http: aiohttp.ClientSession, url: str, where: str, last_id: str = ""
) -> tuple[Events, dict[str, Any]]:
    """A stream, and the state with which it begins."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    response = await http.get(f"{url}/api/v1/conversations/{where}/events", headers=headers)
    assert response.status == 200, await response.text()
    assert response.content_type == "text/event-stream"
    events = Events(response)
    first = await events.next()
    assert first is not None
    assert first[0] == "conversation:synced"
    return events, first[1]


async def post(http: aiohttp.ClientSession, url: str, path: str, body: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    async with http.post(f"{url}/api/v1/conversations{path}", json=body, headers=headers) as response:
        assert response.status < 300, await response.text()
        return dict(await response.json())


async def create(http: aiohttp.ClientSession, url: str) -> str:
    return str((await post(http, url, "", {"user": {"user_id": "ann"}, "agent": "off"}))["conversation_id"])


async def test_a_stream_has_every_event_of_the_conversation_in_order(
    http: aiohttp.ClientSession, cluster: LocalCluster
) -> None:
    near, far = cluster.urls
    where = await create(http, near)
    events, synced = await follow(http, near, where)
    assert (synced["verdict"], [e["type"] for e in synced["entries"]]) == ("snapshot", ["conversation_created"])
    for number in range(5):
        await post(http, far, f"/{where}/messages", {"text": str(number)})
    run_id = (await post(http, far, f"/{where}/runs", {"text": "hello"}))["run_id"]
    came = await events.until("entry:appended", type="answer")
    assert [data["n"] for _, data in came] == list(range(synced["n"] + 1, synced["n"] + 1 + len(came)))
    texts = [data["data"]["text"] for name, data in came if name == "entry:appended"]
    assert texts[:6] == ["0", "1", "2", "3", "4", "hello"]
    assert {data["run_id"] for name, data in came if name == "run:written"} == {run_id}
    events.response.close()


async def test_a_client_that_returns_gets_exactly_what_it_missed_on_any_node(
    http: aiohttp.ClientSession, cluster: LocalCluster
) -> None:
    near, far = cluster.urls
    where = await create(http, near)
    events, _ = await follow(http, near, where)
    await post(http, near, f"/{where}/messages", {"text": "seen"})
    await events.until("entry:appended")
    events.response.close()
    for number in range(250):  # more than one page
        await post(http, cluster.urls[number % 2], f"/{where}/messages", {"text": str(number)})
    events, synced = await follow(http, far, where, events.last_id)
    assert (synced["verdict"], synced["more"]) == ("resumed", True)
    missed = synced["entries"]
    while synced["more"]:
        event = await events.next()
        assert event is not None
        synced = event[1]
        missed += synced["entries"]
    assert [entry["data"]["text"] for entry in missed] == [str(number) for number in range(250)]
    await post(http, near, f"/{where}/messages", {"text": "live"})
    (last,) = await events.until("entry:appended")
    assert last[1]["data"]["text"] == "live"
    events.response.close()


async def test_the_stream_of_a_deleted_conversation_ends_and_is_not_found_again(
    http: aiohttp.ClientSession, cluster: LocalCluster
) -> None:
    near, far = cluster.urls
    where = await create(http, near)
    events, _ = await follow(http, near, where)
    async with http.delete(f"{far}/api/v1/conversations/{where}") as response:
        assert (await response.json())["deleted"] is True
    assert await events.next() is None
    async with http.get(f"{near}/api/v1/conversations/{where}/events") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "unknown_conversation")


async def test_a_stream_continues_when_its_node_had_lost_the_bus(
    http: aiohttp.ClientSession, cluster: LocalCluster
) -> None:
    near, far = cluster.urls
    where = await create(http, near)
    events, _ = await follow(http, near, where)
    await cluster.cut_bus()
    told = await events.next()
    assert told is not None
    assert (told[0], told[1]["verdict"], told[1]["entries"]) == ("conversation:synced", "resumed", [])
    await post(http, far, f"/{where}/messages", {"text": "live"})
    (last,) = await events.until("entry:appended")
    assert last[1]["data"]["text"] == "live"
    events.response.close()


@pytest.mark.parametrize("wrong", ["nonsense", "epoch:x", "e:-1", ":5"])
async def test_an_id_that_is_none_is_refused(
    http: aiohttp.ClientSession, cluster: LocalCluster, wrong: str
) -> None:
    where = await create(http, cluster.urls[0])
    headers = {"Last-Event-ID": wrong}
    async with http.get(f"{cluster.urls[0]}/api/v1/conversations/{where}/events", headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_payload")


@pytest.mark.faults
async def test_a_node_that_stops_ends_its_streams(http: aiohttp.ClientSession, start_cluster: Any) -> None:
    cluster = await start_cluster(1, SERVICE_KEYS=f"shop:{KEY}", TRANSPORT="stock")
    where = await create(http, cluster.urls[0])
    events, _ = await follow(http, cluster.urls[0], where)
    await cluster.signal_node(cluster.ports[0], signal.SIGTERM)
    assert await events.next() is None
