"""Exports are whole, in pages, and say that they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sio_server.data.export import PAGE, Exports
from sio_server.local.cluster import LocalCluster
from sio_server.protocol.errors import Refused
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.integration.test_user_deletion import ANN, BOB, Place, filled, place, server
from tests.waiting import within

__all__ = ["place", "server"]  # fixtures

KEY = "a-service-key-that-only-these-tests-use"


async def lines(exported: AsyncIterator[str]) -> list[dict[str, Any]]:
    found = [line async for line in exported]
    assert all(line.endswith("\n") for line in found)
    return [json.loads(line) for line in found]


@pytest.fixture
def exports(place: Place) -> Exports:
    return Exports(place.redis, place.log, place.members)


async def test_a_conversation_is_exported_with_members_marks_and_all_entries(
    place: Place, exports: Exports
) -> None:
    conversation = await place.create(ANN, BOB)
    for number in range(PAGE + 5):
        await place.send(conversation, ANN, f"text {number}")
    found = await lines(exports.conversation(conversation))
    assert [one["kind"] for one in found[:3]] == ["conversation", "member", "member"]
    entries = [one["entry"] for one in found if one["kind"] == "entry"]
    assert entries == await place_entries(place, conversation)
    assert found[-1]["kind"] == "end"
    with pytest.raises(Refused):
        await lines(exports.conversation("none"))


async def place_entries(place: Place, conversation: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := (await place.log.page(conversation, "bob", after=len(found), limit=200)).entries:
        found += [json.loads(text) for _, text in page]
    return found


async def test_a_user_is_exported_with_what_the_user_has_said_and_nothing_of_others(
    place: Place, exports: Exports
) -> None:
    shared, bobs, alone = await filled(place)
    found = await lines(exports.user(ANN.user_id))
    text = json.dumps(found)
    assert "public" not in text
    for said in ("secret 2", "edited secret", "secret words", "a secret diary", "unsent"):
        assert said in text
    about = {one["conversation_id"]: one["role"] for one in found if one["kind"] == "membership"}
    assert about == {shared: "owner", bobs: None, alone: "owner"}
    assert (found[0]["kind"], found[-1]["kind"]) == ("user", "end")
    assert [one["kind"] for one in await lines(exports.user("nobody"))] == ["user", "end"]


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    settings = {**NODE_SETTINGS, "SERVICE_KEYS": f"tests:{KEY}", "GRAPH": "echo"}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings, nodes=1) as running:
        yield running


async def test_the_api_exports_and_deletes_a_user(served: LocalCluster) -> None:
    base = served.urls[0] + "/api/v1"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        user = {"user_id": "ann", "name": "Ann"}
        async with http.post(f"{base}/conversations", json={"user": user, "agent": "off"}) as made:
            where = (await made.json())["conversation_id"]
        async with http.post(f"{base}/conversations/{where}/messages", json={"user": user, "text": "hi"}):
            pass
        async with http.get(f"{base}/conversations/{where}/export") as response:
            assert (response.status, response.content_type) == (200, "application/x-ndjson")
            found = [json.loads(line) for line in (await response.text()).splitlines()]
        assert [one["kind"] for one in found] == ["conversation", "member", "entry", "entry", "end"]
        async with http.get(f"{base}/users/ann/export") as response:
            assert "hi" in await response.text()
        async with http.get(f"{base}/conversations/none/export") as response:
            assert response.status == 404
        async with aiohttp.ClientSession() as keyless, keyless.get(f"{base}/users/ann/export") as response:
            assert response.status == 401
        async with http.delete(f"{base}/users/ann") as response:
            assert (response.status, await response.json()) == (202, {"user_id": "ann", "pending": True})
        async with within(60.0, "a node has deleted the user"):
            while True:
                async with http.get(f"{base}/users/ann/deletion") as response:
                    if not (await response.json())["pending"]:
                        break
                await asyncio.sleep(0.1)
        async with http.get(f"{base}/conversations/{where}") as response:
            assert response.status == 404
