"""What people do with messages: reply, react, mention, delete and send files, with a pointer or a long press."""

from __future__ import annotations

import base64

import pytest
from playwright.async_api import FilePayload, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import act, create, look, problems, say, until

pytest_plugins = ["tests.served.fixtures"]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def test_a_reply_shows_what_it_replies_to_and_leads_there(
    open_page: PageFactory, plans: Conversation
) -> None:
    ann = await open_page(0, "Ann", conversation=plans.id)
    bob = await open_page(1, "Cid", conversation=plans.id)
    await plans.send("shall we **meet**?")
    for number in range(30):
        await plans.send(f"filling {number}")
    await until(ann, "state.open.entries.at(-1).data.text === 'filling 29'")
    await ann.get_by_text("shall we").scroll_into_view_if_needed()
    await act(ann, "meet", "Reply")
    await expect(ann.locator("#replying")).to_have_text("Reply to Bob shall we meet?")
    await ann.press("#text", "Escape")
    await expect(ann.locator("#replying")).to_be_hidden()
    await act(ann, "meet", "Reply")
    await say(ann, "yes")
    await expect(ann.locator("#replying")).to_be_hidden()
    quote = bob.locator(".quote")
    await expect(quote).to_have_text("Bobshall we meet?")
    await expect(quote.locator(".name")).to_be_visible()
    await expect(ann.locator(".mine .quote .name")).to_be_visible()
    await expect(bob.get_by_text("shall we").first).not_to_be_in_viewport()
    await quote.click()
    await expect(bob.locator("article.shown .text")).to_have_text("shall we meet?")
    await expect(bob.locator("article.shown")).to_be_in_viewport()


async def test_reactions_are_shown_to_everybody_and_are_taken_back(
    open_page: PageFactory, plans: Conversation
) -> None:
    ann = await open_page(0, "Ann", conversation=plans.id)
    cid = await open_page(1, "Cid", conversation=plans.id)
    await plans.send("done")
    for page in (ann, cid):
        await until(page, "state.open.entries.some((e) => e.data.text === 'done')")
    await act(ann, "done", "React")
    await ann.get_by_role("button", name="React with 👍").click()
    theirs = cid.locator(".reactions button")
    await expect(theirs).to_have_text("👍 1")
    await theirs.click()
    for page in (ann, cid):
        await expect(page.locator(".reactions button")).to_have_text("👍 2")
        await expect(page.locator(".reactions button")).to_have_attribute("title", "👍: Ann, Cid")
    await cid.reload()
    await expect(theirs).to_have_text("👍 2")
    assert await problems(cid) == []
    await theirs.click()
    await expect(ann.locator(".reactions button")).to_have_text("👍 1")
    await expect(theirs).to_have_attribute("aria-pressed", "false")


async def test_own_messages_are_deleted_after_asking_and_leave_a_line(
    open_page: PageFactory, plans: Conversation
) -> None:
    ann = await open_page(0, "Ann", conversation=plans.id)
    await plans.send("of Bob")
    await say(ann, "a slip")
    await until(ann, "state.open.entries.at(-1).data.text === 'a slip'")
    await ann.get_by_text("of Bob", exact=True).hover()
    await expect(ann.get_by_role("toolbar").get_by_role("button", name="Delete")).to_have_count(0)
    await act(ann, "a slip", "Delete")
    await ann.click("#ask-not")
    await expect(ann.get_by_text("a slip", exact=True)).to_be_visible()
    await act(ann, "a slip", "Delete")
    await ann.click("#ask-yes")
    deleted = ann.locator("#log > p", has_text="Message deleted")
    shape = await deleted.evaluate("(node) => [getComputedStyle(node).display, node.offsetWidth > 300]")
    assert shape == ["block", True]
    await expect(ann.locator("#log")).not_to_contain_text("a slip")


