"""A real browser: three nodes of one's own for each module, and pages that are signed in at any of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from sio_clients import guest_token
from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.pages import until
from tests.conftest import NODE_SETTINGS, ClientFactory, cluster_in

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ARGUMENTS += ["--disable-sync", "--no-first-run"]
# What the browser itself says of connections that fail, as they must here.
OF_THE_NETWORK = ("WebSocket connection to", "Failed to load resource", "net::ERR_")


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Three nodes that take guests; a test that breaks one starts it again."""
    async with cluster_in(tmp_path_factory.mktemp("cluster"), NODE_SETTINGS) as running:
        yield running


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium: the system's, or the one that Playwright has downloaded."""
    async with async_playwright() as playwright:
        named = (os.environ.get("CHROMIUM", ""), *BROWSERS)
        found = next(filter(None, map(shutil.which, named)), playwright.chromium.executable_path)
        if not os.path.exists(found):  # noqa: ASYNC240
            pytest.fail(
                "Chromium is needed for the browser tests and was not found: install it "
                "(Debian or Ubuntu: sudo apt install chromium), or run `playwright install --with-deps chromium`"
            )
        launched = await playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield launched
        await launched.close()


@pytest.fixture
async def plans(new_client: ClientFactory, new_id: str) -> Conversation:
    """A new conversation of Bob's that anyone may join; nobody answers in it."""
    bob = await new_client("Bob", node=2)
    return await bob.create("Plans", conversation_id=new_id, access="open", agent="off")


PageFactory = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_page(cluster: LocalCluster, browser: Browser) -> AsyncIterator[PageFactory]:
    """Open a page that is signed in: `await open_page(0, "Ann", conversation="plans")`.

    It has a browser of its own, unless it is to be a tab `beside` another page. `token` makes it a device of the
    same user as another page (`page.token`). `script` is run in it before the page's own; `prepare(page)` is
    awaited before it is loaded; `online=False` does not wait for the connection; other options are those of a
    browser context. Errors in any page fail the test.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def note(text: str) -> None:
        if not any(known in text for known in OF_THE_NETWORK):
            errors.append(text)

    async def make(
        node: int = 0,
        name: str = "Ann",
        *,
        token: str = "",
        conversation: str = "",
        beside: Page | None = None,
        script: str = "",
        prepare: Callable[[Page], Awaitable[Any]] | None = None,
        online: bool = True,
        **options: Any,
    ) -> Page:
        if beside is None:
            # Requests of a page with a service worker could not be kept back by a test.
            contexts.append(
                await browser.new_context(**{"locale": "en-GB", "service_workers": "block", **options})
            )
        page = await (beside.context if beside else contexts[-1]).new_page()
        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda message: note(message.text) if message.type == "error" else None)
        if not token:
            _, token = await guest_token(cluster.urls[node], name)
        page.token = token  # type: ignore[attr-defined]
        if script:
            await page.add_init_script(script)
        if prepare:
            await prepare(page)
        await page.goto(f"{cluster.urls[node]}/?token={token}" + (f"#c={conversation}" if conversation else ""))
        if online:
            await until(page, "state.link === 'online'" + (" && state.open?.loaded" if conversation else ""))
        return page

    yield make
    for context in contexts:
        await context.close()
    assert not errors
