"""The page as it is installed: from the wheel, in an environment outside of this clone."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from sio_clients import ChatClient, guest_token
from tests.conftest import free_ports
from tests.installed import ROOT, Environment, build
from tests.waiting import first_of

# They build and install: seconds of CPU each.
pytestmark = pytest.mark.faults


@asynccontextmanager
async def up(environment: Environment, folder: Path) -> AsyncIterator[str]:
    """`roomgraph up` there, with one node; gives its URL."""
    port = free_ports(1)
    program = environment.folder / "bin" / "roomgraph"
    process: Process = await asyncio.create_subprocess_exec(
        *(
            str(program),
            "up",
            "--nodes",
            "1",
            "--port",
            str(port),
            "--data-dir",
            str(folder / "data"),
            "--lang",
            "en",
        ),
        cwd=folder,
        env=environment.environ(),
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        await first_of(process.stdout, lambda line: b"Ctrl-C stops" in line, "the program's address", 90)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def talk(url: str, browser: Browser) -> None:
    """Open the page as a guest, send a message and see it answered."""
    errors: list[str] = []
    _, token = await guest_token(url, "Ann")
    async with ChatClient(url, token) as ann:
        conversation = await ann.create("Plans", access="open", agent="always")
        context = await browser.new_context(locale="en-GB")
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda response: errors.append(response.url) if response.status >= 400 else None)
        await page.goto(f"{url}/?token={token}#c={conversation.id}")
        await page.fill("#text", "book a room for a workshop")
        await page.press("#text", "Enter")
        await expect(page.get_by_text("When do you need it?").first).to_be_visible(timeout=20_000)
        await context.close()
    assert errors == []


async def test_the_page_of_an_installed_wheel_sends_a_message_and_shows_the_answer(
    browser: Browser, tmp_path: Path
) -> None:
    wheel = build("wheel", ROOT, tmp_path / "dist")
    environment = Environment(tmp_path / "env")
    environment.install(wheel, "embedded")
    where = environment.run("import sio_server; print(sio_server.__file__)").strip()
    assert where.startswith(str(tmp_path)), "the wheel is what runs, and not this clone"
    async with up(environment, tmp_path) as url:
        await talk(url, browser)


@pytest.mark.timeout(900)
async def test_the_wheel_with_all_that_pip_installs_for_it_serves_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    wheel = build("wheel", ROOT, tmp_path / "dist")
    environment = Environment(tmp_path / "env")
    await asyncio.to_thread(
        environment.pip, "install", "-c", str(ROOT / "requirements.lock"), f"roomgraph[embedded] @ file://{wheel}"
    )
    assert sys.prefix not in environment.run("import sys; print(sys.path)")
    async with up(environment, tmp_path) as url:
        await talk(url, browser)
