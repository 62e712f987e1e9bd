"""Fixtures: the stage in a real browser, on a real `roomgraph up`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.stage_page import ONLINE, until
from tests.conftest import free_ports
from tests.waiting import first_of

READY_S = 60.0
# Slow enough that a node can be killed in the middle of an answer, by hand.
ENVIRONMENT = {"WORD_DELAY": "0.04"}


@pytest.fixture(scope="module")
async def stage_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The stage's address, as a `roomgraph up` has printed it."""
    port = free_ports(3)
    folder = tmp_path_factory.mktemp("stage")
    command = [sys.executable, "-m", "roomgraph", "up", "--port", str(port), "--data-dir", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, "--lang", "en", stdout=asyncio.subprocess.PIPE, env={**os.environ, **ENVIRONMENT}
    )
    assert process.stdout is not None

    def address_in(line: bytes) -> re.Match[str] | None:
        return re.search(r"http\S+/stage#key=[\w-]+(?=\s)", line.decode())

    found = address_in(await first_of(process.stdout, address_in, "the stage's address", READY_S))
    assert found is not None
    yield found[0]
    process.terminate()
    await process.communicate()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of its own, on which nothing may be refused by the content security policy and nothing may throw."""
    opened = await browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US")
    complaints: list[str] = []

    def on_console(message: Any) -> None:
        if "Content Security Policy" in message.text:
            complaints.append(message.text)

    opened.on("console", on_console)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    await opened.close()
    assert complaints == []


@pytest.fixture
async def staged(page: Page, stage_url: str) -> Page:
    """The stage with its three devices connected."""
    await page.goto(stage_url)
    await until(page, ONLINE)
    return page
