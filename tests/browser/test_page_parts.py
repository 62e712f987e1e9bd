"""What an agent says in parts: each kind is shown, stays when the answer is final, and loads only what is safe."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page, Route, expect

from sio_clients.conversation import Conversation
from tests.browser.conftest import PageFactory
from tests.browser.pages import act, create, problems, say, until

PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAA"
    "AABJRU5ErkJggg=="
)
# What a server tells of a run: `tell(event, payload)` is the conversation's next event, `end` the run's answer.
TELL = """async ([tell]) => {
  const { state, changed } = await import("/js/state.js");
  const c = state.open;
  state.names.set(`agent:${c.graph}`, "Echo");
  for (const [name, payload] of tell) {
    const entry = { v: 2, epoch: c.stream.position.epoch, seq: c.head + 1, ts: new Date().toISOString() };
    const event = { n: c.stream.n + 1, ...(name === "entry:appended" ? entry : {}), ...payload };
    c.add(c.stream.on(name, event).entries);
  }
  changed();
}"""
RUN = {"run_id": "r", "turn_id": 1, "status": "running", "attempt": 1, "version": 1, "parts": [], "reports": []}


async def written(page: Page, *parts: dict[str, Any]) -> None:
    event = {"run_id": "r", "version": 1, "parts": [{"text": "", **part} for part in parts], "reports": []}
    await page.evaluate(TELL, [[["run:written", event]]])


async def answered(page: Page, text: str, parts: list[dict[str, Any]], **more: Any) -> None:
    data = {"role": "assistant", "user_id": "agent:echo", "name": "Echo", "run_id": "r", "tools": [], "text": text}
    said = [{"speaker": "Echo", "text": "", **part} for part in parts]
    await page.evaluate(TELL, [[["entry:appended", {"type": "answer", "data": {**data, "parts": said}, **more}]]])


async def test_branches_grow_side_by_side_and_stay_when_the_answer_is_final(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    await page.evaluate(TELL, [[["run:changed", {"run": RUN}]]])
    await written(page, {"part": 0, "kind": "reasoning", "speaker": "Echo", "text": "two of them"})
    await expect(page.locator(".thoughts > summary")).to_have_text("Thinking")
    await written(
        page,
        {"part": 1, "kind": "text", "speaker": "Left", "text": "al"},
        {"part": 2, "kind": "text", "speaker": "Right", "text": "be"},
        {"part": 1, "text": "pha"},
    )
    await written(page, {"part": 2, "text": "ta"}, {"part": 3, "kind": "text", "speaker": "Echo", "text": "done"})
    shown = page.locator(".said .text")
    await expect(shown).to_have_text(["alpha", "beta", "done"])
    await expect(page.locator(".speaker")).to_have_text(["", "Left", "Right", "Echo"])
    await expect(page.locator(".thoughts > summary")).to_have_text("Thought")
    await page.evaluate("window.first = document.querySelector('.said .text')")
    texts = [("Left", "alpha"), ("Right", "beta"), ("Echo", "done")]
    parts = [{"kind": "text", "speaker": speaker, "text": text} for speaker, text in texts]
    await answered(page, "done", [{"kind": "reasoning", "text": "two of them"}, *parts])
    await expect(page.locator("[aria-busy=true]")).to_have_count(0)
    await expect(shown).to_have_text(["alpha", "beta", "done"])
    assert await page.evaluate("window.first === document.querySelector('.said .text')"), "it is drawn again"
    await page.click(".thoughts > summary")
    await expect(page.locator(".thought")).to_have_text("two of them")


async def test_images_files_sources_and_values_are_shown_and_only_what_is_safe_is_loaded(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    svg = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    script = "javascript:alert(1)"
    parts = [
        *({"kind": "image", "data": {"mime_type": "image/png", "url": url}} for url in (PNG, svg, script)),
        {"kind": "image", "data": {"mime_type": "image/png", "size": 4_200_000, "omitted": "too_large"}},
        *({"kind": "file", "data": {"mime_type": "text/csv", "url": url}} for url in ("data:,a", script)),
        {"kind": "data", "data": {"value": {"seats": 12, "free": True}}},
        *({"kind": "citation", "data": {"url": url, "title": "T"}} for url in ("https://example.org/t", script)),
        {"kind": "hologram", "data": {}},
    ]
    await answered(page, "", parts)
    await expect(page.locator(".part")).to_have_count(7)
    await expect(page.locator(".said img")).to_have_count(1)
    await expect(page.locator(".file")).to_contain_text(["", "", "too large to be shown (4 MB)", "", ""])
    await expect(page.locator(".of-data dd")).to_have_text(["12", "true"])
    await expect(page.locator(".sources li")).to_have_count(2)
    links = "[...document.querySelectorAll('.said a')].map((a) => [a.protocol, a.rel])"
    assert await page.evaluate(links) == [["https:", "noopener noreferrer nofollow"]]
    assert await problems(page) == []
    await page.click(".picture button")
    await expect(page.locator("dialog.lightbox")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog.lightbox")).to_have_count(0)


async def test_a_long_entry_is_read_in_pages_and_drawn_without_stopping_the_page(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id)
    # The server's pages of a text of 5 MB.
    await page.evaluate(
        """async () => {
          const { Connection } = await import("/sdk/src/connection.js");
          const line = "all of it, 中文 too\\n";
          window.whole = line.repeat(Math.ceil(5e6 / line.length));
          const said = { role: "assistant", user_id: "agent:echo", name: "Echo", run_id: "r", tools: [] };
          const json = JSON.stringify({ ...said, text: whole });
          const ask = Connection.prototype.ask;
          const { state } = await import("/js/state.js");
          Connection.prototype.ask = async function (c, event, { page }) {
            if (event !== "entry:read") return ask.apply(this, arguments);
            const size = Math.ceil(json.length / 80);
            return { epoch: state.open.stream.position.epoch, text: json.slice(page * size, (page + 1) * size) };
          };
          window.slow = 0;
          const note = (one) => { slow = Math.max(slow, one.duration); };
          new PerformanceObserver((list) => list.getEntries().forEach(note))
            .observe({ type: "longtask" });
        }"""
    )
    await answered(page, "all of it", [{"kind": "text", "text": "all of it"}], pages=80)
    await page.get_by_role("button", name="Show all (5 MB)").click()
    await page.wait_for_selector(".pieces[data-done]")
    assert await page.evaluate("document.querySelector('.pieces').textContent === whole")
    assert await page.evaluate("slow") < 3000
    await expect(page.locator(".rest")).to_have_count(0)


async def test_an_image_of_the_web_is_asked_for_without_saying_by_whom(
    open_page: PageFactory, plans: Conversation
) -> None:
    asked: list[str | None] = []

    async def picture(route: Route) -> None:
        asked.append(route.request.headers.get("referer"))
        await route.abort()

    async def prepare(page: Page) -> None:
        await page.route("https://pictures.example/**", picture)

    page = await open_page(0, "Ann", conversation=plans.id, prepare=prepare)
    image = {"mime_type": "image/png", "url": "https://pictures.example/a.png"}
    await answered(page, "", [{"kind": "image", "data": image}])
    await expect(page.locator(".file")).to_contain_text("could not be loaded")
    assert asked == [None]


# Where a text such as "דנה!" is shown, and whether it begins at the right: its sign is at the left then.
FROM_RIGHT = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = {};
  for (let node; (node = walker.nextNode()); ) {
    if (!/^[\\u0590-\\u05ff ]+!$/.test(node.data) || !node.parentElement.checkVisibility()) continue;
    const leftOf = (at) => {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      return range.getBoundingClientRect().left;
    };
    const place = node.parentElement.closest("[id], [class]");
    const where = `${node.parentElement.localName} ${place.id || place.className}`;
    found[where] = found[where] !== false && leftOf(node.length - 1) < leftOf(0);
  }
  return found;
}"""


