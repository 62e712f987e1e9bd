"""What tests do with the stage in a browser, and see of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.waiting import within

PARTS = 7

LOOK = "const look = () => ({holds}) ? done() : setTimeout(look, 40); look();"
RESULT = "document.querySelector('#outcome:is(.held, .broke, .left, .disturbed)')"
ENDED = f"{RESULT} && !document.querySelector('#parts .running')"
ONLINE = "document.querySelectorAll('[data-link=online]').length === 3"
MOVING = "Number(document.getElementById('drawing').dataset.moving ?? 0)"


async def until(page: Page, holds: str, seconds: float = 20.0) -> None:
    """Wait until an expression holds. Playwright evaluates text in the page for this, which its policy forbids."""
    async with within(seconds, holds):
        await page.evaluate(f"() => new Promise((done) => {{ {LOOK.format(holds=holds)} }})")


async def within_page(page: Page, steps: str) -> Any:
    """Run steps in the page that may await `changed()`: how often the dots change within 1.5 s."""
    async with within(20.0, steps):
        return await page.evaluate(
            f"""async () => {{
              const changed = () => new Promise((done) => {{
                let changes = 0;
                const watch = new MutationObserver((seen) => (changes += seen.length));
                const all = {{subtree: true, childList: true, attributes: true}};
                watch.observe(document.querySelector(".dots"), all);
                setTimeout(() => (watch.disconnect(), done(changes)), 1500);
              }});
              {steps}
            }}"""
        )


COLLISIONS = (Path(__file__).parent / "collisions.js").read_text()
SIZES = ((1280, 720), (1440, 900), (1920, 1080))


async def collisions(page: Page) -> dict[str, list[str]]:
    """What collides now, in both languages and in windows of three sizes."""
    found = {}
    for _ in range(2):
        for width, height in SIZES:
            await page.set_viewport_size({"width": width, "height": height})
            language = await page.evaluate("document.documentElement.lang")
            if said := await page.evaluate(COLLISIONS):
                found[f"{language} {width}"] = said
        before = await page.inner_text("#title")
        await page.click("#language")
        await until(page, f"document.getElementById('title').textContent !== {json.dumps(before)}")
        await until(page, "!document.getElementById('title').textContent.startsWith('title')")
    await page.set_viewport_size({"width": 1440, "height": 900})
    return found


async def choose(page: Page, part: int) -> tuple[str | None, str]:
    """Play a part, from 1 on, to its end: the class of its result, and its words."""
    turn = await page.get_attribute("#outcome", "data-turn")
    await page.click(f"#parts li:nth-child({part}) button")
    await until(page, f"document.getElementById('outcome').dataset.turn !== '{turn}'")
    return await outcome(page)


async def outcome(page: Page) -> tuple[str | None, str]:
    await until(page, ENDED, 60)
    return await page.get_attribute("#outcome", "class"), await page.inner_text("#outcome")


async def figure(page: Page, name: str) -> str:
    return await page.inner_text(f"#figure-{name} dd")
