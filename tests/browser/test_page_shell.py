"""The page opens and goes on without the node that it came from, and a person stays the same one on every node."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, expect

from sio_clients.conversation import Conversation
from sio_server.gateway.http import assets
from sio_server.gateway.http.application import make_application
from sio_server.gateway.http.cors import Cors
from sio_server.gateway.http.hosts import AllowedHosts
from sio_server.gateway.http.page import PagePolicy, PageRoutes
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.transport.origins import AllowedOrigins
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, say, until
from tests.conftest import NODE_SETTINGS, SECRET, ClientFactory, cluster_in

TOKENS = Tokens(SECRET, "roomgraph")
READY = "navigator.serviceWorker.ready.then(() => caches.keys()).then((names) => names.length)"
TEXTS = "state.open?.entries.filter((e) => e.type === 'message').map((e) => e.data.text).join()"


@pytest.fixture(scope="module", params=["", "/chat"], ids=["at the root", "below a path"])
async def cluster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[LocalCluster]:
    """Two nodes, of which each test may kill the first one."""
    settings = {**NODE_SETTINGS, "BASE_PATH": request.param}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings, nodes=2) as running:
        yield running


@pytest.fixture
async def plans(new_client: ClientFactory, new_id: str) -> Conversation:
    """A conversation that anyone may join, of a client at the second node."""
    bob = await new_client("Bob", node=1)
    return await bob.create("Plans", conversation_id=new_id, access="open", agent="off")


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-GB")
    yield context
    await context.close()


async def enter(page: Page, url: str, name: str = "Ann") -> str:
    """Become a guest: the user id."""
    await page.goto(url)
    await page.fill("#as-guest input", name)
    await page.click("#as-guest button.primary")
    await until(page, "state.link === 'online'")
    return str(await look(page, "state.me"))


async def test_without_its_node_a_page_is_loaded_again_goes_on_and_signs_out(
    cluster: LocalCluster, context: BrowserContext, plans: Conversation
) -> None:
    page = await context.new_page()
    me = await enter(page, f"{cluster.urls[0]}/#c={plans.id}")
    await say(page, "before")
    assert await page.evaluate(READY) == 1
    await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
    try:
        await page.reload()
        await until(page, f"state.link === 'online' && {TEXTS} === 'before'")
        assert await look(page, "[state.me, state.node]") == [me, str(cluster.ports[1])]
        await say(page, "after")
        await until(page, f"{TEXTS} === 'before,after'")
        await page.click("#my-button")
        await page.click("#sign-out")
        await page.click("#ask-yes")
        await expect(page.locator("#as-guest")).to_be_visible(timeout=20_000)
        await expect(page.locator("#guests button")).to_have_count(0)
        await page.fill("#as-guest input", "Carl")
        await page.click("#as-guest button.primary")
        await until(page, "state.link === 'online' && state.name === 'Carl'")
    finally:
        await cluster.start_node(cluster.ports[0])


async def test_a_guest_is_the_same_user_on_another_node(cluster: LocalCluster, context: BrowserContext) -> None:
    page = await context.new_page()
    me = await enter(page, cluster.urls[0])
    other = await context.new_page()
    await other.goto(cluster.urls[1])
    await other.click("#guests button:has-text('Continue as Ann')")
    await until(other, f"state.link === 'online' && state.me === '{me}'")
    await other.click("#my-button")
    await other.click("#sign-out")
    await other.click("#ask-yes")
    await expect(other.locator("#as-guest")).to_be_visible(timeout=20_000)
    await expect(other.locator("#guests button")).to_have_count(0)
    third = await context.new_page()
    await third.goto(cluster.urls[1])
    await third.wait_for_load_state("networkidle")
    await expect(third.locator("#guests button")).to_have_count(0)


async def test_a_guest_whose_token_has_expired_stays_the_same_user(
    cluster: LocalCluster, context: BrowserContext
) -> None:
    page = await context.new_page()
    me = await enter(page, cluster.urls[0])
    expired = TOKENS.issue(me, "Ann", -5, more={"roomgraph_guest": ""})
    other = await context.new_page()
    await other.goto(f"{cluster.urls[1]}/?token={expired}")
    await until(other, f"state.link === 'online' && state.me === '{me}'")
    soon = TOKENS.issue(me, "Ann", 4, more={"roomgraph_guest": ""})
    third = await context.new_page()
    await third.goto(f"{cluster.urls[1]}/?token={soon}")
    await until(third, "state.link === 'online'")
    stored = "(await import(new URL('js/storage.js', location))).stored.token"
    await until(third, f"{stored} !== '{soon}' && state.link === 'online' && state.me === '{me}'")


async def test_a_code_signs_a_device_in_after_it_was_asked(
    cluster: LocalCluster, open_page: PageFactory, context: BrowserContext
) -> None:
    laptop = await open_page(0, "Ann")
    ask = "client().request('device:link', { request_id: crypto.randomUUID() })"
    link = await laptop.evaluate(
        f"import(new URL('js/client.js', location)).then(({{ client }}) => {ask}).then((answer) => answer.code)"
    )
    phone = await context.new_page()
    await phone.goto(f"{cluster.urls[1]}/#device={link}")
    await expect(phone.locator("#use-link")).to_be_visible()
    assert "#" not in phone.url
    await phone.click("#use-link")
    await until(phone, "state.link === 'online'")
    assert await look(phone, "state.me") == await look(laptop, "state.me")
    await until(laptop, "state.devices.filter((one) => one.online).length === 2")
    other = await context.browser.new_page() if context.browser else None
    assert other
    await other.goto(f"{cluster.urls[1]}/#device={link}")
    await other.click("#use-link")
    await expect(other.locator("#signin-error")).to_contain_text("used already")
    await expect(other.locator("#as-guest")).to_be_visible()
    await other.close()


async def test_a_new_version_takes_over_with_the_next_page(
    context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its node is gone at once: nothing is mixed, and what is old is forgotten."""
    web = shutil.copytree(assets.WEB, tmp_path / "web", symlinks=True)
    monkeypatch.setattr(assets, "WEB", web)
    monkeypatch.setattr(assets, "LOOK_AGAIN_S", -1.0)
    files = assets.Assets()
    application = make_application(
        [PageRoutes(files)],
        hosts=AllowedHosts(()),
        cors=Cors(AllowedOrigins(())),
        policy=PagePolicy((), files, stage=False),
    )
    page = await context.new_page()
    async with TestServer(application) as server:
        await page.goto(str(server.make_url("/")))
        await page.evaluate("navigator.serviceWorker.register('sw.js')")
        assert await page.evaluate(READY) == 1
        versions = [files.current().hash]
        for number in range(2):
            (web / "js" / "state.js").write_text(f"// version {number}\n{(web / 'js' / 'state.js').read_text()}")
            await page.reload()
            versions.append(files.current().hash)
            assert versions[-1] in str(await page.locator("script[type=module]").get_attribute("src"))
            kept = f"caches.keys().then((names) => names.some((name) => name.endsWith('{versions[-1]}')))"
            active = "navigator.serviceWorker.ready.then((known) => !known.installing && !known.waiting)"
            await page.evaluate("navigator.serviceWorker.ready.then((known) => known.update())")
            await until(page, f"(await {kept}) && (await {active})")
    await page.reload()
    await expect(page.locator("#as-guest")).to_be_visible()
    assert versions[-1] in str(await page.locator("script[type=module]").get_attribute("src"))
    names = await page.evaluate("caches.keys()")
    assert [name.rpartition(" ")[2] for name in names] == versions[1:]
