"""What tests do with an open page, and see of it."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Error, Frame, Page


async def look(page: Page | Frame, expression: str) -> Any:
    """The value of an expression in the page, in which `state` is the page's own."""
    script = f"async () => {{ const {{ state }} = await import('/js/state.js'); return {expression}; }}"
    return await page.evaluate(script)


async def until(page: Page | Frame, expression: str, timeout: float = 20.0) -> None:
    """Wait until such an expression is true. Playwright's own waiting needs eval, which the page forbids."""
    watch = (
        "async () => { const { state } = await import('/js/state.js');"
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
    await page.press("#text", "Enter")
