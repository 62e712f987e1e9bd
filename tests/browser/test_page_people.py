"""Guests who return, focus, input methods, and the names of devices and facts."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import act, create, look, say, until

pytest_plugins = ["tests.served.fixtures"]

FOCUSED = "document.activeElement.id"
DEVICE = "state.devices.find((one) => one.here).device_id"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def arrive(context: BrowserContext, address: str, name: str = "") -> Page:
    """A new tab; with a name, signed in as a guest by it."""
    page = await context.new_page()
    await page.goto(address)
    if name:
        await page.fill("#as-guest input", name)
        await page.press("#as-guest input", "Enter")
    return page


async def test_a_guest_who_closed_every_tab_returns_and_unsent_messages_are_sent(
    open_page: PageFactory, cluster: LocalCluster, plans: Conversation
) -> None:
    context = (await open_page(0, "Eve")).context
    ann = await arrive(context, f"{cluster.urls[0]}/#c={plans.id}", "Ann")
    await until(ann, "state.link === 'online' && state.open?.loaded")
    was = await look(ann, f"[state.me, {DEVICE}]")
    await context.set_offline(True)
    await until(ann, "state.link === 'offline'")
    await say(ann, "written offline")
    await expect(ann.locator(".pending")).to_have_count(1)
    await until(ann, "(await indexedDB.databases()).length === 1")
    await ann.close()
    await context.set_offline(False)
    ann = await arrive(context, f"{cluster.urls[0]}/#c={plans.id}")
    await until(ann, "state.open?.entries.at(-1)?.data.text === 'written offline'")
    assert await look(ann, f"[state.me, {DEVICE}]") == was


async def test_each_tab_may_be_another_guest_and_a_guest_who_signs_out_is_forgotten(
    open_page: PageFactory, cluster: LocalCluster
) -> None:
    context = (await open_page(0, "Eve")).context
    ann = await arrive(context, cluster.urls[0], "Ann")
    await until(ann, "state.link === 'online'")
    await until(ann, "state.open?.loaded")
    await until(ann, f"{FOCUSED} === 'text'")
    bob = await arrive(context, cluster.urls[0])
    await expect(bob.locator("#guests button")).to_have_text(["Continue as Ann"])
    await bob.fill("#as-guest input", " \u3000")
    await bob.press("#as-guest input", "Enter")
    await expect(bob.locator("#signin-error")).to_have_text("Enter your name.")
    await bob.fill("#as-guest input", "Bob")
    await bob.press("#as-guest input", "Enter")
    await until(bob, "state.link === 'online' && state.name === 'Bob'")

    again = await arrive(context, cluster.urls[0])
    await again.get_by_role("button", name="Continue as Ann").click()
    await until(again, "state.link === 'online' && state.devices.length === 2")
    assert await look(again, "state.me") == await look(ann, "state.me")
    assert await look(again, DEVICE) != await look(ann, DEVICE)
    for page in (again, ann):
        await page.click("#my-button")
        await page.click("#sign-out")
        await page.click("#ask-yes")
        await expect(page.locator("#as-guest")).to_be_visible()
        await expect(page.locator("#signin-error")).to_be_empty()
    await expect(ann.locator("#guests button")).to_have_text(["Continue as Bob"])


async def test_focus_stays_in_the_page_when_a_question_is_answered_with_the_keyboard(
    open_page: PageFactory,
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="pair")
    await say(page, "ask both")
    await page.locator("fieldset").first.get_by_role("button", name="Yes").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("fieldset .note")).to_have_count(1)
    assert await look(page, FOCUSED) == "scroller"


async def test_text_that_an_input_method_composes_is_neither_sent_nor_replaced(
    open_page: PageFactory, plans: Conversation
) -> None:
    ann = await open_page(0, "Ann", conversation=plans.id)
    phone = await open_page(1, token=ann.token, conversation=plans.id)  # type: ignore[attr-defined]
    await phone.focus("#text")
    ime = await phone.context.new_cdp_session(phone)
    await ime.send("Input.imeSetComposition", {"text": "ni", "selectionStart": 2, "selectionEnd": 2})
    await expect(ann.locator("#text")).to_have_value("ni")
    await ann.fill("#text", "from the laptop")
    await until(phone, "state.open.draft.text === 'from the laptop'")
    await phone.evaluate("import('/js/state.js').then(({ changed }) => changed())")
    await expect(phone.locator("#text")).to_have_value("ni")
    await ime.send("Input.insertText", {"text": "你"})
    await expect(ann.locator("#text")).to_have_value("你")
    await expect(phone.locator("#text")).to_have_value("你")
    # Safari tells Enter, which ended the composition, after its end.
    await phone.evaluate(
        "document.querySelector('#text').dispatchEvent("
        "new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true }))"
    )
    await expect(phone.locator(".mine")).to_have_count(0)
    await expect(phone.locator("#text")).to_have_value("你")
    await phone.press("#text", "Enter")
    await expect(phone.locator(".mine .text")).to_have_text(["你"])


async def test_a_device_without_a_name_has_its_browser_s_and_invitations_wait_for_the_user_id(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.click("#my-button")
    name = page.locator("#devices input")
    given = await name.input_value()
    for wanted, shown in (("Mine", "Mine"), ("", given)):
        await name.fill(wanted)
        await name.press("Enter")
        await until(page, f"state.devices[0].device_name === '{shown}'")
        await expect(name).to_have_value(shown)
    await page.keyboard.press("Escape")
    await page.click("[popovertarget=people]")
    await page.fill("#invite input", "nobody-123")
    await page.press("#invite input", "Enter")
    await expect(page.locator("#toast")).to_contain_text("Not seen here yet: nobody-123")


async def test_a_question_labels_its_facts_in_its_own_language(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    names = await page.evaluate(
        """async () => {
          const { showQuestions } = await import("/js/view/question.js");
          const action = { name: "book", args: { how_many: 6, no_name: 1 } };
          const options = [{ value: "yes", label: "Yes" }];
          const form = { kind: "approval", text: "?", action, labels: { how_many: "人数" }, options, free: false };
          const c = { asked: ["i"], resolved: new Map(), approvals: "members" };
          const box = document.createElement("div");
          showQuestions(box, null, { c, interrupts: [{ interrupt_id: "i", form }], words: true, connection: {} });
          return [...box.querySelectorAll("dt")].map((one) => one.textContent);
        }"""
    )
    assert names == ["人数", "no name"]


@pytest.mark.parametrize(
    ("lang", "renamed", "removed", "deleted"),
    [
        ("en", "Bob changed the title to “Travel”", "Bob removed Eve", "“Travel” was deleted."),
        ("zh", "Bob 把标题改为“Travel”", "Bob 移除了 Eve", "“Travel”已被删除。"),
    ],
)
async def test_a_conversation_that_is_renamed_or_deleted_while_it_is_open_says_so(
    *, open_page: PageFactory, plans: Conversation, lang: str, renamed: str, removed: str, deleted: str
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, locale=lang)
    eve = await open_page(1, "Eve", conversation=plans.id)
    await until(page, "state.open.entries.at(-1).data.name === 'Eve'")
    await plans.rename("Travel")
    await expect(page.locator("#title")).to_have_text("Travel")
    await expect(page.locator("#list")).to_contain_text("Travel")
    await expect(page.locator("#log")).to_contain_text(renamed)
    await plans.remove(await look(eve, "state.me"))
    await expect(page.locator("#log")).to_contain_text(removed)
    await until(eve, "!state.open")
    await plans.delete_all()
    await expect(page.get_by_text(deleted)).to_be_visible()
    await until(page, "!state.open && !state.conversations.size")


async def test_a_message_that_its_author_deletes_is_gone_from_every_page(
    open_page: PageFactory, plans: Conversation
) -> None:
    ann = await open_page(0, "Ann", conversation=plans.id)
    eve = await open_page(1, "Eve", conversation=plans.id)
    await say(ann, "stays")
    await say(ann, "a slip of the tongue")
    for page in (ann, eve):
        await expect(page.locator("#log")).to_contain_text("a slip of the tongue")
    await act(ann, "a slip of the tongue", "Delete")
    await ann.click("#ask-yes")
    for page in (ann, eve):
        await expect(page.locator("#log")).to_contain_text("Message deleted")
        await expect(page.locator("#log")).not_to_contain_text("a slip of the tongue")
        await expect(page.locator("#log")).to_contain_text("stays")
        await until(
            page, "!state.open.last.text && !state.open.entries.some((one) => one.data.text?.includes('slip'))"
        )
    await ann.reload()
    await expect(ann.locator("#log")).to_contain_text("Message deleted")
