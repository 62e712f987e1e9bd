"""The bar of a message: all of it in the window, above no other message, and a sheet on a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, problems, say, until

pytestmark = pytest.mark.faults  # for their length; they break nothing

pytest_plugins = ["tests.served.fixtures"]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LOAD = "import('/js/lazy.js').then(({ lazy }) => lazy.messageActions.load())"
# What of the bar is outside of the window, and which other message it covers.
WRONG = """() => {
  const bar = document.querySelector(".bar");
  const box = bar.getBoundingClientRect();
  const room = document.querySelector("#scroller").getBoundingClientRect();
  const outside = [...bar.children].filter((one) => one.checkVisibility()).filter((one) => {
    const { left, right, top, bottom } = one.getBoundingClientRect();
    const [from, to] = [Math.max(room.left, box.left), Math.min(room.right, box.right)];
    return left < from || right > to || top < room.top || bottom > room.bottom;
  });
  const covered = [...document.querySelectorAll("#log article")].filter((one) => {
    const said = one.querySelector(".text, .said, .files") ?? one;
    const { left, right, top, bottom } = said.getBoundingClientRect();
    return !one.contains(bar) && left < box.right && right > box.left && top < box.bottom && bottom > box.top;
  });
  return [...outside, ...covered].map((one) => one.outerHTML.slice(0, 200));
}"""


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def many(open_page: PageFactory, plans: Conversation, **options: object) -> Page:
    """A page with short and long messages of both, some of them joined to the one above."""
    page = await open_page(0, "Ann", conversation=plans.id, **options)
    for text in ("one of Bob's", "short", "long " * 60):
        await plans.send(text)
    await until(page, "state.open.entries.filter((e) => e.type === 'message').length === 3")
    for text in ("nr 250", "wide " * 60, "好"):
        await say(page, text)
    await until(page, "state.open.entries.filter((e) => e.type === 'message').length === 6")
    await page.evaluate(LOAD)
    return page


async def test_the_bar_is_in_the_window_and_covers_no_other_message(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await many(open_page, plans, viewport={"width": 1280, "height": 800})
    messages = page.locator("#log article")
    for width, height in ((1280, 800), (1280, 320), (900, 700), (740, 700)):
        await page.set_viewport_size({"width": width, "height": height})
        for number in range(6):
            await page.mouse.move(1, 1)
            await expect(page.locator(".bar")).to_have_count(0)
            message = messages.nth(number).locator(".text")
            await message.scroll_into_view_if_needed()
            await message.hover()
            bar = page.get_by_role("toolbar")
            names = ["React", "Reply", "Copy the text", *(["Edit this message"] if number == 5 else [])]
            for name in names:
                await expect(bar.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
            assert await page.evaluate(WRONG) == [], (width, number)
            await bar.get_by_role("button", name="React", exact=True).click()
            assert await page.evaluate(WRONG) == [], (width, number)
            await page.keyboard.press("Escape")
    await expect(page.locator(".edit:visible")).to_have_count(0)  # it is in the bar


async def test_a_long_press_brings_up_a_sheet_with_all_that_can_be_done(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await many(open_page, plans, **PHONE)
    press = (
        "(node) => node.dispatchEvent(new PointerEvent('pointerdown', "
        "{ pointerType: 'touch', bubbles: true, clientX: 50, clientY: 300 }))"
    )
    await page.locator("#log .mine .text").last.evaluate(press)
    sheet = page.get_by_role("toolbar")
    buttons = sheet.get_by_role("button")
    await expect(buttons).to_have_count(6 + 4)
    for number in range(10):
        await expect(buttons.nth(number)).to_be_in_viewport(ratio=1)
    assert await problems(page) == []
    await sheet.get_by_role("button", name="React with 🎉").tap()
    await expect(sheet).to_have_count(0)
    await expect(page.locator(".reactions button")).to_have_text("🎉 1")
    await page.locator("#log .mine .text").last.evaluate(press)
    await sheet.get_by_role("button", name="Edit this message").tap()
    await expect(page.locator("#text")).to_have_value("好")


async def test_tab_stops_once_at_a_bar_and_arrows_lead_on(open_page: PageFactory, plans: Conversation) -> None:
    page = await many(open_page, plans)
    await page.focus("#scroller")
    await page.keyboard.press("Tab")
    await expect(page.locator("article:focus .text")).to_have_text("好")
    bar = page.get_by_role("toolbar")
    for key, name in (("Tab", "React"), ("ArrowRight", "Reply"), ("End", "Delete"), ("ArrowRight", "React")):
        await page.keyboard.press(key)
        await expect(bar.get_by_role("button", name=name, exact=True)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("article:focus .text")).to_have_text("好")
    await expect(bar).to_have_count(0)
    await page.keyboard.press("Tab")
    await expect(page.locator("#log :focus")).to_have_count(0)


async def test_a_message_that_is_deleted_loses_its_bar_and_is_one_line(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await many(open_page, plans)
    await page.locator("#log .mine .text").last.hover()
    await expect(page.get_by_role("toolbar")).to_be_visible()
    seq = await look(page, "state.open.head")
    await look(page, f"state.open.delete({seq})")
    line = page.locator("#log .deleted")
    await expect(line).to_have_text("Message deleted")
    await expect(page.locator("#log .deleted .bar")).to_have_count(0)
    await expect(page.locator("#log > .bar, body > .bar")).to_have_count(0)
    box = await line.bounding_box()
    assert box
    assert box["height"] < 30
    assert box["width"] > 200
