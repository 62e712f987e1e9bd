"""Nothing that people or the agent write is executed, loaded or made part of the page, wherever it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page

from sio_clients import ChatClient, guest_token
from sio_server.local.cluster import LocalCluster
from tests.browser.attacks import ATTACKS
from tests.browser.conftest import PageFactory
from tests.browser.pages import look, until
from tests.conftest import NODE_SETTINGS, cluster_in

# Notes what runs, and what the page's policy has stopped from running: neither may happen.
WATCH = """
window.caught = [];
window.hit = (...what) => caught.push(`ran: ${what}`);
for (const name of ["alert", "confirm", "prompt", "print", "open"]) {
  window[name] = (...what) => caught.push(`${name}: ${what}`);
}
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  caught.push(`stopped: ${violatedDirective} ${blockedURI}`),
);
"""
# What is in the page that its own code never makes, and every address in it that is not for the web or a mailbox.
FOREIGN = """(() => {
  const found = [];
  const tags = "script, iframe, object, embed, style, link, meta, base, img, image, video, audio, source, math, "
    + "foreignObject, template, marquee, portal, xss, applet, frame, frameset, form[action], [srcdoc]";
  for (const root of document.querySelectorAll("#log, #list, #chat > header, #typing")) {
    for (const node of root.querySelectorAll(tags)) found.push(node.outerHTML.slice(0, 200));
    for (const node of root.querySelectorAll("*")) {
      for (const { name, value } of node.attributes) if (/^on/i.test(name)) found.push(`${name}=${value}`);
    }
    for (const node of root.querySelectorAll("a[href]")) {
      if (!/^(https?|mailto):$/.test(node.protocol)) found.push(`href=${node.href}`);
      if (node.hostname !== location.hostname && !/noopener/.test(node.rel)) found.push(`rel=${node.rel}`);
    }
    for (const node of root.querySelectorAll("*|a")) {
      if (node.getAttribute("xlink:href")) found.push(node.outerHTML);
    }
  }
  return found;
})()"""
AT_ONCE = 16


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Three nodes whose agent repeats what it hears wherever a graph can say something."""
    settings = {**NODE_SETTINGS, "GRAPH": "tests.graphs.hostile:hostile"}
    async with cluster_in(tmp_path_factory.mktemp("hostile"), settings) as running:
        yield running


class Watched:
    """A page, with whatever happens in it that should not."""

    def __init__(self, page: Page, cluster: LocalCluster) -> None:
        self.page = page
        self.seen: list[str] = []
        own = tuple(url.split("//")[1] for url in cluster.urls)

        def asked(url: str) -> None:
            if not url.startswith(("data:", "blob:")) and url.split("//")[1].split("/")[0] not in own:
                self.seen.append(f"asked for {url}")

        page.on("request", lambda request: asked(request.url))
        page.on("websocket", lambda socket: asked(socket.url))
        page.on("dialog", lambda dialog: self.seen.append(f"dialog {dialog.message}"))
        page.on("popup", lambda popup: self.seen.append(f"popup {popup.url}"))
        page.on("framenavigated", lambda frame: asked(frame.url) if frame.url.startswith("http") else None)

    async def assert_unharmed(self) -> None:
        """Nothing ran, nothing was asked for, nothing foreign stands in the page."""
        assert await self.page.evaluate("caught") == []
        assert self.seen == []
        assert await self.page.evaluate(FOREIGN) == []


@pytest.fixture
async def mallory(cluster: LocalCluster) -> AsyncIterator[ChatClient]:
    """Who attacks: the name and the device are attacks as well."""
    _, token = await guest_token(cluster.urls[1], "<img src=x onerror=hit(1)>")
    name = "<svg onload=hit(2)>"
    async with ChatClient([cluster.urls[1]], token, device_id="mallorys", device_name=name) as client:
        yield client


def test_there_are_at_least_a_hundred_attacks() -> None:
    assert len(set(ATTACKS)) >= 100


