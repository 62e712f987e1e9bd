"""Signing in and out, links for other devices, and what a person is told when something is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until
from tests.conftest import NODE_SETTINGS, cluster_in

COPYING = "navigator.clipboard.writeText = async (text) => (window.copied = text)"


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-GB")
    yield context
    await context.close()


def console_of(page: Page, *types: str) -> list[str]:
    """What the page, or the browser for it, writes into the console from now on."""
    written: list[str] = []
    page.on("console", lambda message: written.append(message.text) if message.type in types else None)
    page.on("pageerror", lambda error: written.append(str(error)) if "error" in types else None)
    return written


async def link_of(page: Page) -> str:
    """A link for another device, made in the panel, which stays open."""
    await page.evaluate(COPYING)
    await page.click("#my-button")
    await page.click("#link-device")
    await page.click("#copy-device-link")
    return str(await page.evaluate("copied"))


@pytest.mark.parametrize("link", ["used", "cut"])
async def test_a_link_that_is_no_longer_good_leaves_a_signed_in_tab_as_it_was(
    open_page: PageFactory, context: BrowserContext, link: str
) -> None:
    ann, bob = await open_page(0, "Ann"), await open_page(1, "Bob")
    address = await link_of(ann)
    if link == "used":
        phone = await context.new_page()
        await phone.goto(address)
        await phone.click("#use-link")
        await until(phone, "state.link === 'online'")
        await expect(ann.locator("#toast")).to_have_text("The device is signed in.")
    else:
        address = address.partition("=")[0] + "=%"
    me = await look(bob, "state.me")
    await bob.evaluate("(address) => (location.hash = new URL(address).hash)", address)
    await bob.click("#use-link")
    await until(bob, f"state.link === 'online' && state.me === '{me}'")
    await expect(bob.locator("#toast")).to_contain_text("This link no longer works")
    assert "device=" not in bob.url


async def test_a_link_may_be_declined(open_page: PageFactory, context: BrowserContext) -> None:
    ann, bob = await open_page(0, "Ann"), await open_page(1, "Bob")
    address = await link_of(ann)
    me = await look(bob, "state.me")
    await bob.evaluate("(address) => (location.hash = new URL(address).hash)", address)
    await bob.click("#decline-link")
    await until(bob, f"state.link === 'online' && state.me === '{me}'")
    newcomer = await context.new_page()
    await newcomer.goto(address)
    await newcomer.click("#decline-link")
    await expect(newcomer.locator("#as-guest input")).to_be_focused()
    await expect(newcomer.locator("#by-link")).to_be_hidden()
    # It is still good: nobody has used it.
    await newcomer.goto("about:blank")
    await newcomer.goto(address)
    await newcomer.click("#use-link")
    await until(newcomer, "state.link === 'online'")
    assert await look(newcomer, "state.me") == await look(ann, "state.me")


async def test_a_link_that_is_made_while_its_panel_closes_is_withdrawn(open_page: PageFactory) -> None:
    withdrawn = asyncio.Event()

    def look_at(frame: str | bytes) -> None:
        if '"device:unlink"' in str(frame):
            withdrawn.set()

    async def watch(page: Page) -> None:
        page.on("websocket", lambda socket: socket.on("framesent", look_at))

    ann = await open_page(0, "Ann", prepare=watch)
    await ann.evaluate("import('/js/lazy.js').then(({ lazy }) => lazy.addDevice.load())")
    await ann.click("#my-button")
    await ann.evaluate(
        "document.querySelector('#link-device').click(); document.querySelector('#mine').hidePopover()"
    )
    await asyncio.wait_for(withdrawn.wait(), 20)
    await expect(ann.locator("#linking")).to_be_hidden()


async def test_a_tab_that_comes_by_itself_ends_no_link(open_page: PageFactory, context: BrowserContext) -> None:
    ann = await open_page(0, "Ann")
    address = await link_of(ann)
    await open_page(1, "Ann", token=ann.token)  # type: ignore[attr-defined]
    await until(ann, "state.devices.length === 2")
    await expect(ann.locator("#linking")).to_be_visible()
    phone = await context.new_page()
    await phone.goto(address)
    await phone.click("#use-link")
    await until(phone, "state.link === 'online'")
    await expect(ann.locator("#linking")).to_be_hidden()


async def test_signing_out_asks_first_and_says_what_is_lost(
    cluster: LocalCluster, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(cluster.urls[0])
    await page.fill("#as-guest input", "Ann")
    await page.click("#as-guest button")
    await until(page, "state.link === 'online' && state.open?.loaded")
    await until(page, "(await import('/js/lazy.js')).lazy.people.loaded")
    await context.set_offline(True)
    await until(page, "state.link === 'offline'")
    await say(page, "hello")
    await page.click("#my-button")
    await page.click("#sign-out")
    await expect(page.locator("#ask-text")).to_have_text(
        "1 message that is not sent yet is lost. "
        "You are a guest: you can be Ann again only through a device that is still signed in."
    )
    await page.keyboard.press("Enter")  # the focus is on what changes nothing
    await expect(page.locator("#ask")).to_be_hidden()
    await context.set_offline(False)
    await until(page, "state.link === 'online' && state.open.entries.some((one) => one.data.text === 'hello')")
    await page.click("#my-button")
    await page.click("#sign-out")
    await expect(page.locator("#ask-text")).not_to_contain_text("not sent")
    await page.click("#ask-yes")
    await expect(page.locator("#as-guest")).to_be_visible(timeout=20_000)


async def test_errors_of_the_page_and_refusals_stay_in_the_console(
    cluster: LocalCluster, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(cluster.urls[0])
    await page.fill("#as-guest input", "Ann")
    await page.click("#as-guest button")
    await until(page, "state.link === 'online' && state.open?.loaded")
    errors, warnings = console_of(page, "error"), console_of(page, "warning")
    await page.evaluate("setTimeout(async () => null.missing)")
    await expect(page.locator("#toast")).to_contain_text("Something went wrong.")
    assert [error for error in errors if "missing" in error]
    errors.clear()
    refusal = "Object.assign(new Error('not yours'), { code: 'not_allowed' })"
    await page.evaluate(f"setTimeout(async () => {{ throw {refusal}; }})")
    await expect(page.locator("#toast")).to_have_text("You may not do this. not yours")
    assert [warning for warning in warnings if "not yours" in warning]
    assert not errors


async def test_a_refusal_is_told_in_chinese(open_page: PageFactory) -> None:
    page = await open_page(0, "小安", locale="zh-CN")
    await create(page, agent="off")
    await page.click("[popovertarget=people]")
    await page.fill("#settings [name=title]", "计划\u202e")
    await page.press("#settings [name=title]", "Enter")
    await expect(page.locator("#toast")).to_contain_text("内容不符合要求：")


@pytest.mark.parametrize(
    ("settings", "form", "text"),
    [
        ({}, True, "This browser remembers you as a guest until you sign out."),
        ({"GUEST_REMEMBERED": "0"}, True, "On a shared computer,"),
        ({"AUTH_MODE": "token"}, False, ""),
    ],
    ids=["guests", "guests that no browser remembers", "tokens only"],
)
async def test_a_newcomer_sees_what_the_server_takes_and_remembers_and_no_error(
    tmp_path: Any, context: BrowserContext, *, settings: dict[str, str], form: bool, text: str
) -> None:
    async with cluster_in(tmp_path, {**NODE_SETTINGS, **settings}, nodes=1) as cluster:
        page = await context.new_page()
        errors = console_of(page, "error")
        async with page.expect_response("**/api/guest/remembered") as asked:
            await page.goto(cluster.urls[0])
        assert (await asked.value).status == 200
        await expect(page.locator("#as-guest")).to_be_visible(visible=form)
        await expect(page.locator("#with-token input")).to_be_visible(visible=not form)
        shown = page.locator("#remembered:visible")
        await (expect(shown).to_contain_text(text) if form else expect(shown).to_have_count(0))
        await expect(page.locator("#kept")).to_be_visible(visible="remembers" in text)
        assert not errors


@pytest.mark.parametrize("public", ["", "https://chat.example.com/team"])
async def test_links_lead_to_the_public_address_or_to_that_of_the_page(
    tmp_path: Any, context: BrowserContext, public: str
) -> None:
    async with cluster_in(tmp_path, {**NODE_SETTINGS, "PUBLIC_URL": public}, nodes=1) as cluster:
        page = await context.new_page()
        await page.goto(cluster.urls[0])
        await page.fill("#as-guest input", "Ann")
        await page.click("#as-guest button")
        await until(page, "state.link === 'online' && state.open?.loaded")
        conversation = await look(page, "state.open.id")
        link = await link_of(page)
        assert link.startswith(f"{public or cluster.urls[0]}/#device=")
        # No phone opens an address of this computer.
        await expect(page.locator("#qr")).to_be_visible(visible=bool(public))
        how = "Scan the code" if public else "This address works on this computer only"
        await expect(page.locator("#link-how")).to_contain_text(how)
        await page.keyboard.press("Escape")
        await page.click("[popovertarget=people]")
        await page.click("#copy-link")
        assert await page.evaluate("copied") == f"{public or cluster.urls[0]}/#c={conversation}"
