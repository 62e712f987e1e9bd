"""What was said is told as it was said: in quotes, hits, counts and mentions, and to a screen reader."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import act, create, say, until
from tests.conftest import ClientFactory

pytestmark = pytest.mark.faults  # for their length; they break nothing

pytest_plugins = ["tests.served.fixtures"]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
FORMULA = "if a > b and c < d then x->y #tag and 3*4*5"
TABLE = "| Dish | Price |\n|---|---:|\n| *Soup* | 4 |"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def test_a_quote_has_its_author_and_says_what_was_said(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await say(page, FORMULA)
    await expect(page.locator("#log .mine .text")).to_have_text(FORMULA)
    await act(page, FORMULA, "Reply")
    await expect(page.locator("#reply-quote")).to_have_text(FORMULA)
    await say(page, "so be it")
    quote = page.locator("#log .quote")
    await expect(quote.locator(".name")).to_have_text("Ann")
    await expect(quote.locator(".name")).to_be_visible()
    await expect(quote.locator("span")).to_have_text(FORMULA)


async def test_all_new_messages_are_counted_also_those_that_are_not_drawn(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await until(page, "state.open.read === state.open.head")
    await page.evaluate("location.hash = ''")
    for begin in range(0, 260, 20):
        await asyncio.gather(*(plans.send(f"number {number}") for number in range(begin, begin + 20)))
    await until(page, f"state.conversations.get('{plans.id}').head >= 260")
    await page.click("#list a")
    await expect(page.locator(".news")).to_have_text("260 new messages")
    assert await page.locator("#log article").count() < 260


async def test_after_stop_the_focus_is_where_people_write(open_page: PageFactory, tmp_path: Path) -> None:
    page = await open_page(0, "Ann")
    await create(page, "Told", graph="teller")
    await say(page, f"one gate:{tmp_path / 'never'} two")
    await page.locator("[aria-busy=true] .text").wait_for()
    await page.focus("#stop")
    await page.keyboard.press("Enter")
    await expect(page.locator("#stop")).to_be_hidden()
    await expect(page.locator("#text")).to_be_focused()


async def test_mentions_are_marked_ones_own_more(
    open_page: PageFactory, new_client: ClientFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    cid = await new_client("小李", node=1)
    await cid.join(plans.id)
    text = "hey @Ann, **@Bob** and @agent, 请@小李看看, but not @media, a@Bob.org or `@Bob`"
    await plans.send(text)
    mentioned = page.locator("#log .mentioned")
    await expect(mentioned).to_have_text(["@Ann", "@Bob", "@agent", "@小李"])
    await expect(page.locator("#log .mentioned.me")).to_have_text(["@Ann"])
    await expect(page.locator("#log .text")).to_have_text(text.replace("**", "").replace("`", ""))


async def test_an_earlier_version_says_that_it_was_stopped_and_notes_begin_where_the_text_does(
    open_page: PageFactory, tmp_path: Path
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    gate = tmp_path / "gate"
    await say(page, f"one gate:{gate} two")
    await expect(page.locator("[aria-busy=true] .text")).to_have_text("one")
    await page.click("#stop")
    note = page.locator(".agent .note")
    await expect(note).to_have_text("Stopped by Ann")
    gate.touch()
    await page.get_by_role("button", name="Answer again").click()
    await expect(page.locator(".versions span")).to_have_text("2 / 2")
    await expect(note).to_have_count(0)
    await page.get_by_role("button", name="Earlier version").click()
    await expect(note).to_have_text("Stopped by Ann")
    begins = (
        "['.note', '.text'].map((one) => { const range = document.createRange();"
        "range.selectNodeContents(document.querySelector(`.agent ${one}`));"
        "return range.getBoundingClientRect().left; })"
    )
    left, text = await page.evaluate(begins)
    assert abs(left - text) < 1


async def test_hits_are_told_without_marks_and_the_list_comes_back(
    open_page: PageFactory, plans: Conversation
) -> None:
    await plans.send(f"the menu\n\n{TABLE}")
    await plans.send("am Ende der Straße")
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.searchAll.load())")
    await page.fill("#query-all", "price")
    excerpt = page.locator("#results .excerpt")
    await expect(excerpt).to_have_text("Bob: the menu Dish · Price Soup · 4")
    await page.fill("#query-all", "STRASSE")
    await expect(page.locator("#results mark")).to_have_text("Straße")
    await page.click("#results a")
    await expect(page.locator(".hit .text")).to_have_text("am Ende der Straße")
    await expect(page.locator("#list")).to_be_hidden()
    await page.focus("#text")
    await page.keyboard.press("Escape")
    await expect(page.locator("#list")).to_be_visible()
    await page.fill("#query-all", "menu")
    await expect(excerpt).to_have_count(1)
    await page.get_by_role("navigation").get_by_role("button", name="Close").click()
    await expect(page.locator("#list")).to_be_visible()
    await expect(page.locator("#query-all")).to_have_value("")
    await page.click("#find")
    await page.fill("#query", "strasse")
    await expect(page.locator("#hits")).to_have_text("1 / 1")
    marked = "[...CSS.highlights.get('found')].map(({ startOffset, endOffset }) => endOffset - startOffset).join()"
    await until(page, f"{marked} === '6'")


async def test_a_screen_reader_hears_no_marks_and_finds_a_heading(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, **PHONE)
    await until(page, "document.querySelector('#log .line') && state.open.read === state.open.head")
    await plans.send(TABLE)
    await expect(page.locator("#announced")).to_have_text("Bob: Dish · Price Soup · 4")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Plans")
