"""The list and the panels: invitations, members, what waits elsewhere, and what is refused before it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until

pytestmark = pytest.mark.faults  # for their length; they break nothing

pytest_plugins = ["tests.served.fixtures"]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LONG = "Maximiliana-Alexandrina-von-und-zu-Hohenlohe-Langenburg"
BOX = "document.querySelector('{}').getBoundingClientRect()"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def invite(page: Page, who: str) -> None:
    """Invite by user id, in the panel."""
    if not await page.locator("#people").is_visible():
        await page.click("[popovertarget=people]")
    await page.fill("#invite input", who)
    await page.press("#invite input", "Enter")


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
async def test_an_invitation_is_shown_before_it_is_accepted_or_declined(
    open_page: PageFactory, device: dict[str, Any]
) -> None:
    ann, bob = await open_page(0, "Ann"), await open_page(1, "Bob", **device)
    await until(bob, "(await import('/js/lazy.js')).lazy.invitation.loaded")
    me = await look(bob, "state.me")
    await create(ann, "Plans", agent="off", access="invitation")
    await invite(ann, me)
    item = bob.locator("#list a", has_text="Plans")
    await item.click()
    await expect(bob.locator("#ask-title")).to_have_text("Plans")
    await expect(bob.locator("#ask-text")).to_have_text("You are invited to this conversation.")
    await bob.keyboard.press("Enter")  # the focus is on what changes nothing
    await expect(bob.locator("#ask")).to_be_hidden()
    assert await look(ann, "state.open.entries.every((one) => one.type !== 'member_joined')")
    assert "#" not in bob.url
    await item.click()
    await bob.click("#ask-other")
    await expect(bob.locator("#list li")).to_have_count(0)
    # Once more, by somebody whose name is known by now.
    learn = "(id) => import('/js/state.js').then(({ state }) => state.names.set(id, 'Ann') && 0)"
    await bob.evaluate(learn, await look(ann, "state.me"))
    await invite(ann, me)
    await item.click()
    await expect(bob.locator("#ask-text")).to_have_text("Ann invites you to this conversation.")
    await bob.click("#ask-yes")
    await until(bob, "state.open?.loaded && state.open.role === 'member'")


async def test_the_owner_removes_a_member_after_a_question(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    bob = await open_page(1, "Bob", conversation=await create(ann, agent="off"))
    await ann.click("[popovertarget=people]")
    await bob.click("[popovertarget=people]")
    remove = ann.get_by_role("button", name="Remove Bob")
    await remove.click()
    await expect(ann.locator("#ask-title")).to_have_text("Remove Bob?")
    await ann.keyboard.press("Enter")  # the focus is on what changes nothing
    await expect(bob.locator("#members li")).to_have_count(2)
    await expect(bob.locator("#members button")).to_have_count(0)
    await ann.click("[popovertarget=people]")
    await remove.click()
    await ann.click("#ask-yes")
    await expect(ann.locator("#members li")).to_have_count(1)
    await expect(ann.locator("#members button")).to_have_count(0)
    await expect(bob.locator("#toast")).to_have_text("You are no longer a member of “Plans”.")


@pytest.mark.parametrize(
    ("locale", "said", "joining"),
    [
        ("en-GB", "“y/../<b>” is not a user ID.", "This is neither a conversation link nor a conversation ID."),
        ("zh-CN", "“y/../<b>”不是有效的用户 ID。", "这不是有效的对话链接或对话 ID。"),
    ],
)
async def test_ids_are_checked_where_they_are_written(
    *, open_page: PageFactory, plans: Conversation, locale: str, said: str, joining: str
) -> None:
    page = await open_page(0, "Ann", locale=locale)
    await create(page, agent="off")
    await invite(page, "x y/../<b>")
    await expect(page.locator("#invite-error")).to_contain_text(said)
    await expect(page.locator("#invite input")).to_have_value("x y/../<b>")
    await invite(page, "nobody-1")
    await expect(page.locator("#invite-error")).to_be_hidden()
    await page.keyboard.press("Escape")
    await page.click("#new-more")
    for where, wrong in (("x y/../<b>", joining), ("no-such-conversation", "")):
        await page.fill("#join-form input", where)
        await page.press("#join-form input", "Enter")
        await expect(page.locator("#join-error")).to_be_visible()
        await expect(page.locator("#join-error")).to_contain_text(wrong)
        await expect(page.locator("#join-form input")).to_have_value(where)
    await page.fill("#join-form input", plans.id)
    await page.press("#join-form input", "Enter")
    await until(page, f"state.open?.id === '{plans.id}'")
    await expect(page.locator("#new-menu")).to_be_hidden()


async def test_an_untitled_conversation_is_named_as_in_the_list_when_it_is_deleted(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await page.click("#new")
    await until(page, "state.open?.loaded")
    await page.click("[popovertarget=people]")
    await page.click("#delete")
    await page.click("#ask-yes")
    await expect(page.locator("#toast")).to_have_text("“New conversation” was deleted.")


async def test_a_new_conversation_is_the_one_that_is_still_empty(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await page.click("#new")
    await until(page, "state.open?.loaded")
    first = await look(page, "state.open.id")
    await create(page, "Travel", agent="off")
    await page.keyboard.press("Alt+n")
    await until(page, f"state.open.id === '{first}'")
    await page.click("#new")
    await say(page, "hello")
    await until(page, "state.open.last")
    await page.click("#new")
    await until(page, f"state.open?.loaded && state.open.id !== '{first}'")
    assert await look(page, "state.conversations.size") == 3


async def test_a_question_that_waits_is_the_last_line_of_its_conversation(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    phone = await open_page(1, token=ann.token, **PHONE)  # type: ignore[attr-defined]
    await create(ann, "Table", graph="concierge")
    await say(ann, "Book a table for two tomorrow at seven")
    await expect(ann.locator("fieldset button").first).to_be_visible()
    for page in (ann, phone):
        await expect(page.locator("#list .last")).to_contain_text("Concierge: ")
        await expect(page.locator("#list .count", has_text="?")).to_have_count(1)
        await expect(page.locator("#list a")).to_contain_text("waits for an answer")
    await ann.locator("fieldset button").first.click()
    for page in (ann, phone):
        await expect(page.locator("#list .count", has_text="?")).to_have_count(0)


async def test_news_elsewhere_are_at_the_back_button_and_members_in_the_heading_of_a_phone(
    open_page: PageFactory, plans: Conversation
) -> None:
    phone = await open_page(0, "Ann", conversation=plans.id, **PHONE)
    await expect(phone.locator("#subtitle")).to_have_text("2 members, 2 online")
    await expect(phone.locator("#chat > header .status")).to_be_hidden()
    await expect(phone.locator("#elsewhere")).to_be_hidden()
    await create(phone, "Other", agent="off")
    await plans.send("one")
    await plans.send("two")
    await expect(phone.locator("#elsewhere")).to_have_text("2")
    await expect(phone.get_by_role("button", name="Back to the list, 2 new messages")).to_be_visible()
    await phone.context.set_offline(True)
    await expect(phone.locator("#chat > header .status")).to_have_text("Offline")
    await expect(phone.locator("#subtitle")).to_be_hidden()
    await phone.context.set_offline(False)
    await phone.click("#back")
    await phone.locator("#list a", has_text="Plans").click()
    await expect(phone.locator("#elsewhere")).to_be_hidden()


async def test_list_and_panels_are_told_apart_by_a_screen_reader(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await plans.send("# Rooms\n**One** `two` [three](https://example.org)\n```js\nfour\n```")
    await expect(page.locator("#list .last")).to_have_text("Bob: Rooms One two three four")
    await page.click("[popovertarget=people]")
    await expect(page.get_by_role("textbox", name="Title", exact=True)).to_be_visible()
    await page.keyboard.press("Escape")
    await open_page(1, token=page.token)  # type: ignore[attr-defined]
    await page.click("#my-button")
    await expect(page.locator("#devices [data-is=out]")).to_have_count(1)
    name = await page.locator("#devices input").last.input_value()
    await expect(page.get_by_role("button", name=f"Sign out “{name}”", exact=True)).to_have_count(1)


async def test_long_names_and_mixed_titles_stay_in_their_places(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    title = "مرحبا and a very long title of a mixed conversation"
    long = await open_page(1, LONG, conversation=await create(ann, title, agent="off"))
    await say(long, "what was said")
    await expect(ann.locator("#list .last")).to_have_text(f"{LONG[:19]}…: what was said")
    # The beginning of the words from the left is seen.
    seen = """(() => {
      const box = document.querySelector("#list .title"), range = document.createRange();
      range.setStart(box.firstChild, 6), range.setEnd(box.firstChild, 9);
      const a = range.getBoundingClientRect(), b = box.getBoundingClientRect();
      return a.left >= b.left - 1 && a.bottom <= b.bottom + 3 && getComputedStyle(box).direction === "rtl";
    })()"""
    assert await look(ann, seen)
    await expect(ann.locator("#title")).to_have_css("direction", "rtl")
    await ann.click("[popovertarget=people]")
    row = ann.locator("#members li", has_text="Maximiliana")
    await expect(row).to_be_visible()
    name, here = await row.locator("b").bounding_box(), await row.locator(".here").bounding_box()
    assert name
    assert here
    assert name["x"] + name["width"] <= here["x"]
    panel = "document.querySelector('#people')"
    assert await look(ann, f"{panel}.scrollWidth <= {panel}.clientWidth")


async def test_the_menu_of_an_item_covers_neither_its_time_nor_its_count(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate("location.hash = ''")
    await plans.send("news")
    await expect(page.locator("#list .count")).to_have_text("1")
    await page.hover("#list li")
    await expect(page.locator("#list .more")).to_be_visible()
    more, count, time = (BOX.format(f"#list {part}") for part in (".more", ".count", "time"))
    assert await look(page, f"{more}.left >= {count}.right && {more}.top >= {time}.bottom - 3")


async def test_the_search_of_a_phone_takes_two_rows(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, **PHONE)
    await page.click("#find")
    await expect(page.locator("#search")).to_be_visible()
    assert await look(page, f"{BOX.format('#search')}.height <= 120")
    assert await look(page, f"{BOX.format('#date')}.top >= {BOX.format('#query')}.bottom + 4")
    await expect(page.get_by_label("Jump to date")).to_be_visible()


async def test_the_shortcuts_have_a_button_that_closes_them(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await page.keyboard.press("Alt+h")
    await page.locator("#help").get_by_role("button", name="Close").click()
    await expect(page.locator("#help")).to_be_hidden()
    phone = await open_page(0, "Bob", **PHONE)
    await phone.click("#my-button")
    await expect(phone.locator("#mine [popovertarget=help]")).to_be_hidden()


async def test_without_web_push_an_open_page_tells_of_mentions_and_questions_while_it_is_hidden(
    open_page: PageFactory, cluster: LocalCluster, plans: Conversation
) -> None:
    script = """
      globalThis.told = [];
      globalThis.Notification = class {
        static permission = "default";
        static requestPermission = async () => (Notification.permission = "granted");
        constructor(title, { body }) { told.push(`${title}: ${body}`); }
      };
      Object.defineProperty(Document.prototype, "hidden", { get: () => Boolean(globalThis.isAway) });
    """
    page = await open_page(0, "Ann", conversation=plans.id, script=script)
    await page.click("#my-button")
    switch = page.get_by_label("Notify me on this device")
    await expect(switch).not_to_be_checked()
    await plans.send("@Ann before")
    await switch.click()
    await expect(switch).to_be_checked()
    await plans.send("@Ann looks")
    await until(page, "state.open.entries.at(-1).data.text === '@Ann looks'")
    await page.evaluate("globalThis.isAway = true")
    await plans.send("nothing for her")
    await plans.send("@Ann come back")
    await until(page, "globalThis.told.join() === 'Bob · Plans: @Ann come back'")
    await page.evaluate("globalThis.isAway = false")
    await page.reload()
    await until(page, "state.link === 'online'")
    await page.click("#my-button")
    await expect(switch).to_be_visible()