async def test_an_answer_whose_message_is_deleted_can_be_copied_but_not_given_again(
    open_page: PageFactory,
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    await say(page, "hello")
    again = page.get_by_role("button", name="Answer again")
    await expect(again).to_be_visible()
    await page.locator(".mine .text").hover()
    await page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    await page.click("#ask-yes")
    await expect(page.locator("#log")).to_contain_text("Message deleted")
    await expect(again).to_have_count(0)
    await expect(page.locator(".actions button")).to_have_count(1)
    await expect(page.locator("#log .edit")).to_have_count(0)


async def test_the_actions_are_reached_by_keyboard_and_by_a_long_press(
    open_page: PageFactory, plans: Conversation
) -> None:
    await plans.send("first")
    await plans.send("second")
    desk = await open_page(0, "Ann", conversation=plans.id)
    await desk.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.messageActions.load())")
    await until(desk, "document.querySelector('article[tabindex=\"0\"]')")
    await desk.focus("#scroller")
    await desk.keyboard.press("Tab")
    await desk.keyboard.press("ArrowUp")
    await expect(desk.locator("article:focus .text")).to_have_text("first")
    bar = desk.get_by_role("toolbar")
    await expect(bar.locator("time")).not_to_be_empty()
    await desk.keyboard.press("Tab")
    await expect(bar.get_by_role("button", name="React")).to_be_focused()
    await desk.keyboard.press("Escape")
    await expect(bar).to_have_count(0)

    phone = await open_page(1, "Cid", conversation=plans.id, **PHONE)
    await phone.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.messageActions.load())")
    press = (
        "(node) => node.dispatchEvent(new PointerEvent('pointerdown', "
        "{ pointerType: 'touch', bubbles: true, clientX: 50, clientY: 300 }))"
    )
    await phone.get_by_text("first").evaluate(press)
    await expect(phone.get_by_role("toolbar").get_by_role("button", name="Reply")).to_be_visible()
    assert await problems(phone) == []


async def test_an_at_sign_lists_whom_it_may_mean(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.mentions.load())")
    await page.locator("#text").press_sequentially("hello @b")
    options = page.locator("#mention-list li")
    await expect(options).to_contain_text(["Bob"])
    assert await problems(page) == []
    await page.keyboard.press("Enter")
    await expect(page.locator("#text")).to_have_value("hello @Bob ")
    await page.keyboard.type("@zz")
    await expect(page.locator("#mention-list")).to_be_hidden()
    await page.keyboard.press("Enter")
    await until(page, "state.open.entries.at(-1).data.text === 'hello @Bob @zz'")


async def test_files_are_attached_removed_sent_and_shown(open_page: PageFactory, plans: Conversation) -> None:
    ann = await open_page(0, "Ann", conversation=plans.id)
    await ann.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.attachments.load())")
    cid = await open_page(1, "Cid", conversation=plans.id)
    await expect(ann.locator("#attach")).to_be_visible()
    photo = FilePayload(name="photo.png", mimeType="image/png", buffer=PIXEL)
    notes = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"some notes")
    await ann.set_input_files("#pick-files", [photo, notes])
    chips = ann.locator("#attached li")
    await expect(chips).to_have_count(2)
    drop = (
        "() => { const dataTransfer = new DataTransfer(); dataTransfer.items.add(new File(['x'], 'dropped.txt'));"
        "document.querySelector('#log').dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true })); }"
    )
    await ann.evaluate(drop)
    await expect(chips).to_have_count(3)
    await chips.filter(has_text="dropped").get_by_role("button").click()
    await expect(chips).to_contain_text(["1 kB", "1 kB"])
    assert await problems(ann) == []
    await ann.click("#send")  # without a text
    await expect(chips).to_have_count(0)
    image = cid.locator(".files img")
    await expect(image).to_have_attribute("alt", "photo.png")
    await until(cid, "document.querySelector('.files img').naturalWidth === 1")
    card = cid.locator(".files .file")
    await expect(card).to_contain_text("notes.txt")
    async with cid.expect_download() as download:
        await card.get_by_role("button", name="Download").click()
    saved = await (await download.value).path()
    assert saved.read_bytes() == b"some notes"
    assert await look(cid, "state.open.entries.at(-1).data.text") == ""
