"""The page in every state, on desktop and phone, light and dark, in both languages: axe finds nothing serious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sio_clients.conversation import Conversation
from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory
from tests.browser.pages import create, problems, say, until

pytest_plugins = ["tests.served.fixtures"]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VARIANTS: list[Any] = [
    pytest.param({"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}, id="desktop-light"),
    pytest.param(
        {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark", "locale": "zh-CN"},
        id="desktop-dark-zh",
    ),
    pytest.param({**PHONE, "color_scheme": "light", "locale": "zh-CN"}, id="phone-light-zh"),
    pytest.param({**PHONE, "color_scheme": "dark"}, id="phone-dark", marks=pytest.mark.faults),
]
MARKDOWN = "# Rooms\n\n**One** `two` [three](https://example.org/a)\n\n```js\nlet a = 1;\n```\n\n"
MARKDOWN += "|a|b|\n|-|-|\n|1|2|\n\n> four"


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


@pytest.mark.parametrize("variant", VARIANTS)
async def test_axe_finds_nothing_serious_in_any_state(
    cluster: LocalCluster, open_page: PageFactory, tmp_path: Path, variant: dict[str, Any]
) -> None:
    page = await open_page(0, "Ann", reduced_motion="reduce", **variant)
    phone = "has_touch" in variant
    found: dict[str, list[str]] = {}

    async def check(what: str) -> None:
        found[what] = await problems(page)

    async def begin(title: str, graph: str) -> None:
        if phone:
            await page.evaluate("location.hash = ''")
        await create(page, title, graph=graph)

    await check("nothing yet")
    refuse = "({ state, changed }) => { state.refusal = CODE && { code: CODE }; changed(); }"
    await page.evaluate(f"import('/js/state.js').then({refuse.replace('CODE', repr('origin_not_allowed'))})")
    await page.wait_for_selector("#refusal:visible")
    await check("refused")
    await page.evaluate(f"import('/js/state.js').then({refuse.replace('CODE', 'null')})")
    await page.click("#new-more")
    await check("ways to begin")
    await page.keyboard.press("Escape")
    await begin("Rooms", "teller")
    await page.wait_for_selector("#welcome:not([hidden])")
    await check("an empty conversation")
    gate = tmp_path / "open"
    await say(page, f"{MARKDOWN} gate:{gate} the end")
    await page.wait_for_selector("[aria-busy=true] blockquote")
    await check("streaming")
    gate.touch()
    await page.wait_for_selector(".actions")
    await check("an answer")
    await page.locator(".mine .text").last.hover()
    await page.locator(".bar [data-is=edit]").click()
    await check("editing")
    await page.press("#text", "Escape")
    await page.click("#find")
    await page.fill("#query", "one")
    await check("search")
    await page.press("#query", "Escape")
    await page.click("[popovertarget=people]")
    await page.wait_for_selector("#members li")
    await check("people")
    await page.click("#leave")
    await page.wait_for_selector("#ask[open]")
    await check("leaving")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Alt+h")
    await check("help")
    await page.keyboard.press("Escape")

    await begin("Reports", "reporter")
    await say(page, "find it")
    await page.wait_for_selector(".actions")
    await page.click(".steps > summary")
    await page.click(".steps li.done summary")
    await check("tools")
    await begin("Pair", "pair")
    await say(page, "ask both")
    await page.wait_for_selector("fieldset button")
    await check("questions")
    await page.click("fieldset button")
    await page.wait_for_selector("fieldset .note")
    await check("answered")

    await page.context.set_offline(True)
    await until(page, "state.link !== 'online'")
    await say(page, "later")
    await page.wait_for_selector(".pending")
    await check("offline")
    await page.context.set_offline(False)
    await until(page, "state.link === 'online'")
    if phone:
        await page.click("#back")
    await page.click("#my-button")
    await page.wait_for_selector("#devices li")
    await page.click("#link-device")
    await page.wait_for_selector("#linking:not([hidden])")
    await check("devices")
    await page.keyboard.press("Escape")
    for way in ("pin", "archive"):
        await page.locator("#list .more").first.click()
        await check(f"menu: {way}")
        await page.click(f"#item-menu [value={way}]")
    await page.click("#archived summary")
    await check("list")
    await page.fill("#query-all", "one")
    await page.wait_for_selector("#results mark")
    await check("results")
    assert {what: list_ for what, list_ in found.items() if list_} == {}


async def test_axe_finds_nothing_serious_on_the_sign_in_page(
    cluster: LocalCluster, open_page: PageFactory
) -> None:
    page = await open_page(0, "Ann")
    await page.evaluate("sessionStorage.clear()")
    await page.goto(cluster.urls[0])
    await page.wait_for_selector("#signin:not([hidden])")
    await page.click("#signin summary")
    assert await problems(page) == []
    # And what is wrong is found.
    await page.evaluate("document.querySelector('#signin-error').append(document.createElement('button'))")
    assert any("button-name" in problem for problem in await problems(page))


async def test_a_new_message_is_read_out_once_and_not_each_word(
    cluster: LocalCluster, open_page: PageFactory, tmp_path: Path
) -> None:
    page = await open_page(0, "Ann")
    await create(page, graph="teller")
    await page.evaluate(
        "window.read = []; new MutationObserver(() => read.push(document.querySelector('#announced').textContent))"
        ".observe(document.querySelector('#announced'), { childList: true, characterData: true, subtree: true })"
    )
    await say(page, "one two three four")
    await page.wait_for_selector(".actions")
    await until(page, "read.some((text) => text.includes(':'))")
    assert [text.strip() for text in await page.evaluate("read") if ":" in text] == ["Teller: one two three four"]
    assert await page.evaluate("document.querySelector('#log').closest('[aria-live], [role=log]')") is None


@pytest.mark.parametrize("width", [320, 390])
async def test_on_a_phone_nothing_is_cut_off_and_controls_are_large_enough_to_touch(
    cluster: LocalCluster, open_page: PageFactory, width: int
) -> None:
    page = await open_page(0, "Ann", **{**PHONE, "viewport": {"width": width, "height": 640}})
    small = (
        "[...document.querySelectorAll('button, input, select, summary, #list a, textarea')]"
        ".filter((n) => n.checkVisibility()).map((n) => n.closest('label.check') ?? n)"
        ".map((n) => [n.outerHTML.slice(0, 90), n.getBoundingClientRect()])"
        ".filter(([, r]) => Math.min(r.height, r.width) < 43.9)"
        ".map(([html, r]) => `${html} ${r.width} x ${r.height}`)"
    )
    wide = (
        "[...document.querySelectorAll('body *')].filter((n) => n.checkVisibility())"
        ".filter((n) => !n.closest('pre, .table, .unseen') && n.getBoundingClientRect().right > innerWidth + 1)"
        ".map((n) => n.outerHTML.slice(0, 90))"
    )

    async def check() -> None:
        assert await page.evaluate(small) == []
        assert await page.evaluate(wide) == []

    await check()
    await page.click("#new-more")
    await check()
    await page.keyboard.press("Escape")
    long = "A title that is much too long for a phone, and has averylongwordinitself"
    await create(page, long, graph="teller")
    await page.wait_for_selector("#welcome:not([hidden])")
    await check()
    await say(page, MARKDOWN + "\n\n" + "unbroken" * 20)
    await page.wait_for_selector(".actions")
    await check()
    await page.click("[popovertarget=people]")
    await check()
    await page.keyboard.press("Escape")
    await page.click("#find")
    await check()
    await page.click("#end-search")
    await page.click("#back")
    await check()
    await page.fill("#query-all", "unbroken")
    await page.wait_for_selector("#results mark")
    await check()
    await page.fill("#query-all", "")
    await page.click("#list .more")
    await check()
    await page.keyboard.press("Escape")
    await page.click("#my-button")
    await page.click("#link-device")
    await page.wait_for_selector("#linking:not([hidden])")
    await check()


# How long what opens is in motion, in ms.
MOTION = """() => {
  const now = () => document.getAnimations().map((one) => one.effect.getTiming().duration);
  document.querySelector("#people").showPopover();
  const panel = now();
  document.querySelector("#ask").showModal(); // which closes the panel
  return [...panel, ...now()];
}"""


@pytest.mark.parametrize(("wanted", "durations"), [("no-preference", [120, 120]), ("reduce", [])])
async def test_what_opens_moves_for_120_ms_or_not_at_all(
    open_page: PageFactory, plans: Conversation, wanted: str, durations: list[int]
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, reduced_motion=wanted)
    assert await page.evaluate(MOTION) == durations
