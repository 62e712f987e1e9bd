"""Two browsers and a program in one conversation, each on another node, while pages are reloaded and nodes die."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from sio_clients import ChatClient, Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, say, until
from tests.conftest import NODE_SETTINGS, ClientFactory, cluster_in
from tests.served.devices import LANGGRAPH_JSON

EACH = 10
TEXTS = "state.open.entries.filter((e) => e.type === 'message').map((e) => e.data.text)"
BUSY = "#log [aria-busy=true] .text"
MARK = "#log .agent .note.took"
AGAIN = "#log [aria-busy=true] .said:not(.before) > :first-child"
COLOUR = "(node) => getComputedStyle(node).color"
# Of the answer, whenever something is drawn.
WATCH_HEIGHT = """() => {
  window.heights = [];
  const note = () => heights.push(document.querySelector("#log .agent").offsetHeight);
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(note).observe(document.querySelector("#log"), all);
}"""


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Three nodes of our own: some are killed here."""
    settings = {**NODE_SETTINGS, "LANGGRAPH_JSON": LANGGRAPH_JSON}
    async with cluster_in(tmp_path_factory.mktemp("together"), settings) as running:
        yield running


@pytest.fixture
async def program(new_client: ClientFactory) -> ChatClient:
    return await new_client("Bot", node=2)


async def pages_in(open_page: PageFactory, conversation: Conversation) -> list[Page]:
    return [await open_page(node, name, conversation=conversation.id) for node, name in enumerate(["Ann", "Bob"])]


async def shown(page: Page) -> list[str]:
    """The texts of what was said, from top to bottom, as a person sees them."""
    texts: list[str] = await page.evaluate(
        "[...document.querySelectorAll('#log article .text')].map((one) => one.textContent.trim())"
    )
    return texts


async def test_pages_and_programs_show_the_same_messages_in_the_same_order(
    program: ChatClient, open_page: PageFactory
) -> None:
    conversation = await program.create("Plans", access="open", agent="off")
    pages = await pages_in(open_page, conversation)

    async def write(page: Page, name: str) -> None:
        for number in range(EACH):
            await say(page, f"{name} {number}")

    async def send() -> None:
        for number in range(EACH):
            await conversation.send(f"bot {number}")

    await asyncio.gather(send(), *(write(page, name) for page, name in zip(pages, ("ann", "bob"), strict=True)))
    for page in pages:
        await until(page, f"{TEXTS}.length === {3 * EACH}")
    log = [entry.text for entry in await conversation.log() if entry.type == "message"]
    for page in pages:
        assert await look(page, TEXTS) == log
        assert await shown(page) == log
    for name in ("ann", "bob", "bot"):
        assert [text for text in log if text.startswith(name)] == [f"{name} {number}" for number in range(EACH)]


async def test_a_page_that_is_refreshed_in_the_middle_of_an_answer_has_the_words_so_far_and_the_rest(
    program: ChatClient, open_page: PageFactory, tmp_path: Path
) -> None:
    conversation = await program.create("Plans", access="open", graph="teller")
    ann, bob = await pages_in(open_page, conversation)
    gate = tmp_path / "gate"
    await conversation.send(f"one two gate:{gate} three four")
    for page in (ann, bob):
        await expect(page.locator(BUSY)).to_have_text("one two")
    await ann.reload()
    await expect(ann.locator(BUSY)).to_have_text("one two")
    gate.touch()
    for page in (ann, bob):
        await expect(page.locator("#log .agent .text")).to_have_text("one two three four")
        await expect(page.locator("#log [aria-busy=true]")).to_have_count(0)


async def test_when_the_answering_node_is_killed_its_text_stays_until_the_next_attempt_has_written_over_it(
    cluster: LocalCluster, program: ChatClient, open_page: PageFactory, tmp_path: Path
) -> None:
    started: dict[int, asyncio.Future[str]] = {1: asyncio.Future(), 2: asyncio.Future()}

    def note(event: Any) -> None:
        run = event["run"]
        if run["status"] == "running" and not started[run["version"]].done():
            started[run["version"]].set_result(run["node"])

    program.on("run:changed", note)
    conversation = await program.create("Plans", access="open", graph="teller")
    pages = await pages_in(open_page, conversation)
    gates = [tmp_path / "first", tmp_path / "second", tmp_path / "third"]
    # The second attempt waits before it says anything.
    await conversation.send(f"gate:{gates[0]} one two gate:{gates[1]} three gate:{gates[2]} four")
    victim = int(await asyncio.wait_for(started[1], 10))
    if str(victim) == program.node:
        await program.go_offline()  # it shall be told of the second attempt by a node that lives
        await program.go_online(next(url for url in cluster.urls if not url.endswith(str(victim))))
    gates[0].touch()
    for page in pages:
        await expect(page.locator(BUSY)).to_have_text("one two")
        await page.evaluate(WATCH_HEIGHT)
    gates[0].unlink()
    await cluster.signal_node(victim, signal.SIGKILL)
    heir = await asyncio.wait_for(started[2], 10)
    assert heir != str(victim)
    for page in pages:
        await until(page, f"state.link === 'online' && state.node !== '{victim}'")
        # What the first attempt has said stays, dimmed, until the second one has written over it.
        await expect(page.locator("#log [aria-busy=true] .before .text")).to_have_text("one two")
        await expect(page.locator(AGAIN)).to_have_text("")
        await expect(page.locator("#log .agent .note")).to_have_text(f"Node {victim} went away. {heir} continues.")
    for gate in gates[:2]:
        gate.touch()
    for page in pages:
        await expect(page.locator(AGAIN)).to_have_text("one two three")
        await expect(page.locator("#log [aria-busy=true] .before .text")).to_have_text("one two")
        dimmed, written = [await page.locator(where).evaluate(COLOUR) for where in (f"{BUSY} >> nth=0", AGAIN)]
        assert dimmed != written
    gates[2].touch()
    words = re.compile(rf"^Node {heir} · attempt 2 · \d\d:\d\d$")
    for page in pages:
        await expect(page.locator("#log :is([aria-busy=true], .before)")).to_have_count(0)
        await expect(page.locator("#log .agent .text")).to_have_text("one two three four")
        await expect(page.locator(MARK)).to_have_text(words)
        heights = await page.evaluate("heights")
        assert heights == sorted(heights)
    answers = [entry for entry in await conversation.log() if entry.type == "answer"]
    assert [entry.text.strip() for entry in answers] == ["one two three four"]
    await cluster.start_node(victim)
    for page in pages:
        await page.reload()
        await expect(page.locator(MARK)).to_have_text(words)
        await page.click("#my-button")
        await page.click("#mine .language")
        await expect(page.locator(MARK)).to_have_text(re.compile(rf"^节点 {heir} · 第 2 次尝试 · \d\d:\d\d$"))