async def test_names_titles_and_values_run_in_the_direction_of_their_script(open_page: PageFactory) -> None:
    page = await open_page(0, "דנה!")
    await create(page, "תכנון!", agent="off")
    await say(page, "שלום!")
    await until(page, "state.open.entries.at(-1).data.text === 'שלום!'")
    await act(page, "שלום!", "Reply")
    await expect(page.locator("#reply-quote")).to_have_text("שלום!")
    await say(page, "טוב")
    await until(page, "state.open.entries.at(-1).data.text === 'טוב'")
    file = {"mime_type": "text/csv", "name": "קובץ!", "url": "data:,a"}
    parts: list[dict[str, Any]] = [
        {"kind": "text", "speaker": "סוכן!", "text": "ok"},
        {"kind": "image", "data": {"mime_type": "image/png", "url": PNG, "name": "תמונה!"}},
        {"kind": "file", "data": file},
        {"kind": "data", "data": {"value": {"שם!": "חדר!"}}},
        {"kind": "citation", "data": {"title": "מקור!"}},
    ]
    await answered(page, "ok", parts)
    form = {"kind": "choice", "text": "לאשר!", "options": [{"value": "yes", "label": "אשר!"}]}
    asked = {"interrupts": [{"interrupt_id": "q:0", "value": {}, "form": form}], "text": "", "run_id": "q"}
    data = {"role": "assistant", "user_id": "agent:echo", "name": "עוזר!", **asked}
    await page.evaluate(TELL, [[["entry:appended", {"type": "interrupt", "data": data}]]])
    await expect(page.locator(".options button")).to_have_text("אשר!")
    await expect(page.locator(".sources li")).to_have_text("מקור!")
    shown = await page.evaluate(FROM_RIGHT)
    assert [place for place, right in shown.items() if not right] == []
    places = {
        *("strong my-name", "h1 title", "span title", "bdi name", "span quote", "bdi speaker", "figcaption quiet"),
        *("b file", "dt facts", "dd facts", "bdi sources", "p words", "button options"),
    }
    assert places <= set(shown)
    await page.click("[popovertarget=people]")
    await page.locator("#members b").first.wait_for()
    assert (await page.evaluate(FROM_RIGHT))["b online"]
    await page.keyboard.press("Escape")
    await page.fill("#query-all", "שלום")
    await page.locator(".excerpt mark").wait_for()
    said = page.locator(".excerpt > :last-child")
    assert await said.evaluate("(node) => getComputedStyle(node).direction") == "rtl"
    assert (await page.evaluate(FROM_RIGHT))["span title"]