@pytest.mark.parametrize("live", [True, False], ids=["live", "from the log"])
async def test_messages_answers_tools_and_reports_are_text(
    live: bool, cluster: LocalCluster, mallory: ChatClient, open_page: PageFactory
) -> None:
    # Several conversations, so that the agent answers in all of them at the same time.
    parts = [ATTACKS[start : start + AT_ONCE] for start in range(0, len(ATTACKS), AT_ONCE)]
    conversations = [await mallory.create("<script>hit('title')</script>", access="open") for _ in parts]
    page = await open_page(0, "<b onclick=hit(3)>Ann", script=WATCH)
    watched = Watched(page, cluster)

    async def attack() -> None:
        for conversation, texts in zip(conversations, parts, strict=True):
            for text in texts:
                await conversation.send(text)

    if live:
        await page.goto(f"{cluster.urls[0]}/#c={conversations[0].id}")
        await until(page, "state.open?.loaded")
    await attack()
    for conversation, texts in zip(conversations[:1] if live else conversations, parts, strict=False):
        await page.goto(f"{cluster.urls[0]}/#c={conversation.id}")
        await until(page, f"state.open?.id === '{conversation.id}' && state.open.loaded")
        # Each is answered with itself.
        answers = "state.open.entries.filter((e) => e.type === 'answer').length"
        await until(page, f"{answers} === {len(texts)}", timeout=60)
        messages = "state.open.entries.filter((e) => e.type === 'message').map((e) => e.data.text)"
        assert await look(page, messages) == texts
        await page.evaluate("document.querySelectorAll('#log details').forEach((one) => { one.open = true; })")
        shown = await page.evaluate("document.querySelector('#log').textContent")
        plain = [text for text in texts if text.isprintable() and text.isascii() and "  " not in text]
        # Links to the web are links, and show where they lead.
        assert [text for text in plain if text not in shown and "](https:" not in text] == []
        for _ in range(10):
            await page.keyboard.press("Tab")
        for link in (await page.query_selector_all("#log article a"))[:5]:
            await link.hover(timeout=5000, force=True)
        await watched.assert_unharmed()


async def test_questions_and_who_answered_them_are_text(
    cluster: LocalCluster, mallory: ChatClient, open_page: PageFactory
) -> None:
    conversation = await mallory.create("asked", access="open")
    page = await open_page(0, "Ann", script=WATCH)
    watched = Watched(page, cluster)
    await page.goto(f"{cluster.urls[0]}/#c={conversation.id}")
    await until(page, "state.open?.loaded")
    for text in ATTACKS[::10]:
        await conversation.send(f"ask:{text}")
        await until(page, "state.open.asked.length === 1")
        await page.wait_for_selector("#log fieldset button")
        await watched.assert_unharmed()
        (interrupt_id,) = await look(page, "state.open.asked")
        value: Any = await look(page, "state.open.entries.at(-1).data.interrupts[0].value.options[1]")
        await conversation.respond(interrupt_id, value)
        await until(page, "state.open.asked.length === 0 && state.open.entries.at(-1).type === 'answer'")
        await watched.assert_unharmed()


async def test_names_titles_devices_drafts_and_addresses_are_text(
    cluster: LocalCluster, mallory: ChatClient, open_page: PageFactory
) -> None:
    page = await open_page(0, "Ann", script=WATCH)
    watched = Watched(page, cluster)
    for text in ATTACKS[::4]:
        title = "".join(letter for letter in text if letter.isprintable())[:200]
        conversation = await mallory.create(title, access="open", agent="off")
        await page.goto(f"{cluster.urls[0]}/#c={conversation.id}")
        await until(page, f"state.open?.id === '{conversation.id}' && state.open.loaded")
        await watched.assert_unharmed()
    for address in (
        "#c=<img src=x onerror=hit(4)>",
        "#c=%3Cscript%3Ehit(5)%3C/script%3E",
        "#c=javascript:hit(6)",
        "#c=__proto__",
    ):
        await page.goto(cluster.urls[0] + "/" + address)
        await until(page, "!state.opening")
        await watched.assert_unharmed()
