"""A code of a device signs another one in: once, for a short time, and not after it was withdrawn."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from sio_server.gateway.sessions.auth import Tokens
from sio_server.local.cluster import LocalCluster
from sio_server.store.keys import user_device_link
from sio_server.store.scripts import Scripts
from sio_server.users.device_links import LINK_S
from sio_server.users.sign_out import RefusedTokens
from tests.conftest import SECRET, RawClient

Use = Any


@pytest.fixture
async def use(cluster: LocalCluster) -> AsyncIterator[Use]:
    """Use a code at a node: `(status, answer)`."""
    async with aiohttp.ClientSession() as http:

        async def use(code: str, node: int = 0, **more: str) -> tuple[int, dict[str, Any]]:
            url = f"{cluster.urls[node]}/api/device"
            async with http.post(url, json={"code": code, **more}) as response:
                return response.status, await response.json()

        yield use


def code_of(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


async def test_a_code_signs_one_device_in_as_the_same_user_which_its_others_see(raw_client, use) -> None:
    laptop: RawClient = await raw_client(0, name="Ann", device_id="laptop")
    link = await laptop.call("device:link", {})
    assert (link["ok"], link["expires_in"]) == (True, LINK_S)
    status, phone = await use(link["code"], 1, device_name="Phone")
    assert (status, phone["user_id"], phone["name"]) == (200, laptop.user_id, "Ann")
    listed = await laptop.event("devices:changed")
    assert phone["device_id"] in {one["device_id"] for one in listed["devices"] if one["device_name"] == "Phone"}
    client = await raw_client(2, token=phone["token"], device_id=phone["device_id"])
    assert (await client.event("session:opened"))["user_id"] == laptop.user_id
    assert code_of(await use(link["code"], 2)) == (404, "not_found")


async def test_of_many_who_use_a_code_at_once_one_is_signed_in(raw_client, use) -> None:
    laptop = await raw_client(0)
    code = (await laptop.call("device:link", {}))["code"]
    answers = await asyncio.gather(*(use(code, number % 3) for number in range(9)))
    assert sorted(status for status, _ in answers) == [200, *[404] * 8]


async def test_a_repeated_request_gets_the_same_code_and_another_one_a_new_one(raw_client) -> None:
    laptop = await raw_client(0)
    first = await laptop.call("device:link", {"request_id": "one"})
    assert await laptop.call("device:link", {"request_id": "one"}) == first
    assert (await laptop.call("device:link", {"request_id": "two"}))["code"] != first["code"]


async def test_a_code_is_kept_as_a_hash_only_and_expires(raw_client, redis: Redis) -> None:
    laptop = await raw_client(0)
    code = (await laptop.call("device:link", {}))["code"]
    key = user_device_link(laptop.user_id, hashlib.sha256(code.encode()).hexdigest())
    assert LINK_S * 1000 - 60_000 < await redis.pttl(key) <= LINK_S * 1000
    secret = code.rpartition(".")[2]
    assert len(secret) >= 128 / 6
    kinds = {"string": redis.get, "hash": redis.hgetall}
    async for one in redis.scan_iter(f"{{rg:u:{laptop.user_id}}}:*"):
        kept = await kinds[kind](one) if (kind := await redis.type(one)) in kinds else ""
        assert secret not in one + str(kept), one


async def test_a_withdrawn_code_is_refused(raw_client, use) -> None:
    laptop = await raw_client(0)
    code = (await laptop.call("device:link", {}))["code"]
    assert (await laptop.call("device:unlink", {"code": code}))["withdrawn"] is True
    assert code_of(await use(code)) == (404, "not_found")
    assert (await laptop.call("device:unlink", {"code": code}))["withdrawn"] is False


async def test_nobody_withdraws_the_code_of_another_user(raw_client, use) -> None:
    laptop, eve = await raw_client(0), await raw_client(0, name="Eve")
    code = (await laptop.call("device:link", {}))["code"]
    assert (await eve.call("device:unlink", {"code": code}))["withdrawn"] is False
    assert (await use(code))[0] == 200


@pytest.mark.parametrize("revoked", [False, True], ids=["signed out", "revoked"])
async def test_the_codes_of_a_device_that_is_signed_out_are_refused(
    raw_client, use, redis: Redis, revoked: bool
) -> None:
    laptop = await raw_client(0, device_id="laptop")
    phone = await raw_client(1, token=laptop.token, device_id="phone")
    code = (await laptop.call("device:link", {}))["code"]
    if revoked:
        await RefusedTokens(redis, Scripts(redis)).revoke(laptop.user_id)
    else:
        assert (await phone.call("device:sign_out", {"device_id": "laptop"}))["ok"]
    assert code_of(await use(code)) == (404, "not_found")


async def test_a_device_of_a_user_with_a_token_stays_no_longer_than_the_first_one(raw_client, use, new_id) -> None:
    laptop = await raw_client(0, token=Tokens(SECRET, "roomgraph").issue(new_id, "Ann", 300, operator=True))
    status, phone = await use((await laptop.call("device:link", {}))["code"])
    assert status == 200
    assert 0 < phone["expires_in"] <= 300
    identity = Tokens(SECRET, "roomgraph").check(phone["token"])
    assert (identity.user_id, identity.is_operator, identity.guest_device) == (new_id, False, None)


@pytest.mark.parametrize("code", ["", "x", "ann.short", "ann." + "A" * 32, "." + "A" * 32])
async def test_what_is_no_code_gets_no_token(use, code: str) -> None:
    status, answer = await use(code)
    assert (status, answer["error"]["code"]) in {(400, "invalid_payload"), (404, "not_found")}


async def test_a_page_of_another_origin_uses_no_code(cluster: LocalCluster, raw_client) -> None:
    code = (await (await raw_client(0)).call("device:link", {}))["code"]
    async with aiohttp.ClientSession(headers={"Origin": "https://evil.example.com"}) as http:
        async with http.post(f"{cluster.urls[0]}/api/device", json={"code": code}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "origin_not_allowed")