async def test_long_names_numbers_and_words_stay_within_a_small_phone(
    open_page: PageFactory, plans: Conversation
) -> None:
    page = await open_page(0, "Ann", conversation=plans.id, viewport={"width": 360, "height": 740})
    name = "Angebot_2026-05_Tagungshotel_Waldesruh_endgueltige_Fassung_mit_Anlagen_v7.pdf"
    value = {"booking_number_of_the_hotel": "BK-1234", "and": "numbers BK-1234-5678, BK-1234, BK-1234, BK-1234"}
    parts: list[dict[str, Any]] = [
        {"kind": "text", "speaker": "x" * 90, "text": "y" * 200},
        {"kind": "file", "data": {"mime_type": "application/pdf", "name": name, "url": "data:,a"}},
        {"kind": "data", "data": {"value": value}},
    ]
    await answered(page, "", parts)
    await expect(page.locator("dd .unbroken")).to_have_count(5)
    lines = (
        "[...document.querySelectorAll('dd .unbroken')].map((node) => { const range = new Range();"
        "range.selectNodeContents(node);"
        "return new Set([...range.getClientRects()].map(({ top }) => top)).size; })"
    )
    assert await page.evaluate(lines) == [1] * 5
    wide = (
        "[...document.querySelectorAll('#log *')]"
        ".filter((node) => node.getBoundingClientRect().right > innerWidth).map((node) => node.outerHTML)"
    )
    assert await page.evaluate(wide) == []
