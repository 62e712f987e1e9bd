"""Signing out leaves nothing in the tab, and a page that opens without a connection shows what it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from sio_clients.conversation import Conversation
from sio_server.gateway.sessions.auth import Tokens
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until
from tests.conftest import SECRET

pytestmark = pytest.mark.faults  # for their length; they break nothing

TOKENS = Tokens(SECRET, "roomgraph")
# Resolves once so many messages are in the store.
STORED = """async (n) => {
  const { step } = await (await import("/js/lazy.js")).lazy.outboxStore.load();
  for (let kept = []; kept.length < n; ) await step((all) => (kept = all));
}"""
KEPT = "Object.entries({ ...localStorage, ...sessionStorage }).join()"


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-GB")
    yield context
    await context.close()


async def enter(page: Page, name: str) -> None:
    await expect(page.locator("#as-guest")).to_be_visible(timeout=20_000)
    await page.fill("#as-guest input", name)
    await page.press("#as-guest input", "Enter")
    await until(page, f"state.link === 'online' && state.name === '{name}'")


@pytest.mark.parametrize("way", ["here", "elsewhere", "its token ends"])
async def test_the_next_person_at_a_tab_is_in_no_conversation_of_the_one_before(
    *, cluster: LocalCluster, open_page: PageFactory, plans: Conversation, way: str
) -> None:
    token = TOKENS.issue("ann-short", "Ann", 6) if way == "its token ends" else ""
    page = await open_page(0, "Ann", token=token, conversation=plans.id)
    await say(page, "a secret")
    await until(page, "state.open.entries.some((one) => one.data.text === 'a secret')")
    await page.evaluate("location.hash = ''")
    await page.locator("#list a").click()
    if way == "here":
        await page.click("#my-button")
        await page.click("#sign-out")
        await page.click("#ask-yes")
    elif way == "elsewhere":
        other = await open_page(1, token=page.token)  # type: ignore[attr-defined]
        device = await look(page, "state.devices.find((one) => one.here).device_id")
        ask = f"request('device:sign_out', {{ request_id: 'out-1', device_id: '{device}' }})"
        await other.evaluate(f"import('/js/client.js').then(({{ client }}) => client().{ask}).then(() => 0)")
    await expect(page.locator("#as-guest")).to_be_visible(timeout=20_000)
    assert "#" not in page.url
    assert plans.id not in await page.evaluate(KEPT)
    await enter(page, "Zoe")
    await until(page, "state.open?.loaded")
    assert plans.id not in await look(page, "[...state.conversations.keys()]")
    for _ in range(2):  # nor through the tab's history
        await page.evaluate("new Promise((done) => { addEventListener('hashchange', done); history.back(); })")
        await until(page, "state.link === 'online'")
        assert plans.id not in await look(page, "[...state.conversations.keys()]")
        assert plans.id not in page.url
    await expect(page.locator("#app")).not_to_contain_text("a secret")


async def test_a_link_that_was_followed_just_now_outlives_a_refused_token(
    *, cluster: LocalCluster, context: BrowserContext, plans: Conversation
) -> None:
    page = await context.new_page()
    expired = TOKENS.issue("ann-expired", "Ann", -5)
    await page.goto(f"{cluster.urls[0]}/?token={expired}#c={plans.id}")
    await expect(page.locator("#by-invitation")).to_be_visible()
    await enter(page, "Ann")
    await until(page, f"state.open?.loaded && state.open.id === '{plans.id}'")


async def test_the_sign_in_page_says_that_a_link_leads_to_a_conversation(
    cluster: LocalCluster, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(cluster.urls[0])
    await expect(page.locator("#as-guest input")).to_be_focused()
    await expect(page.locator("#by-invitation")).to_be_hidden()
    await page.goto("about:blank")
    await page.goto(f"{cluster.urls[0]}/#c=plans")
    await expect(page.locator("#by-invitation")).to_have_text(
        "You are invited to a conversation. It opens when you have signed in."
    )


async def test_a_guest_continues_with_enter_in_a_second_tab(
    cluster: LocalCluster, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(cluster.urls[0])
    await enter(page, "Ann")
    other = await context.new_page()
    await other.goto(cluster.urls[0])
    await expect(other.get_by_role("button", name="Continue as Ann")).to_be_focused()
    await expect(other.locator("#signin .primary:visible")).to_have_text(["Continue as Ann"])
    await other.keyboard.press("Enter")
    await until(other, "state.link === 'online'")
    assert await look(other, "state.me") == await look(page, "state.me")


@pytest.mark.parametrize("closed", [False, True], ids=["loaded again", "opened in another tab"])
async def test_a_page_that_opens_offline_shows_the_list_and_what_waits_to_be_sent(
    *, cluster: LocalCluster, context: BrowserContext, closed: bool
) -> None:
    page = await context.new_page()
    await page.goto(cluster.urls[0])
    await enter(page, "Ann")
    await create(page, "Travel", agent="off")
    await page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    await until(page, "(await caches.keys()).length && (await import('/js/lazy.js')).lazy.keptList.loaded")
    await context.set_offline(True)
    await until(page, "state.link === 'offline'")
    await say(page, "one")
    await say(page, "two")
    await page.evaluate(STORED, 2)
    if closed:
        await page.close(run_before_unload=True)
        page = await context.new_page()
        await page.goto(cluster.urls[0])
    else:
        await page.reload()
    await expect(page.locator("#unreached")).to_have_text(
        "No connection to the server. Conversations can be opened when it is back. 2 messages wait to be sent."
    )
    await expect(page.locator("#list .title")).to_contain_text(["Travel"])
    await expect(page.locator("#my-name")).to_have_text("Ann")
    await expect(page.locator("#my-face")).to_have_text("A")
    await context.set_offline(False)
    await expect(page.locator("#unreached")).to_be_hidden()
    await page.locator("#list a", has_text="Travel").click()
    await until(page, "state.open.entries.filter((one) => one.type === 'message').length === 2")
    await page.click("#my-button")
    await page.click("#sign-out")
    await page.click("#ask-yes")
    await expect(page.locator("#as-guest")).to_be_visible(timeout=20_000)
    assert "Travel" not in await page.evaluate(KEPT)
