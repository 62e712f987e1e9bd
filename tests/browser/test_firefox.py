"""The chat page and the stage in Firefox, beside Chromium."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.firefox import Firefox, FirefoxPage, firefox_in, program
from tests.browser.pages import say, until
from tests.browser.stage_page import ENDED, ONLINE
from tests.conftest import NODE_SETTINGS, ClientFactory, cluster_in

pytest_plugins = ["tests.browser.opened_stage"]
pytestmark = pytest.mark.faults

NewPage = Callable[[], Awaitable[FirefoxPage]]

READY = "!document.getElementById('app').hidden && document.querySelector('#log .line')"  # its log is loaded
SAID = "[...document.querySelectorAll('#log .message')].map((one) => one.textContent).join('|')"
WRITING = "(document.querySelector('#log [aria-busy=true] .said')?.textContent.length ?? 0)"
ANSWERED = "document.querySelector('#log .agent:last-child:not([aria-busy=true]) .said')"
NODE = "import(new URL('js/state.js', location)).then(({ state }) => state.open.stream.current?.node ?? null)"


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Three nodes whose agent writes so slowly that one can be killed in the middle of an answer."""
    program()  # or skip before anything is begun
    settings = {**NODE_SETTINGS, "WORD_DELAY": "0.06"}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings) as running:
        yield running


@pytest.fixture(scope="module")
async def firefox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firefox]:
    """One Firefox for the tests of this module."""
    async with firefox_in(tmp_path_factory.mktemp("firefox")) as running:
        yield running


@pytest.fixture
async def new_page(firefox: Firefox) -> AsyncIterator[NewPage]:
    """Open tabs of Firefox; what they log as an error fails the test."""
    firefox.errors.clear()
    yield firefox.new_page
    assert firefox.errors == []


async def signed_in(new_page: NewPage, url: str) -> FirefoxPage:
    """A guest who has come by the address of a conversation."""
    page = await new_page()
    await page.goto(url)
    await page.until("!document.getElementById('signin').hidden")
    await page.write("#as-guest input", "Ann", enter=True)
    await page.until(READY)
    return page


async def talk(new_client: ClientFactory, conversation_id: str) -> str:
    """A new conversation of Bob's that anyone may join, in which the agent answers everyone."""
    bob = await new_client("Bob", node=2)
    return (await bob.create("Plans", conversation_id=conversation_id, access="open", agent="mention")).id


async def test_a_guest_signs_in_and_stays_in_step_with_chromium(
    cluster: LocalCluster, open_page: PageFactory, new_client: ClientFactory, new_page: NewPage, new_id: str
) -> None:
    conversation = await talk(new_client, new_id)
    ann = await signed_in(new_page, f"{cluster.urls[0]}/#c={conversation}")
    carl = await open_page(1, "Carl", conversation=conversation)

    await ann.write("#text", "Hello from Firefox", enter=True)
    await until(carl, f"{SAID}.includes('Hello from Firefox')")
    await say(carl, "Hello from Chromium")
    await ann.until(f"{SAID}.includes('Hello from Chromium')")

    await ann.write("#text", "@concierge what can you do for us?", enter=True)
    await ann.until(f"{WRITING} > 10")
    await until(carl, f"{WRITING} > 10")
    await ann.reload()
    await ann.until(f"{WRITING} > 10 || {ANSWERED}")
    await ann.until(ANSWERED)
    await until(carl, ANSWERED)
    text = f"{ANSWERED}.textContent"
    assert await ann.evaluate(text) == await carl.evaluate(text)


async def test_an_answer_goes_on_when_its_node_is_killed(
    cluster: LocalCluster, new_client: ClientFactory, new_page: NewPage, new_id: str
) -> None:
    conversation = await talk(new_client, new_id)
    ann = await signed_in(new_page, f"{cluster.urls[0]}/#c={conversation}")
    await ann.write("#text", "@concierge what can you do for us?", enter=True)
    await ann.until(f"{WRITING} > 10")
    node = int(await ann.evaluate(NODE))
    await cluster.signal_node(node, signal.SIGKILL)
    try:
        await ann.until(ANSWERED, 40)
        await ann.until("document.body.dataset.link === 'online'")
    finally:
        await cluster.start_node(node)
    assert await ann.evaluate("document.querySelectorAll('#log .agent').length") == 1


async def test_the_stage_opens_and_its_first_part_holds(stage_url: str, new_page: NewPage) -> None:
    stage = await new_page()
    await stage.goto(stage_url)
    await stage.until(ONLINE)
    await stage.click("#play")
    await stage.until(ENDED, 40)
    assert await stage.evaluate("document.getElementById('outcome').className") == "held"
    await stage.click("#language")
    await stage.until("document.documentElement.lang === 'zh-CN'")
