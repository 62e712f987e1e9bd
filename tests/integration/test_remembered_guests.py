"""A browser remembers its guest on every node of a host, and forgets one that was signed out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import Morsel
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from redis.asyncio import Redis

from sio_server.gateway.http.guest import GuestTokens
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.remembered_guests import RememberedGuests
from sio_server.local.cluster import LocalCluster
from sio_server.store.scripts import Scripts
from sio_server.users.sign_out import RefusedTokens
from tests.conftest import SECRET, RawClient

Browser = aiohttp.ClientSession


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """What keeps cookies, as a browser does: by host, whatever the port."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def enter(browser: Browser, url: str, device_id: str = "tab-1") -> dict[str, Any]:
    async with browser.post(f"{url}/api/guest", json={"name": "Ann", "device_id": device_id}) as response:
        assert response.status == 200
        return dict(await response.json())


async def renew(browser: Browser, url: str, **fields: str) -> dict[str, Any]:
    async with browser.post(f"{url}/api/guest/renew", json=fields) as response:
        assert response.status != 200 or response.headers["Cache-Control"] == "no-store"
        return dict(await response.json())


async def remembered(browser: Browser, url: str) -> dict[str, Any] | None:
    async with browser.get(f"{url}/api/guest/remembered") as response:
        assert response.status == 200
        answer = await response.json()
    assert (answer.pop("guests_allowed"), answer.pop("kept_s") > 0) == (True, True)
    return answer if answer["user_id"] else None


def cookie_of(browser: Browser) -> Morsel[str]:
    (cookie,) = browser.cookie_jar
    return cookie


async def test_a_guest_is_the_same_user_on_every_node_and_the_browser_s_scripts_see_no_cookie(
    cluster: LocalCluster, browser: Browser, raw_client
) -> None:
    assert await remembered(browser, cluster.urls[1]) is None
    ann = await enter(browser, cluster.urls[0])
    cookie = cookie_of(browser)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert await remembered(browser, cluster.urls[1]) == {"user_id": ann["user_id"], "name": "Ann"}
    again = await renew(browser, cluster.urls[2], device_id="tab-2")
    assert (again["user_id"], again["name"]) == (ann["user_id"], "Ann")
    opened = await raw_client(1, token=again["token"], device_id="tab-2")
    assert (await opened.event("session:opened"))["user_id"] == ann["user_id"]


async def test_what_a_browser_keeps_opens_no_session(cluster: LocalCluster, browser: Browser) -> None:
    await enter(browser, cluster.urls[0])
    kept = cookie_of(browser).value
    async with browser.get(
        f"{cluster.urls[0]}/api/status", headers={"Authorization": f"Bearer {kept}"}
    ) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "token_invalid")


async def test_a_forgotten_guest_is_remembered_nowhere(cluster: LocalCluster, browser: Browser) -> None:
    ann = await enter(browser, cluster.urls[0])
    for user_id, known in (("another", True), (ann["user_id"], False)):
        async with browser.post(f"{cluster.urls[1]}/api/guest/forget", json={"user_id": user_id}) as response:
            assert response.status == 200
        assert bool(list(browser.cookie_jar)) == known
    assert not list(browser.cookie_jar)
    assert await remembered(browser, cluster.urls[0]) is None
    assert (await renew(browser, cluster.urls[0]))["error"]["code"] == "token_missing"


async def test_a_browser_that_was_signed_out_elsewhere_is_no_longer_known(
    cluster: LocalCluster, browser: Browser, raw_client
) -> None:
    """Under no device id: not by its cookie, nor by the token that it had."""
    ann = await enter(browser, cluster.urls[0])
    await (await raw_client(1, token=ann["token"], device_id="tab-1")).sio.disconnect()
    laptop: RawClient = await raw_client(2, token=ann["token"], device_id="laptop")
    assert (await laptop.call("device:sign_out", {"device_id": "tab-1"}))["ok"]
    assert await remembered(browser, cluster.urls[0]) is None
    for fields in ({}, {"device_id": "tab-2"}):
        assert (await renew(browser, cluster.urls[0], **fields))["error"]["code"] == "token_missing"
        refused = await renew(browser, cluster.urls[0], token=ann["token"], **fields)
        assert refused["error"]["code"] == "token_revoked"


async def test_a_guest_whose_tokens_are_revoked_is_no_longer_known(
    cluster: LocalCluster, browser: Browser, redis: Redis
) -> None:
    ann = await enter(browser, cluster.urls[0])
    await RefusedTokens(redis, Scripts(redis)).revoke(ann["user_id"])
    assert await remembered(browser, cluster.urls[0]) is None
    assert (await renew(browser, cluster.urls[0], token=ann["token"]))["error"]["code"] == "token_revoked"


async def test_only_guests_tokens_are_renewed_and_only_before_they_end(
    cluster: LocalCluster, browser: Browser, new_id: str
) -> None:
    tokens = Tokens(SECRET, "roomgraph")
    operator = tokens.issue(new_id, "Ann", 60, operator=True)
    assert (await renew(browser, cluster.urls[0], token=operator))["error"]["code"] == "not_allowed"
    expired = tokens.issue(new_id, "Ann", -5, more={"roomgraph_guest": ""})
    assert (await renew(browser, cluster.urls[0], token=expired))["error"]["code"] == "token_expired"


async def test_a_page_of_another_origin_uses_no_guest_of_the_browser(
    cluster: LocalCluster, browser: Browser
) -> None:
    await enter(browser, cluster.urls[0])
    for path in ("/api/guest/renew", "/api/guest/forget", "/api/guest"):
        url = cluster.urls[0] + path
        async with browser.post(url, json={}, headers={"Origin": "https://evil.example.com"}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "origin_not_allowed")
            assert "Access-Control-Allow-Credentials" not in response.headers
    for path in ("/api/guest/renew", "/api/guest/forget"):
        # What a form of another site can send.
        async with browser.post(
            cluster.urls[0] + path, data="{}", headers={"Content-Type": "text/plain"}
        ) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "invalid_payload")
    assert await remembered(browser, cluster.urls[0])


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookie_is_for_https_where_the_page_is(scheme: str) -> None:
    tokens = Tokens(SECRET, "roomgraph")
    remembered_guests = RememberedGuests(tokens, Mock(), secret="s", days=1)
    guests = GuestTokens(tokens, remembered_guests, allowed=True, token_ttl_s=60, base_path="/chat")
    request = make_mocked_request("POST", "/api/guest", headers={"Origin": f"{scheme}://chat.example.com"})
    (cookie,) = guests.answer(request, "ann", "Ann", []).cookies.values()
    assert (bool(cookie["secure"]), cookie["path"]) == (scheme == "https", "/chat/api/guest")
