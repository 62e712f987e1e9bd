"""The page below a path of its address, and behind proxies that do not pass what they should."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from sio_clients import guest_token
from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, say, until
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.naive_proxy import NaiveProxy

PATH = "/chat"
KEY = "the-key-of-this-stage"


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Three nodes below a path, which have a stage."""
    settings = {**NODE_SETTINGS, "BASE_PATH": PATH, "STAGE_KEY": KEY}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings) as running:
        yield running


async def test_a_page_below_a_path_sends_receives_and_moves_to_another_node(
    cluster: LocalCluster, open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    assert page.url.startswith(f"{cluster.urls[0]}/")
    texts = "state.open.entries.filter((e) => e.type === 'message').map((e) => e.data.text).join()"
    await say(page, "hello")
    await until(page, f"{texts} === 'hello'")
    await plans.send("and hello to you")
    await until(page, f"{texts} === 'hello,and hello to you'")
    await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
    try:
        await say(page, "still here")
        await until(page, f"{texts} === 'hello,and hello to you,still here'")
        assert await look(page, "state.node") != str(cluster.ports[0])
    finally:
        await cluster.start_node(cluster.ports[0])


async def test_a_guest_enters_below_the_path_and_the_page_keeps_its_own_apart(
    cluster: LocalCluster, browser: Browser
) -> None:
    """Two servers may have paths of one origin: neither page reads what the other keeps."""
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(cluster.urls[1])
    await page.fill("#as-guest input", "Ann")
    await page.click("#as-guest button")
    await until(page, "state.link === 'online'")
    await page.wait_for_url(f"{cluster.urls[1]}/#c=*")  # a conversation is ready
    names = await page.evaluate("[...Object.keys(sessionStorage), ...Object.keys(localStorage)]")
    assert names
    assert all(name.startswith("roomgraph/chat.") for name in names)
    databases = "indexedDB.databases().then((all) => all.map(({ name }) => name).join())"
    await until(page, f"(await {databases}) === 'roomgraph/chat'")
    await page.reload()
    await until(page, "state.link === 'online'")
    await context.close()


async def test_the_stage_below_a_path_shows_its_three_devices_online(
    cluster: LocalCluster, browser: Browser
) -> None:
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{cluster.urls[0]}/stage#key={KEY}")
    for device in ("laptop", "phone", "terminal"):
        await expect(page.frame_locator(f"#{device} iframe").locator("body[data-link=online]")).to_be_attached(
            timeout=20_000
        )
    await context.close()


@pytest.fixture(scope="module")
async def own_origin_only(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """A node for which no origin is listed."""
    settings = {**NODE_SETTINGS, "ALLOWED_ORIGINS": "", "NODE_URLS": ""}
    async with cluster_in(tmp_path_factory.mktemp("node"), settings, nodes=1) as running:
        yield running


@pytest.mark.parametrize(
    ("locale", "drops", "words"),
    [
        ("en-GB", ("host",), ("have the proxy pass Host", "ALLOWED_ORIGINS")),
        ("zh-CN", ("host",), ("代理传递 Host", "ALLOWED_ORIGINS")),
        ("en-GB", ("upgrade", "connection"), ("WebSocket",)),
    ],
)
async def test_behind_a_proxy_that_passes_too_little_page_and_log_say_what_is_missing(
    own_origin_only: LocalCluster, browser: Browser, locale: str, drops: tuple[str, ...], words: tuple[str, ...]
) -> None:
    cluster = own_origin_only
    _, token = await guest_token(cluster.urls[0], "Ann")
    context = await browser.new_context(locale=locale)
    page = await context.new_page()
    async with NaiveProxy(cluster.ports[0], drops).serving() as proxy:
        await page.goto(f"{proxy.url}/?token={token}")
        await expect(page.locator("#refusal")).to_be_visible(timeout=20_000)
        for word in words:
            await expect(page.locator("#why")).to_contain_text(word)
        await context.close()
    log = (cluster.data_dir / "logs" / f"node-{cluster.ports[0]}.log").read_text()
    said = "came without Upgrade: websocket" if "upgrade" in drops else f"a page of {proxy.url} was refused"
    (line,) = [line for line in log.splitlines() if said in line]
    assert "have the proxy pass" in line
