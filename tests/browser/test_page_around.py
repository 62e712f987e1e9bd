"""Around the open conversation: the first minute, the list and its menus, settings, and another device."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until
from tests.conftest import ClientFactory

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SETTINGS = "[state.open.access, state.open.agent, state.open.strategy, state.open.approvals, state.open.invites]"


async def choose(page: Page, title: str, *ways: str) -> None:
    """Choose something from the menu of a conversation in the list."""
    item = page.locator("#lists li", has_text=title)
    await item.hover()
    await item.locator(".more").click()
    for way in ways:
        await page.click(f"#item-menu [value={way}]")


@pytest.mark.parametrize(
    ("locale", "starters"),
    [
        (
            "en-GB",
            [
                "Show me what you can do",
                "Book a table for two tomorrow at seven",
                "Tell me a long story about a lighthouse",
            ],
        ),
        ("zh-CN", ["展示一下你能做什么", "预订明晚七点两人的餐位", "讲一个关于灯塔的长故事"]),
    ],
)
async def test_a_name_is_all_that_is_needed_before_the_agent_answers(
    *, cluster: LocalCluster, browser: Browser, locale: str, starters: list[str]
) -> None:
    context = await browser.new_context(locale=locale)
    page = await context.new_page()
    await page.goto(cluster.urls[0])
    await expect(page.locator("#as-guest input")).to_be_focused()
    await page.keyboard.type("Ann")
    await page.keyboard.press("Enter")
    await expect(page.locator("#starters button")).to_have_text(starters)
    await expect(page.locator("#text")).to_be_focused()
    await page.locator("#starters button").last.click()
    await expect(page.locator("#log .mine .text")).to_have_text(starters[-1])
    await until(page, "state.open.entries.some((one) => one.type === 'answer')")
    await expect(page.locator("#welcome")).to_be_hidden()
    assert await look(page, "state.conversations.size") == 1
    await context.close()


async def test_who_follows_a_link_gets_its_conversation_and_no_other(
    cluster: LocalCluster, browser: Browser, plans: Conversation
) -> None:
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{cluster.urls[1]}/#c={plans.id}")
    await page.fill("#as-guest input", "Eve")
    await page.press("#as-guest input", "Enter")
    await until(page, f"state.open?.loaded && state.open.id === '{plans.id}' && state.link === 'online'")
    assert await look(page, "[...state.conversations.keys()]") == [plans.id]
    await context.close()


async def test_an_empty_conversation_says_who_answers_in_it(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    for settings, title, text in (
        ({"graph": "echo"}, "Echo is here", "Write a message, and Echo answers."),
        ({"agent": "mention"}, "Concierge is here", "when you write @agent"),
        ({"agent": "off"}, "Just people here", "Invite people"),
    ):
        await create(page, title, **settings)
        await expect(page.locator("#welcome-title")).to_have_text(title)
        await expect(page.locator("#welcome-text")).to_contain_text(text)
        await expect(page.locator("#starters button")).to_have_count(0)


async def test_a_conversation_is_made_in_one_step_and_its_settings_are_changed_later(
    open_page: PageFactory,
) -> None:
    ann = await open_page(0, "Ann")
    await ann.click("#new")
    await until(ann, "state.open?.loaded && state.open.role === 'owner'")
    conversation = await look(ann, "state.open.id")
    bob = await open_page(1, "Bob", conversation=conversation)
    await ann.click("[popovertarget=people]")
    await ann.fill("#settings [name=title]", "Travel")
    await ann.press("#settings [name=title]", "Enter")
    await ann.click("#settings summary")
    wanted = {
        "access": "invitation",
        "agent": "mention",
        "multitask_strategy": "reject",
        "approvals": "owner",
        "invites": "owner",
    }
    for name, value in wanted.items():
        await ann.select_option(f"#settings [name={name}]", value)
    for page in (ann, bob):
        await until(page, f"{SETTINGS}.join() === 'invitation,mention,reject,owner,owner'")
        await expect(page.locator("#title")).to_have_text("Travel")
    await expect(bob.locator("#log .conversation_configured").last).to_have_text("Ann changed the settings")
    await bob.click("[popovertarget=people]")
    await expect(bob.locator("#settings-note")).to_have_text("Only the owner can change these settings.")
    assert await bob.locator("#settings :is(input, select):enabled").count() == 0
    await expect(bob.locator("#delete")).to_be_hidden()


async def test_another_agent_and_a_link_are_a_menu_away(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann")
    await page.click("#new-more")
    await page.get_by_role("button", name="With Echo").click()
    await until(page, "state.open?.graph === 'echo'")
    await page.click("#new-more")
    await page.fill("#join-form input", f"https://chat.example.com/#c={plans.id}")
    await page.press("#join-form input", "Enter")
    await until(page, f"state.open?.id === '{plans.id}'")


async def test_pinned_conversations_come_first_and_archived_ones_apart_on_all_devices(
    open_page: PageFactory,
) -> None:
    ann = await open_page(0, "Ann")
    for title in ("First", "Second", "Third"):
        await create(ann, title, agent="off")
    phone = await open_page(1, token=ann.token, **PHONE)  # type: ignore[attr-defined]
    titles = phone.locator("#list .title")
    await expect(titles).to_have_text(["Third", "Second", "First"])
    await choose(ann, "First", "pin")
    for page in (ann, phone):
        await expect(page.locator("#list .title")).to_have_text(["First", "Third", "Second"])
        await expect(page.locator("#list .pin")).to_have_count(1)
    await choose(ann, "Third", "archive")
    await expect(titles).to_have_text(["First", "Second"])
    await expect(phone.locator("#archived summary")).to_have_text("Archived (1)")
    await phone.click("#archived summary")
    await expect(phone.locator("#archive .title")).to_have_text(["Third"])
    await choose(phone, "Third", "unarchive")
    await choose(phone, "First", "unpin")
    await expect(ann.locator("#list .title")).to_have_text(["Third", "Second", "First"])
    await ann.reload()
    await expect(ann.locator("#list .title")).to_have_text(["Third", "Second", "First"])


async def test_the_menu_of_a_conversation_opens_by_button_pointer_and_keyboard(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await create(page, "Plans", agent="off")
    menu = page.locator("#item-menu")
    await page.locator("#list a").click(button="right")
    await expect(menu).to_be_visible()
    await expect(menu.locator("[value=pin]")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(menu.locator("[value=deleteAll]")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(menu).to_be_hidden()
    await page.locator("#list .more").focus()
    await page.keyboard.press("Enter")
    await expect(menu).to_be_visible()
    await page.click("#item-menu [value=rename]")
    await page.fill("#ask input", "Travel")
    await page.press("#ask input", "Enter")
    await expect(page.locator("#title")).to_have_text("Travel")
    await expect(page.locator("#list .title")).to_have_text(["Travel"])


async def test_leaving_and_deleting_ask_first(open_page: PageFactory) -> None:
    ann = await open_page(0, "Ann")
    bob = await open_page(1, "Bob", conversation=await create(ann, agent="off"))
    await choose(bob, "Plans", "leave")
    await expect(bob.locator("#ask-title")).to_have_text("Leave “Plans”?")
    assert not await bob.locator("#item-menu [value=deleteAll]").count()
    await bob.keyboard.press("Enter")  # the focus is on what changes nothing
    await expect(bob.locator("#ask")).to_be_hidden()
    await expect(bob.locator("#list li")).to_have_count(1)
    await choose(bob, "Plans", "leave")
    await bob.click("#ask-yes")
    await expect(bob.locator("#list li")).to_have_count(0)
    await choose(ann, "Plans", "deleteAll")
    await expect(ann.locator("#ask-text")).to_contain_text("for everyone")
    await ann.click("#ask-yes")
    await expect(ann.locator("#list li")).to_have_count(0)


async def test_what_a_user_does_elsewhere_and_comings_and_goings_are_not_unread(
    *, open_page: PageFactory, cluster: LocalCluster, new_client: ClientFactory, plans: Conversation
) -> None:
    ann = await open_page(0, "Ann")
    phone = await open_page(1, token=ann.token)  # type: ignore[attr-defined]
    for number in range(3):
        await create(ann, f"Made here {number}", agent="off")
    await say(ann, "written here")
    await until(phone, "state.conversations.size === 3")
    await expect(phone.locator("#list .last").first).to_have_text("You: written here")
    conversation = await look(ann, "state.open.id")
    eve = await new_client("Eve", node=2)
    room = await eve.join(conversation)
    await room.leave()
    await expect(ann.locator("#log .member_left")).to_be_visible()
    later = await open_page(2, token=ann.token)  # type: ignore[attr-defined]
    await until(later, "state.conversations.size === 3")
    for page in (phone, later):
        await until(page, f"state.conversations.get('{conversation}').head >= 4")  # Eve has come and gone
        await expect(page.locator("#list .count")).to_have_count(0)
        assert await page.title() == "Roomgraph"


async def test_the_list_is_read_by_its_differences(open_page: PageFactory, cluster: LocalCluster) -> None:
    ann = await open_page(0, "Ann")
    for number in range(12):
        await create(ann, f"Room {number}", agent="off")
    phone = await open_page(1, token=ann.token)  # type: ignore[attr-defined]
    await until(phone, "state.conversations.size === 12")
    await ann.evaluate("new Promise((done) => setTimeout(done, 6000))")  # what is newer may be listed again
    sizes: list[int] = []
    phone.on(
        "websocket",
        lambda socket: socket.on(
            "framereceived",
            lambda frame: (
                sizes.append(len(frame))
                if '"changed_since"' not in str(frame) and '"unavailable"' in str(frame)
                else None
            ),
        ),
    )
    await phone.reload()
    await until(phone, "state.conversations.size === 12 && state.link === 'online'")
    whole = max(sizes)
    sizes.clear()
    await create(ann, "One more", agent="off")
    await until(phone, "state.conversations.size === 13")
    assert sizes
    assert max(sizes) < whole / 3


async def test_a_link_and_its_qr_code_sign_another_device_in_once(
    *, open_page: PageFactory, cluster: LocalCluster, browser: Browser
) -> None:
    ann = await open_page(0, "Ann")
    await create(ann, agent="off")
    await ann.click("#my-button")
    await expect(ann.locator("#mine > :nth-child(2)")).to_have_id("add-device")
    await ann.click("#link-device")
    await expect(ann.locator("#link-left")).to_contain_text("Works once. Expires in ")
    await ann.evaluate("navigator.clipboard.writeText = async (text) => (window.copied = text)")
    await ann.click("#copy-device-link")
    link = await ann.evaluate("copied")
    assert await ann.locator("#qr path").get_attribute("d")

    context = await browser.new_context(locale="en-GB", **PHONE)
    phone = await context.new_page()
    await phone.goto(link)
    await expect(phone.locator("#use-link")).to_be_focused()
    assert "device=" not in phone.url
    await phone.click("#use-link")
    await expect(phone.locator("#list .title")).to_have_text(["Plans"])
    assert await look(phone, "state.me") == await look(ann, "state.me")
    assert await look(phone, "!document.activeElement.matches('#new')")
    await expect(ann.locator("#linking")).to_be_hidden()
    await expect(ann.locator("#devices li")).to_have_count(2)

    again = await (await browser.new_context(locale="en-GB")).new_page()
    await again.goto(link)
    await again.click("#use-link")
    await expect(again.locator("#signin-error")).to_contain_text("used already")
    await expect(again.locator("#as-guest")).to_be_visible()
    await again.context.close()
    await context.close()


async def test_a_withdrawn_link_signs_nobody_in(open_page: PageFactory, browser: Browser) -> None:
    ann = await open_page(0, "Ann")
    await ann.click("#my-button")
    await ann.evaluate("navigator.clipboard.writeText = async (text) => (window.copied = text)")
    for way in ("#unlink", "#mine header button"):  # a closed panel withdraws it, too
        await ann.click("#link-device")
        await ann.click("#copy-device-link")
        link = await ann.evaluate("copied")
        await ann.click(way)
        await expect(ann.locator("#linking")).to_be_hidden()
        phone = await (await browser.new_context(locale="en-GB")).new_page()
        await phone.goto(link)
        await phone.click("#use-link")
        await expect(phone.locator("#signin-error")).to_contain_text("has expired")
        await phone.context.close()


async def test_an_invitation_of_somebody_unknown_says_so(open_page: PageFactory, cluster: LocalCluster) -> None:
    ann = await open_page(0, "Ann")
    await create(ann, agent="off")
    bob = await open_page(1, "Bob")
    known = await look(bob, "state.me")
    await ann.click("[popovertarget=people]")
    await ann.fill("#invite input", f"{known} nobody-123")
    await ann.press("#invite input", "Enter")
    await expect(ann.locator("#toast")).to_have_text(
        f"Invited: {known}. The invitation is in their list. "
        "No user has this ID yet: nobody-123. The invitation appears when they sign in."
    )


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
async def test_a_toast_never_covers_where_one_writes(open_page: PageFactory, device: dict[str, Any]) -> None:
    page = await open_page(0, "Ann", **device)
    await create(page, agent="off")
    await page.fill("#text", "\n".join("line" for _ in range(12)))
    await page.evaluate("import('/js/dom.js').then(({ toast }) => toast('word '.repeat(60)))")
    box = "document.querySelector('{}').getBoundingClientRect()"
    await until(page, f"{box.format('#toast')}.bottom <= {box.format('#composer')}.top")


async def test_unread_messages_are_counted_in_the_title_and_a_copied_link_leads_to_the_conversation(
    open_page: PageFactory, cluster: LocalCluster, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.click("[popovertarget=people]")
    await page.evaluate("navigator.clipboard.writeText = async (text) => (window.copied = text)")
    await page.click("#copy-link")
    assert await page.evaluate("copied") == f"{cluster.urls[0]}/#c={plans.id}"
    await page.keyboard.press("Escape")
    await page.evaluate("location.hash = ''")
    for number in range(3):
        await plans.send(f"message {number}")
    await until(page, "document.title === '(3) Roomgraph'")
    await expect(page.locator("#list .new .count")).to_have_text("3")


async def test_a_starter_is_sent_once_and_the_focus_is_where_people_write(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    await create(page)
    await page.locator("#starters button").first.focus()
    await page.evaluate("[1, 2].forEach(() => document.querySelector('#starters button').click())")
    await expect(page.locator("#log .mine")).to_have_count(1)
    await expect(page.locator("#text")).to_be_focused()
    await expect(page.locator(".actions")).to_be_visible()
    assert await look(page, "state.open.entries.filter((e) => e.type === 'message').length") == 1
