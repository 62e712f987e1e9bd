"""What the page fetches only when it is needed: nothing is lost before, and nothing is missing later."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, Route, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import MARKS, say, until
from tests.conftest import ClientFactory
from tests.unit.test_page_size import LAZY, LAZY_JS, PARTS

pytest_plugins = ["tests.served.fixtures"]

# Name and path of each module that is fetched when the page is idle. List and log are needed before.
EARLIER = {"listView", "log", "outboxStore"}
REST = {name: path for name, path in LAZY.findall(LAZY_JS) if name not in EARLIER}
LATE_PARTS = {"requests": PARTS["requests"].name, "typing": PARTS["typing"].name}
LATER = re.compile(rf"/(js/(?:{'|'.join(REST.values())})|sdk/src/(?:{'|'.join(LATE_PARTS.values())}))(\?\d+)?$")
SAID = "state.open.entries.filter((e) => e.type === 'answer').length"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


@pytest.fixture
async def plans(new_client: ClientFactory, new_id: str) -> Conversation:
    """A conversation in which the agent says what it is told."""
    bob = await new_client("Bob", node=2)
    return await bob.create("Plans", conversation_id=new_id, access="open", graph="teller")


class Later:
    """The modules of a page that come later: kept back until they are let through, or not to be had at all."""

    def __init__(self, broken: bool = False) -> None:
        self.gate = asyncio.Event()
        self.broken = broken
        self.due = {
            *(f"js/{path}" for path in REST.values()),
            *(f"sdk/src/{name}" for name in LATE_PARTS.values()),
        }
        self.all_asked = asyncio.Event()

    async def prepare(self, page: Page) -> None:
        await page.route(LATER, self._answer)

    async def _answer(self, route: Route) -> None:
        found = LATER.search(route.request.url)
        assert found
        self.due.discard(found[1])
        if not self.due:
            self.all_asked.set()
        if self.broken:
            await route.abort()
            return
        await self.gate.wait()
        await route.continue_()


async def all_there(page: Page) -> None:
    """Wait until every module has come."""
    load = "const { lazy } = await import('/js/lazy.js'); await Promise.all(names.map((one) => lazy[one].load()));"
    await page.evaluate(f"async (names) => {{ {load} }}", list(REST))


async def test_all_lazy_modules_are_fetched_when_idle_and_nothing_is_fetched_after_that(
    open_page: PageFactory, plans: Conversation
) -> None:
    later = Later()
    later.gate.set()
    page = await open_page(0, "Ann", conversation=plans.id, prepare=later.prepare)
    await asyncio.wait_for(later.all_asked.wait(), 60)
    await all_there(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await say(page, "**one**")
    await expect(page.locator(".agent strong")).to_have_text("one")
    await page.click("[popovertarget=people]")
    await expect(page.locator("#members li")).to_have_count(2)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Alt+f")
    await page.keyboard.type("one")
    await expect(page.locator("#hits")).to_have_text("1 / 2")
    await page.keyboard.press("Alt+n")
    await until(page, "state.conversations.size === 2 && state.open?.loaded")
    await page.locator("#welcome").wait_for()
    assert [url for url in asked if not url.endswith("icon.svg")] == []


async def test_clicks_and_formatting_that_need_a_missing_module_happen_when_it_is_loaded(
    open_page: PageFactory, plans: Conversation
) -> None:
    await plans.send("see https://example.org/plan")
    later = Later()
    page = await open_page(1, "Ann", conversation=plans.id, prepare=later.prepare)
    await expect(page.locator(".message:not(.agent) .text")).to_have_text("see https://example.org/plan")
    await say(page, "**written** before")
    await until(page, f"{SAID} === 2")
    await expect(page.locator(".agent .text").last).to_have_text("**written** before")
    assert await page.locator("#log :is(a, strong)").count() == 0
    await page.click("#find")
    await page.keyboard.press("Alt+h")
    await expect(page.locator("#search")).to_be_hidden()

    later.gate.set()
    await expect(page.locator(".message:not(.agent) a")).to_have_attribute("href", "https://example.org/plan")
    await expect(page.locator(".agent strong")).to_have_text("written")
    await expect(page.locator(".agent .text").last).to_have_text("written before")
    await expect(page.locator(".mine.newest .mark")).to_contain_text(re.compile("Sent|Delivered|Read"))
    await expect(page.locator("#search")).to_be_visible()
    await expect(page.locator("#help")).to_be_visible()
    await expect(page.locator("#subtitle")).not_to_be_empty()
    await until(page, f"{MARKS}.behindOf(state.open, state.devices[0].device_id) === 0")


async def test_a_module_that_could_not_be_fetched_is_fetched_later_and_messages_are_sent_meanwhile(
    open_page: PageFactory, plans: Conversation
) -> None:
    later = Later(broken=True)
    page = await open_page(1, "Ann", conversation=plans.id, prepare=later.prepare)
    await say(page, "**all** the same")
    await until(page, f"{SAID} === 1")
    await expect(page.locator(".agent .text")).to_have_text("**all** the same")
    await asyncio.wait_for(later.all_asked.wait(), 60)
    await expect(page.locator("#toast")).to_be_hidden()
    later.broken = False
    later.gate.set()
    await all_there(page)
    await expect(page.locator(".agent strong")).to_have_text("all")
    await expect(page.locator("#my-devices")).not_to_be_empty()


async def test_two_clicks_at_once_make_one_conversation(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await all_there(page)
    await page.evaluate(
        "() => { const button = document.querySelector('button[data-by=newConversation]');"
        " button.click(); button.click(); }"
    )
    await until(page, "state.open?.loaded")
    await say(page, "here")
    await until(page, "state.open.entries.some((e) => e.data.text === 'here')")
    assert await page.evaluate("async () => (await import('/js/state.js')).state.conversations.size") == 1
