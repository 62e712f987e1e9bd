"""The end of the log is held until the person leaves it, and is found again, whatever comes and however much."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, look, say, until
from tests.conftest import ClientFactory

pytest_plugins = ["tests.served.fixtures"]

LONG_LOG = (Path(__file__).parent / "long_log.js").read_text().partition("\n")[2].rstrip(";\n")
LINES = "\n".join(f"{line} words that were pasted" for line in range(8))

PARAGRAPHS = "\n\n".join(f"paragraph {number} of a long text" for number in range(40))


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


async def flood(conversation: Conversation, start: int, count: int) -> None:
    await asyncio.gather(*(conversation.send(f"message {number}") for number in range(start, start + count)))


async def at_the_end(page: Page, head: int) -> None:
    """Wait until everything up to this entry is there, and the newest in sight.

    Both are looked at in one step: joins take positions too, so another message may come after this entry.
    """
    shown = "[...document.querySelectorAll('.message .text')].at(-1)?.innerText.trim()"
    await until(
        page,
        f"state.open.entries.at(-1).seq >= {head} && state.open.entries.at(-1).data.text.trim() === {shown}",
    )
    await expect(page.locator("#to-end")).to_be_hidden()
    await expect(page.locator(".message").last).to_be_in_viewport(ratio=0.1)
    await until(page, "state.open.read === state.open.head")


async def test_a_new_member_stays_at_the_end_of_a_conversation_however_long_it_becomes(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await flood(plans, 0, 260)
    await at_the_end(page, 260)
    assert await page.locator(".message").count() <= 240
    await page.evaluate("document.querySelector('#scroller').scrollTop = 0")
    await expect(page.locator("#to-end")).to_be_visible()
    await flood(plans, 260, 40)
    await expect(page.locator("#away")).to_have_text("40 new messages")
    await page.keyboard.press("Alt+End")
    await at_the_end(page, 300)


async def test_a_log_with_few_current_entries_scrolls_both_ways(open_page: PageFactory) -> None:
    """Both ends of what is drawn are near then, and each wants more."""
    page = await open_page(0, "Ann")
    await page.click("#new")
    await page.wait_for_selector("#chat:not(.empty)")
    await page.evaluate(LONG_LOG, 1000)
    count = await page.evaluate(
        """async () => {
          const { state } = await import("/js/state.js");
          const [c] = [...state.conversations.values()];
          for (const entry of c.entries) if (entry.seq % 20) entry.type = "interrupt_resolved";
          await long.open();
          window.draws = 0;
          new MutationObserver(() => (draws += 1)).observe(document.querySelector("#log"), { childList: true });
          const [, rows] = await long.up();
          const scroller = document.querySelector("#scroller");
          const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
          const texts = new Set();
          for (let n = 0; n < 400 && !document.querySelector("#to-end").hidden; n++) {
            scroller.scrollTop += 300;
            await frame();
            for (const node of document.querySelectorAll(".message .text")) texts.add(node.innerText);
          }
          draws = 0;
          for (let n = 0; n < 5; n++) await frame();
          return [texts.size, draws];
        }"""
    )
    assert count == [50, 0]
    await expect(page.locator("#to-end")).to_be_hidden()


@pytest.mark.parametrize("width", [1200, 360])
async def test_a_long_text_that_is_sent_at_once_is_followed(
    open_page: PageFactory, plans: Conversation, width: int
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, viewport={"width": width, "height": 700})
    await flood(plans, 0, 40)
    await at_the_end(page, 40)
    for _ in range(3):
        await say(page, LINES)
    await until(page, "state.open.entries.at(-1).seq >= 45 && state.open.entries.at(-1).data.text.startsWith('0')")
    await at_the_end(page, 45)
    await page.fill("#text", LINES)
    await page.click("#send")
    await flood(plans, 40, 20)
    await at_the_end(page, 65)


async def test_writing_several_lines_does_not_leave_the_end(open_page: PageFactory, plans: Conversation) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await flood(plans, 0, 40)
    await at_the_end(page, 40)
    await page.fill("#text", LINES)
    await page.press("#text", "End")
    for key in "more":
        await page.keyboard.type(key)
        await plans.send(f"while {key} is typed")
        await until(page, f"state.open.entries.at(-1).data.text.includes('while {key}')")
    await at_the_end(page, 44)


async def talked(open_page: PageFactory, answer: str) -> Page:
    """A page at the end of a conversation in which the agent has given this answer, below a long one."""
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    for number, text in enumerate([PARAGRAPHS, answer], 1):
        await say(page, text)
        await until(page, f"state.open.entries.filter((e) => e.type === 'answer').length === {number}")
    await page.wait_for_selector("[aria-label='Answer again']")
    await expect(page.locator("#to-end")).to_be_hidden()
    return page


@pytest.mark.parametrize("answer", ["short", PARAGRAPHS], ids=["short", "long"])
async def test_an_answer_that_is_given_again_is_followed(open_page: PageFactory, answer: str) -> None:
    """The button of a long answer is where it begins: the person has left the end to press it."""
    page = await talked(open_page, answer)
    seq = await look(page, "state.open.head")
    await page.get_by_role("button", name="Answer again").click()
    await until(page, f"state.open.head > {seq} && !state.open.stream.current")
    await expect(page.locator("#to-end")).to_be_hidden()
    await expect(page.locator(".agent .text > :last-child").last).to_be_in_viewport()


async def test_messages_after_the_last_answer_was_copied_are_followed(
    open_page: PageFactory, new_client: ClientFactory
) -> None:
    page = await talked(open_page, "short")
    bob = await new_client("Bob", node=1)
    plans = await bob.join(await look(page, "state.open.id"))
    await page.get_by_role("button", name="Copy", exact=True).last.click()
    await expect(page.locator("#toast")).to_be_visible()
    for text in ("from another person", PARAGRAPHS):
        await plans.send(text)
        await until(page, f"state.open.entries.at(-1).data.text?.startsWith('{text[:9]}')")
        await until(page, "!state.open.stream.current && state.open.entries.at(-1).type === 'answer'")
    await expect(page.locator("#to-end")).to_be_hidden()
    await expect(page.locator(".agent .text > :last-child").last).to_be_in_viewport()
