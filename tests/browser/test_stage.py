"""The stage in a real browser, on a real `roomgraph up`: it shows what happens, and its figures are true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from sio_clients import ChatClient, guest_token
from sio_clients.conversation import Conversation
from sio_server.protocol.events import EntryType
from tests.browser.pages import problems
from tests.browser.stage_page import ENDED, MOVING, ONLINE, PARTS, collisions, figure, outcome, until, within_page
from tests.waiting import Inbox

pytest_plugins = ["tests.browser.opened_stage"]


class Given:
    """The request_ids of the messages that a client was given, in their order."""

    def __init__(self) -> None:
        self.take: Inbox[str] = Inbox()
        self.ids = self.take.items

    async def reach(self, count: int) -> None:
        await self.take.until(lambda ids: len(ids) >= count, f"{count} messages", 5)


Witness = tuple[Conversation, Given]


async def conversation_of(page: Page) -> str:
    address = await page.get_attribute("#laptop iframe", "src") or ""
    return address.partition("#c=")[2]


@pytest.fixture
async def witness(staged: Page, stage_url: str) -> AsyncIterator[Witness]:
    """A Python client in the stage's conversation, and the ids of the messages that it is given."""
    url = stage_url.partition("/stage")[0]
    host, _, port = url.rpartition(":")
    urls = [f"{host}:{int(port) + step}" for step in (2, 0, 1)]
    _, token = await guest_token(url, "Witness")
    given = Given()
    async with ChatClient(urls, token) as client:
        conversation = await client.join(await conversation_of(staged))

        async def listen() -> None:
            async for entry in conversation.entries():
                if entry.type == EntryType.MESSAGE:
                    given.take(entry.data["request_id"])

        listening = asyncio.create_task(listen())
        yield conversation, given
    await listening


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_the_seven_parts_hold_and_the_figures_match_what_another_client_received(
    staged: Page, witness: Witness
) -> None:
    given = witness[1]
    outcomes = []
    await staged.click("#play")
    for part in range(PARTS):
        await until(staged, f"document.getElementById('number').textContent === '{part + 1}'")
        outcomes.append(await outcome(staged))
        if part < PARTS - 1:
            await staged.click("#play")  # pause: the next part does not begin by itself
        assert await collisions(staged) == {}, f"part {part + 1}"
        if part < PARTS - 1:
            await staged.click("#next")
    assert [outcome for outcome, _ in outcomes] == ["held"] * PARTS, outcomes

    assert [await figure(staged, name) for name in ("lost", "duplicated", "disordered")] == ["0", "0", "0"]
    sent = int(await figure(staged, "sent"))
    await given.reach(sent)
    assert len(given.ids) == len(set(given.ids)) == sent > 100
    assert int(await figure(staged, "received")) == 2 * sent


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
async def test_axe_finds_nothing_serious_on_the_stage_while_it_plays_and_at_the_end(
    browser: Browser, stage_url: str, scheme: Any, locale: str
) -> None:
    page = await browser.new_page(
        viewport={"width": 1440, "height": 900}, locale=locale, color_scheme=scheme, reduced_motion="reduce"
    )
    found: dict[str, list[str]] = {}
    try:
        await page.goto(stage_url)
        await until(page, ONLINE)
        found["begin"] = await problems(page)
        await page.click("#play")
        await until(page, ENDED, 60)
        found["held"] = await problems(page)
    finally:
        await page.close()
    assert {state: said for state, said in found.items() if said} == {}


async def test_the_stage_moves_nothing_without_traffic(staged: Page) -> None:
    await until(staged, "document.querySelectorAll('.cell.system').length === 2")  # Ann and Bob have joined
    # What is told of that may come a little later, from each node by itself.
    await within_page(staged, "let changes = 1; while (changes) changes = await changed();")
    still = "document.getElementById('drawing').outerHTML + document.getAnimations().length"
    before = await staged.evaluate(still)
    changes = await within_page(staged, "return await changed();")
    assert (changes, await staged.evaluate(still)) == (0, before)

    send = "contentWindow.postMessage({do: 'send', text: 'Hello'}, location.origin)"
    await staged.evaluate(f"document.querySelector('#phone iframe').{send}")
    await until(staged, f"{MOVING} > 0")
    await until(staged, f"{MOVING} === 0")


@pytest.mark.faults
async def test_the_button_kills_the_node_that_is_answering_and_the_takeover_is_shown(
    staged: Page, witness: Witness
) -> None:
    conversation = witness[0]
    for _ in range(4):  # an answer may be complete before its node is dead
        await conversation.send("@concierge what can you do for us?")
        await until(staged, "document.querySelector('.node.runs')")
        node = await staged.evaluate("document.querySelector('.node.runs .name').textContent")
        await staged.click(f"button[data-node='{node}']")
        dead = f"[...document.querySelectorAll('.node.dead .name')].some((name) => name.textContent === '{node}')"
        await until(staged, dead)
        taken = "document.querySelectorAll('.hop:not([d=\"\"])').length === 1"
        over = "document.querySelectorAll('.node.runs').length === 0"
        await until(staged, f"{taken} || {over}")
        if await staged.evaluate(taken):
            break
        await staged.click(f"button[data-node='{node}']")
        await until(staged, f"!{dead}")
    assert await staged.evaluate(taken)
    await until(staged, over)
    assert await staged.evaluate(dead)
    await until(staged, ONLINE)
    await staged.click(f"button[data-node='{node}']")
    await until(staged, f"!{dead}")


async def test_the_stage_says_what_to_do_when_the_key_is_missing_or_wrong(page: Page, stage_url: str) -> None:
    address = stage_url.partition("#")[0]
    await page.goto(address)
    await until(page, "!document.getElementById('closed').hidden")
    assert "roomgraph up" in await page.inner_text("#why")
    await page.goto("about:blank")
    await page.goto(f"{address}#key=wrong")
    await until(page, "!document.getElementById('closed').hidden")
    assert "not this cluster's" in await page.inner_text("#why")
    assert page.url == address


async def test_the_stage_has_no_fault_buttons_without_a_controller(page: Page, stage_url: str) -> None:
    node = stage_url.partition("/stage")[0]
    hello = f'{{"kind": "hello", "node": "9000", "control": null, "nodes": ["{node}"]}}\n'
    await page.route("**/api/trace", lambda route: route.fulfill(body=hello))
    await page.goto(stage_url)
    await until(page, ONLINE)
    assert not await page.is_visible("#control")
    assert await page.is_visible("#no-control")
    await page.click("#parts li:nth-child(6) button")
    await until(page, ENDED)
    assert await page.get_attribute("#outcome", "class") == "left"
