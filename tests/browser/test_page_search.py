"""Search on the page: all that was said is found, wherever it is, and each hit leads to its message."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import Page, expect

from sio_clients.conversation import Conversation
from sio_server.protocol.events import Entry
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, until
from tests.conftest import ClientFactory

LONG = 180  # messages: more than a page loads when it opens a conversation again


@pytest.fixture
async def long_ago(plans: Conversation) -> Conversation:
    """A conversation whose first messages are far above what is loaded."""
    await plans.send("the keeper lights the lamp")
    for begin in range(0, LONG, 50):
        await asyncio.gather(*(plans.send(f"number {number}") for number in range(begin, begin + 50)))
    await plans.send("the keeper sleeps")
    return plans


async def at_its_end(open_page: PageFactory, conversation: Conversation, **options: str) -> Page:
    """A page that has read the conversation, and has loaded its end only."""
    page = await open_page(0, "Ann", conversation=conversation.id, **options)
    await until(page, "state.open.divider !== null")
    await page.click("#to-end")
    await until(page, "state.open.read === state.open.head")
    await page.reload()
    await until(page, "state.open?.loaded && state.link === 'online'")
    assert not await look(page, "state.open.entries.some((e) => e.seq < 50)")
    return page


async def answered(conversation: Conversation, run_id: str | None) -> Entry:
    async for entry in conversation.entries():
        if entry.type == "answer" and entry.data["run_id"] == run_id:
            return entry
    raise AssertionError("the conversation has ended")


async def test_a_text_that_is_not_loaded_is_found_shown_and_left_again(
    open_page: PageFactory, long_ago: Conversation
) -> None:
    page = await at_its_end(open_page, long_ago)
    await page.click("#find")
    await page.fill("#query", "keeper")
    await expect(page.locator("#hits")).to_have_text("1 / 2")
    await expect(page.locator(".hit .text")).to_have_text("the keeper sleeps")
    await page.press("#query", "Enter")
    await expect(page.locator(".hit .text")).to_have_text("the keeper lights the lamp")
    await expect(page.locator(".hit")).to_be_in_viewport()
    await expect(page.locator("#hits")).to_have_text("2 / 2")
    assert await look(page, "Boolean(state.open.aside)")
    # From there the log goes on in both directions, to the newest message.
    await page.press("#query", "Escape")
    await page.evaluate(
        """async () => {
          const { state } = await import("/js/state.js");
          const scroller = document.querySelector("#scroller");
          for (const until = Date.now() + 15000; state.open.aside && Date.now() < until; ) {
            scroller.scrollTop = scroller.scrollHeight;
            await new Promise((done) => setTimeout(done, 20));
          }
        }"""
    )
    seqs = await look(page, "state.open.entries.map((e) => e.seq)")
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert not await look(page, "Boolean(state.open.aside)")


async def test_a_button_leads_back_to_the_end_and_what_is_said_meanwhile_is_there(
    open_page: PageFactory, long_ago: Conversation
) -> None:
    page = await at_its_end(open_page, long_ago)
    await page.evaluate(f"location.hash = '#c={long_ago.id}&at=2'")
    await expect(page.locator(".hit .text")).to_have_text("the keeper lights the lamp")
    await long_ago.send("said meanwhile")
    await expect(page.locator("#away")).to_have_text("1 new message")
    await page.click("#to-end")
    await expect(page.locator("#log .text").last).to_have_text("said meanwhile")
    await expect(page.locator("#log .text").last).to_be_in_viewport()
    await expect(page.locator("#to-end")).to_be_hidden()


async def test_an_earlier_stretch_has_its_quotes_versions_and_reactions_and_offers_nothing_that_is_refused(
    open_page: PageFactory, new_client: ClientFactory, new_id: str
) -> None:
    ann = await new_client("Ann")
    plans = await ann.create("Plans", conversation_id=new_id, access="open", agent="mention", graph="echo")
    asked = await plans.send("@agent one")
    old = await answered(plans, asked.run_id)
    await plans.react(old.seq, "👍")
    new = await answered(plans, await plans.regenerate(old.seq))
    await plans.react(new.seq, "🎉")
    await plans.send("is that all?", reply_to=asked.seq)
    for begin in range(0, LONG, 50):
        await asyncio.gather(*(plans.send(f"number {number}") for number in range(begin, begin + 50)))
    await plans.send("at last", reply_to=asked.seq)
    page = await open_page(1, "Ann", conversation=plans.id, token=ann.token)  # type: ignore[attr-defined]
    await expect(page.get_by_text("at last", exact=True)).to_be_visible()
    await expect(page.locator(".edit")).to_have_count(1)
    assert not await look(page, f"state.open.entries.some((e) => e.seq <= {new.seq})")
    # A quote leads to what is not loaded.
    await page.locator(".quote").last.click()
    first = page.locator(f"article[data-seq='{asked.seq}']")
    await expect(first).to_have_class(re.compile("shown"))
    await expect(first).to_be_in_viewport()
    assert await look(page, "Boolean(state.open.aside)")
    await expect(page.locator(".quote")).to_have_text("Ann@agent one")
    await expect(page.locator(".versions span")).to_have_text("2 / 2")
    await expect(page.locator(".reactions button")).to_have_text("🎉 1")
    await page.get_by_role("button", name="Earlier version").click()
    await expect(page.locator(".versions span")).to_have_text("1 / 2")
    await expect(page.locator(".reactions button")).to_have_text("👍 1")
    # The last message can be edited, and the last answer given again; both are far below.
    await expect(page.locator("#log :is(.edit, .actions)")).to_have_count(0)
    await page.locator(".quote").click()
    await expect(first).to_be_in_viewport()


async def test_a_date_leads_to_its_first_message(open_page: PageFactory, long_ago: Conversation) -> None:
    page = await at_its_end(open_page, long_ago, timezone_id="UTC")
    await page.click("#find")
    await page.fill("#date", datetime.now(UTC).date().isoformat())
    await until(page, "state.open.aside?.[0].seq === 1")
    await expect(page.locator("#log .text").first).to_have_text("the keeper lights the lamp")
    await expect(page.locator("#log .text").first).to_be_in_viewport()


async def test_all_conversations_are_searched_and_a_hit_leads_to_its_message(
    *, open_page: PageFactory, new_client: ClientFactory, long_ago: Conversation, new_id: str
) -> None:
    bob = await new_client("Bob", node=2)
    other = await bob.create("Keepers", conversation_id=f"{new_id}-2", access="open", agent="off")
    await other.send("nothing of interest")
    page = await at_its_end(open_page, long_ago)
    await page.evaluate(f"location.hash = '#c={other.id}'")
    await until(page, f"state.open?.id === '{other.id}'")
    await page.keyboard.press("Alt+k")
    await page.keyboard.type("keeper")
    await expect(page.locator("#results .title")).to_have_text(["Keepers", "Plans", "Plans"])
    await expect(page.locator("#results .excerpt:has(mark)")).to_have_text(
        ["Bob: the keeper sleeps", "Bob: the keeper lights the lamp"]
    )
    await page.locator("#results a").last.click()
    await expect(page.locator(".hit .text")).to_have_text("the keeper lights the lamp")
    await expect(page.locator("#title")).to_have_text("Plans")
    await page.press("#query-all", "Escape")
    await expect(page.locator("#list")).to_be_visible()
    await page.fill("#query-all", "no such words")
    await expect(page.locator("#results-note")).to_have_text("No results")


async def test_accents_make_no_difference_and_files_are_found_by_name(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await plans.send("we meet at the Café")
    await plans.send("here it is", files=[("Résumé.txt", b"text")])
    await until(page, "state.open.entries.some((e) => e.data.files)")
    await page.click("#find")
    await page.fill("#query", "cafe")
    await expect(page.locator(".hit .text")).to_have_text("we meet at the Café")
    marked = "[...CSS.highlights.get('found')].map(({ startOffset, endOffset }) => endOffset - startOffset)"
    await until(page, f"({marked}).join() === '4'")
    await page.fill("#query", "resume")
    await expect(page.locator(".hit .text")).to_have_text("here it is")
    await page.fill("#query-all", "cafe")
    await expect(page.locator("#results mark")).to_have_text("Café")


async def test_a_search_that_looked_through_a_part_offers_to_go_on(
    open_page: PageFactory, plans: Conversation
) -> None:
    """The server's bound is far above what a test can write, so the page is told of it here."""
    page = await open_page(0, "Ann", conversation=plans.id)
    await plans.send("far back")
    await page.evaluate(
        """async () => {
          const { client } = await import("/js/client.js");
          const { connection } = client();
          const request = connection.request.bind(connection);
          connection.request = (event, payload) =>
            event === "message:search" && !payload.before
              ? Promise.resolve({ ok: true, hits: [], next: "0", complete: false })
              : request(event, event === "message:search" ? { ...payload, before: null } : payload);
        }"""
    )
    await page.click("#find")
    await page.fill("#query", "Far  back".replace("  ", " "))
    await page.evaluate("document.querySelector('#query').dispatchEvent(new Event('input'))")
    await page.click("#search-on")
    await expect(page.locator(".hit .text")).to_have_text("far back")
    await page.fill("#query-all", "far back")
    await expect(page.locator("#results-note")).to_have_text("Nothing found so far")
    await page.get_by_role("button", name="Search older messages").last.click()
    await expect(page.locator("#results .excerpt")).to_have_text("Bob: far back")
