"""Firefox for tests, driven over WebDriver BiDi, a W3C protocol that it speaks itself: pages, scripts, keys, logs.

Playwright drives a Firefox of its own, which cannot be fetched everywhere; this is the system's, unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sio_server.tasks import end_tasks
from tests.waiting import WAIT_S, first_of, within

PROGRAMS = ("firefox-esr", "firefox")
START_S = 60.0
SAYS_WHERE = "WebDriver BiDi listening on "
PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "intl.accept_languages": "en-GB",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
# What the browser itself says of connections that fail, as they must where a node is killed.
OF_THE_NETWORK = ("can’t establish a connection", "was interrupted while the page was loading", "NetworkError")
ENTER = "\ue007"


def program() -> str:
    """Where Firefox is; without one the test is skipped, or fails where it must be there."""
    named = os.environ.get("FIREFOX", "")
    found = next(filter(None, map(shutil.which, (named, *PROGRAMS) if named else PROGRAMS)), None)
    if found is None:
        say = pytest.fail if os.environ.get("REQUIRE_FIREFOX") == "1" else pytest.skip
        say("Firefox is not installed: sudo apt install firefox-esr, or name one with FIREFOX=/path")
    assert found is not None
    return found


class FirefoxPage:
    """A tab. Its scripts run in the page, whatever the page's policy."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def goto(self, url: str) -> None:
        await self._firefox.ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def reload(self) -> None:
        await self._firefox.ask("browsingContext.reload", context=self._context, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or what its promise resolves to."""
        answer = await self._firefox.ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise AssertionError(f"{expression}: {answer['exceptionDetails']['text']}")
        said = answer["result"].get("value")
        return None if said is None else json.loads(said)

    async def until(self, holds: str, seconds: float = WAIT_S) -> None:
        """Wait until an expression is true."""
        look = f"const look = () => ({holds}) ? done() : setTimeout(look, 30); look();"
        async with within(seconds, holds):
            await self.evaluate(f"new Promise((done) => {{ {look} }})")

    async def click(self, selector: str) -> None:
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    async def write(self, selector: str, text: str, *, enter: bool = False) -> None:
        """Type into a field, as a keyboard does."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        keys = [{"type": kind, "value": key} for key in text + ENTER * enter for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": keys}
        await self._firefox.ask("input.performActions", context=self._context, actions=[source])


class Firefox:
    """One browser. `errors` holds what its pages have logged as errors."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []

    async def read(self) -> None:
        """Read what the browser says until it ends."""
        async for message in self._socket:
            said = json.loads(message.data)
            if said["type"] == "event":
                self._note(said["params"])
            elif not (future := self._asked.pop(said["id"])).done():
                future.set_result(said)

    def _note(self, entry: dict[str, Any]) -> None:
        text = entry.get("text") or ""
        if entry.get("level") == "error" and not any(known in text for known in OF_THE_NETWORK):
            self.errors.append(text)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._ids)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await future
        if answer["type"] == "error":
            raise AssertionError(f"{method}: {answer['error']}: {answer['message']}")
        return dict(answer["result"])

    async def new_page(self) -> FirefoxPage:
        """A tab with storage of its own, as of another person."""
        user = await self.ask("browser.createUserContext")
        tab = await self.ask("browsingContext.create", type="tab", userContext=user["userContext"])
        size = {"width": 1440, "height": 900}
        await self.ask("browsingContext.setViewport", context=tab["context"], viewport=size)
        return FirefoxPage(self, tab["context"])


@asynccontextmanager
async def firefox_in(folder: Path) -> AsyncIterator[Firefox]:
    """A Firefox without a window, with its profile in this folder, which exists."""
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items())
    (folder / "user.js").write_text("\n".join(lines))
    arguments = ("--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0")
    process = await asyncio.create_subprocess_exec(
        program(),
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(folder), "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
    )
    assert process.stderr is not None
    try:
        line = await first_of(process.stderr, lambda said: SAYS_WHERE.encode() in said, "its port", START_S)
        url = line.decode().partition(SAYS_WHERE)[2].strip()
        draining = asyncio.create_task(_read_away(process.stderr))
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/session", max_msg_size=0) as socket:
            firefox = Firefox(socket)
            reading = asyncio.create_task(firefox.read())
            try:
                async with asyncio.timeout(START_S):
                    await firefox.ask("session.new", capabilities={})
                    await firefox.ask("session.subscribe", events=["log.entryAdded"])
                yield firefox
            finally:
                await end_tasks([reading, draining])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _read_away(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass
