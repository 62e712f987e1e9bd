"""The example in React, built as its users build it, in a browser: tabs are in step, whatever happens to nodes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import OF_THE_NETWORK
from tests.conftest import NODE_SETTINGS, cluster_in

pytestmark = pytest.mark.faults

EXAMPLE = Path(__file__).parents[2] / "examples" / "react-chat"
SDK = Path(__file__).parents[2] / "web" / "sdk"
WAIT_MS = 30_000
LONG = "Please tell me everything that you can do, and how to book a room for a workshop."


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a new checkout has it, with what it depends on."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    root = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("node_modules", "dist", "types")
    shutil.copytree(EXAMPLE, root / "examples" / "react-chat", ignore=ignored)
    shutil.copytree(SDK, root / "web" / "sdk", ignore=ignored)
    project = root / "examples" / "react-chat"
    npm(project, "ci", "--no-audit", "--no-fund", "--silent")
    return project


def npm(project: Path, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        ["npm", *arguments],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(built: Path) -> Iterator[str]:
    """The origin that serves the built files; they are built once the address of a node is known."""
    handler = partial(QuietHandler, directory=str(built / "dist"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
async def cluster(built: Path, site: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes that let the example's origin in, and the example built for the first."""
    settings = {**NODE_SETTINGS, "WORD_DELAY": "0.15", "ALLOWED_ORIGINS": site}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings, nodes=2) as running:
        await asyncio.to_thread(npm, built, "run", "build", VITE_ROOMGRAPH_URL=running.urls[0])
        yield running


@pytest.fixture
async def tab(browser: Browser, cluster: LocalCluster, site: str) -> AsyncIterator[Page]:
    """A tab in which Ann has signed in."""
    context = await browser.new_context(locale="en-GB")
    errors: list[str] = []

    def watch(page: Page) -> None:
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)

    context.on("page", watch)
    page = await context.new_page()
    await page.goto(site)
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("status")).to_contain_text("Online", timeout=WAIT_MS)
    yield page
    await context.close()
    assert [error for error in errors if not any(known in error for known in OF_THE_NETWORK)] == []


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_label("Message", exact=True).press("Enter")


async def shown(page: Page) -> list[str]:
    """What is said, in order, and nothing that is being written."""
    return await page.locator("article:not([aria-busy]) > p, article:not([aria-busy]) > h2").all_inner_texts()


async def beside(page: Page, site: str) -> Page:
    """Another tab of the same browser."""
    other = await page.context.new_page()
    await other.goto(site)
    await expect(other.get_by_role("status")).to_contain_text("Online", timeout=WAIT_MS)
    return other


async def test_tabs_are_in_step_and_a_question_is_answered_with_a_button(tab: Page, site: str) -> None:
    await say(tab, "Book a room for a workshop tomorrow at 15:00 for 6 people")
    writing = tab.locator("article[aria-busy]")
    await expect(writing.or_(tab.locator(".question"))).to_be_visible(timeout=WAIT_MS)
    approve = tab.locator(".question button.first")
    await expect(approve).to_be_visible(timeout=WAIT_MS)

    other = await beside(tab, site)
    await expect(other.locator(".question button.first")).to_be_visible(timeout=WAIT_MS)
    await other.get_by_label("Message", exact=True).fill("half a thought")
    await expect(tab.get_by_label("Message", exact=True)).to_have_value("half a thought", timeout=WAIT_MS)

    await approve.click()
    for page in (tab, other):
        await expect(page.locator(".question")).to_have_count(0, timeout=WAIT_MS)
        await expect(page.locator("article.answer:not([aria-busy])")).to_have_count(2, timeout=WAIT_MS)
    assert await shown(tab) == await shown(other)


async def test_an_answer_streams_and_a_reload_resumes_it(tab: Page) -> None:
    await say(tab, LONG)
    writing = tab.locator("article[aria-busy] p")
    await expect(writing.first).to_be_visible(timeout=WAIT_MS)
    await tab.reload()
    await expect(tab.locator("article.answer:not([aria-busy]) p").first).to_be_visible(timeout=WAIT_MS)
    await expect(tab.locator("article.message")).to_have_count(1)
    await expect(tab.locator("article.answer")).to_have_count(1)


async def test_an_answer_goes_on_when_its_node_dies(tab: Page, cluster: LocalCluster) -> None:
    await say(tab, LONG)
    await expect(tab.locator("article[aria-busy] p").first).to_be_visible(timeout=WAIT_MS)
    await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
    try:
        answer = tab.locator("article.answer:not([aria-busy]) p").first
        await expect(answer).to_be_visible(timeout=WAIT_MS)
        status = tab.get_by_role("status")
        await expect(status).to_contain_text(f"node {cluster.ports[1]}", timeout=WAIT_MS)
        await say(tab, "And then?")
        await expect(tab.locator("article.answer:not([aria-busy])")).to_have_count(2, timeout=WAIT_MS)
    finally:
        await cluster.start_node(cluster.ports[0])
