"""How messages are written and look: on a phone and with a keyboard, queued, pasted, in forced colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until

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
    looks = (
        "(nodes) => nodes.map((node) => getComputedStyle(node))"
        ".map(({ color, outlineColor }) => color + outlineColor)"
    )
    texts = page.locator(".mine .text")
    await expect(page.locator(".pending .mark")).to_have_text("Waiting to be sent")
    await until(
        page,
        "document.querySelector('.pending .text').getAnimations().every((one) => one.playState === 'finished')",
    )
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
    labels = await page.locator("article").evaluate_all(
        "(nodes) => nodes.map((node) => node.ariaLabel.split(',')[0])"
    )
    assert labels == ["Bob", "You", "You"]


async def test_chinese_names_of_one_family_have_different_faces(open_page: PageFactory) -> None:
    wang = await open_page(0, "小王", locale="zh-CN")
    conversation = await create(wang, agent="off")
    await say(wang, "你好")
    li = await open_page(1, "小李", conversation=conversation)
    await expect(li.locator(".message .face")).to_have_text("王")


async def test_an_answered_question_is_taken_back_only_after_asking(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="pair")
    await say(page, "ask both")
    for number, name in enumerate(("Yes", "No"), 1):
        await page.get_by_role("button", name=name).first.click()
        await expect(page.locator("fieldset .note")).to_have_count(number)
    await expect(page.locator(".agent .text").last).to_contain_text("approve")
    head = await look(page, "state.open.head")
    await page.get_by_role("button", name="Answer again").click()
    await expect(page.locator("#ask-title")).to_have_text("Take back what was confirmed?")
    await expect(page.locator("#ask-text")).to_have_text(
        "The agent starts this turn over, and these answers no longer count: “Yes” (to “left?”) “No” (to “right?”)"
    )
    await page.click("#ask-not")
    await page.press("#text", "ArrowUp")  # edit the last message
    await say(page, "ask again")
    await expect(page.locator("#ask-title")).to_be_visible()
    await page.click("#ask-not")
    assert await page.input_value("#text") == "ask again"  # it is still being edited
    await expect(page.locator("#editing")).to_be_visible()
    assert await look(page, "state.open.head") == head
    await page.click("#send")
    await page.click("#ask-yes")
    await expect(page.locator(".mine .text")).to_have_text("ask again")
    await expect(page.locator("fieldset .options button")).to_have_count(4)


async def test_earlier_versions_of_an_answer_can_be_seen_again(open_page: PageFactory, tmp_path: Path) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    gate = tmp_path / "gate"
    gate.touch()
    await say(page, f"one gate:{gate} two")
    text = page.locator(".agent .text")
    place = page.locator(".versions span")
    await expect(page.locator(".actions")).to_be_visible()
    await expect(place).to_have_count(0)
    gate.unlink()
    await page.get_by_role("button", name="Answer again").click()
    await expect(page.locator("[aria-busy=true] .text")).to_have_text("one")
    await page.click("#stop")
    await expect(place).to_have_text("2 / 2")
    await expect(text).to_have_text("one")
    await page.get_by_role("button", name="Earlier version").press("Enter")
    await expect(place).to_have_text("1 / 2")
    await expect(text).to_have_text("one two")
    await expect(page.get_by_role("button", name="Earlier version")).to_be_disabled()
    await expect(page.get_by_role("button", name="Later version")).to_be_focused()
    await page.reload()
    await expect(place).to_have_text("2 / 2")
    await expect(text).to_have_text("one")
