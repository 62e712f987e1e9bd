"""How messages are written and look: on a phone and with a keyboard, queued, pasted, in forced colours."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import say, until
from tests.browser.test_page_view import create

pytest_plugins = ["tests.served.fixtures"]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CODE = "def add(a, b):\n    return a + b"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def test_enter_begins_a_line_on_a_touch_screen_and_sends_with_a_keyboard(
    open_page: PageFactory, plans: Conversation
) -> None:
    phone = await open_page(0, "Ann", conversation=plans.id, **PHONE)
    await phone.tap("#text")
    await phone.keyboard.type("first")
    await phone.keyboard.press("Enter")
    await phone.keyboard.type("second")
    assert await phone.input_value("#text") == "first\nsecond"
    await phone.tap("#send")
    await until(phone, "state.open.entries.at(-1).data.text === 'first\\nsecond'")

    desk = await open_page(1, "Bob", conversation=plans.id)
    await desk.locator("#text").press_sequentially("one")
    await desk.press("#text", "Shift+Enter")
    await desk.locator("#text").press_sequentially("two")
    await desk.press("#text", "Enter")
    await until(desk, "state.open.entries.at(-1).data.text === 'one\\ntwo'")


async def test_what_people_write_is_markdown_and_pasted_code_is_code(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await plans.send("**bold** and\na new line <b>raw</b>")
    said = page.locator(".message:not(.mine) .text").last
    await expect(said.locator("strong")).to_have_text("bold")
    assert await said.inner_text() == "bold and\na new line <b>raw</b>"
    paste = (
        "(text) => { const clipboardData = new DataTransfer(); clipboardData.setData('text/plain', text);"
        "const field = document.querySelector('#text'); field.focus();"
        "field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true })); }"
    )
    await page.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.paste.load())")
    await page.evaluate(paste, CODE)
    await expect(page.locator("#text")).to_have_value(f"```\n{CODE}\n```\n")
    await page.press("#text", "Enter")
    await expect(page.locator(".mine pre code")).to_have_text(CODE)


async def test_a_queued_message_looks_queued(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await say(page, "sent")
    await until(page, "state.open.entries.at(-1).data.text === 'sent'")
    await page.context.set_offline(True)
    await until(page, "state.link !== 'online'")
    await say(page, "waits")
    looks = "([...nodes]) => nodes.map((node) => (({ color, outlineColor }) => color + outlineColor)(getComputedStyle(node)))"
    texts = page.locator(".mine .text")
    await expect(page.locator(".pending .mark")).to_have_text("Waiting to be sent")
    await until(page, "document.querySelector('.pending .text').getAnimations().every((one) => one.playState === 'finished')")
    sent, waits = await texts.evaluate_all(looks)
    assert sent != waits
    await page.context.set_offline(False)
    await expect(page.locator(".pending")).to_have_count(0)
    sent, waits = await texts.evaluate_all(looks)
    assert sent == waits


async def test_marks_are_seen_in_forced_colours(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, forced_colors="active")
    await say(page, "hello")
    mark = page.locator(".mine .mark")
    await expect(mark).to_have_text("Sent")
    seen = await mark.evaluate("(node) => getComputedStyle(node, '::before').backgroundColor")
    assert seen != await page.evaluate("getComputedStyle(document.body).backgroundColor")


async def test_a_screen_reader_is_told_whose_each_message_is(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await plans.send("from Bob")
    for text in ("one", "two"):
        await say(page, text)
        await until(page, f"state.open.entries.at(-1).data.text === '{text}'")
    labels = await page.locator("article").evaluate_all("(nodes) => nodes.map((node) => node.ariaLabel.split(',')[0])")
    assert labels == ["Bob", "You", "You"]


async def test_chinese_names_of_one_family_have_different_faces(open_page: PageFactory) -> None:
    wang = await open_page(0, "小王", locale="zh-CN")
    conversation = await create(wang, agent="off")
    await say(wang, "你好")
    li = await open_page(1, "小李", conversation=conversation)
    await expect(li.locator(".message .face")).to_have_text("王")
