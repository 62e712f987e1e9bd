"""What tests do with an open page, and see of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error, Frame, Page

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

STATE = "const { state } = await import(new URL('js/state.js', location));"
MARKS = "(await import('/sdk/src/delivery_marks.js'))"  # for the expressions below


async def look(page: Page | Frame, expression: str) -> Any:
    """The value of an expression in the page, in which `state` is the page's own."""
    script = f"async () => {{ {STATE} return {expression}; }}"
    return await page.evaluate(script)


async def until(page: Page | Frame, expression: str, timeout: float = 20.0) -> None:
    """Wait until such an expression is true. Playwright's own waiting needs eval, which the page forbids."""
    watch = (
        f"async () => {{ {STATE}"
        f"const until = Date.now() + {timeout * 1000};"
        "for (;;) {"
        f"if ({expression}) return true; if (Date.now() > until) return false;"
        "await new Promise((done) => setTimeout(done, 20)); } }"
    )
    try:
        if await page.evaluate(watch):
            return
    except Error as error:
        raise AssertionError(f"never true: {expression}: {error}") from None
    link = await look(page, "[state.link, state.node, state.open?.head, state.behind]")
    raise AssertionError(f"never true: {expression}; the page is at {link}")


async def say(page: Page, text: str) -> None:
    """Write a message and send it, as a person does."""
    await page.fill("#text", text)
    if await page.evaluate("matchMedia('(pointer: coarse)').matches"):
        await page.click("#send")
    else:
        await page.press("#text", "Enter")


async def create(page: Page, title: str = "Plans", **settings: str) -> str:
    """Create a conversation with these settings and open it; its id."""
    make = "async (settings) => (await (await import('/js/lazy.js')).lazy.newConversation.load()).create(settings)"
    await page.evaluate(make, {"title": title, **settings})
    await page.wait_for_selector(f"#chat:not(.empty) #title:text-is('{title}')")
    conversation: str = await look(page, "state.open.id")
    return conversation


async def problems(page: Page) -> list[str]:
    """What axe takes for serious or critical."""
    if not AXE.is_file():
        pytest.fail("axe-core is not installed: run `npm ci` in web/")
    # Playwright adds it to the page's own world, which the page's policy does not stop.
    await page.evaluate(AXE.read_text())
    await page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0)))")
    found = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
