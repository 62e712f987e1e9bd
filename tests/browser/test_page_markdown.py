"""What a model writes is hostile: it becomes nodes of a short list, never code, and cannot hang the page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from sio_server.local.cluster import LocalCluster
from tests.browser.conftest import PageFactory

pytest_plugins = ["tests.served.fixtures"]

TEXT = """# A *title*

Some **bold**, ~~gone~~ and `code <b>`; a [link](https://example.org/a?b=1 "t"),
https://example.org and a@example.org.
Next line\\
broken &amp; &lt;tag&gt; &copy;

- one
  1. inner
- [x] done

> quoted
> > deeper

| a | b |
|---|:-:|
| `1` | **2** |

```python title
if a < b:
    pass
```

    indented

---
<div onclick="alert(1)">raw</div>

![picture](https://example.org/p.png)

The end"""

MAKE = """async ([pieces]) => {
  const { markdown } = await import('/js/view/markdown.js');
  const node = document.createElement('div');
  const grow = markdown(node);
  let text = '';
  const began = performance.now();
  for (const piece of pieces) grow((text += piece));
  const ms = performance.now() - began;
  document.body.append(node);
  node.id = 'made';
  return { ms, html: node.outerHTML, text: node.textContent,
    tags: [...new Set([...node.querySelectorAll('*')].map((n) => n.localName))].sort(),
    attributes: [...new Set([...node.querySelectorAll('*')].flatMap((n) => n.getAttributeNames()))].sort(),
    links: [...node.querySelectorAll('a')].map((a) => [a.href, a.textContent, a.rel, a.target]) };
}"""

TAGS = {
    *[
        "a",
        "blockquote",
        "br",
        "button",
        "code",
        "del",
        "div",
        "em",
        "figcaption",
        "figure",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
    ]
}
TAGS |= {*["small", "span", "strong", "table", "tbody", "td", "th", "tr", "ul"]}
ATTRIBUTES = {*["class", "data-is", "data-t", "dir", "href", "rel", "start", "tabindex", "target"]}


@pytest.fixture(scope="module")
def cluster(served: LocalCluster) -> LocalCluster:
    return served


@pytest.fixture
async def page(cluster: LocalCluster, open_page: PageFactory) -> Page:
    return await open_page(0, "Ann")


async def made(page: Page, *pieces: str) -> dict[str, Any]:
    answer: dict[str, Any] = await page.evaluate(MAKE, [list(pieces)])
    assert set(answer["tags"]) <= TAGS
    assert set(answer["attributes"]) <= ATTRIBUTES
    return answer


async def test_markdown_is_shown_formatted(page: Page) -> None:
    answer = await made(page, TEXT)
    html = answer["html"]
    for part in (
        '<h3 dir="auto">A <em>title</em></h3>',
        "<strong>bold</strong>",
        "<del>gone</del>",
        "<code>code &lt;b&gt;</code>",
    ):
        assert part in html
    assert "broken &amp; &lt;tag&gt; &amp;copy;" in html
    assert '&lt;div onclick="alert(1)"&gt;raw&lt;/div&gt;' in html
    assert '<td class="center"><strong>2</strong></td>' in html
    assert "<th>" in html
    assert '<li class="task">☑ done</li>' in html
    assert "if a < b:\n    pass" in answer["text"]
    rel = ["noopener noreferrer nofollow", "_blank"]
    assert answer["links"] == [
        ["https://example.org/a?b=1", "link (example.org/a?b=1)", *rel],
        ["https://example.org/", "https://example.org", *rel],
        ["mailto:a@example.org", "a@example.org", *rel],
        ["https://example.org/p.png", "picture (example.org/p.png)", *rel],
    ]


async def test_a_growing_text_ends_as_one_that_comes_at_once(page: Page) -> None:
    whole = await made(page, TEXT)
    for size in (1, 7, 50):
        grown = await made(page, *[TEXT[at : at + size] for at in range(0, len(TEXT), size)])
        assert grown["html"] == whole["html"]


async def test_finished_blocks_are_not_built_again_while_the_text_grows(page: Page) -> None:
    kept = await page.evaluate(
        """async (text) => {
          const { markdown } = await import('/js/view/markdown.js');
          const node = document.createElement('div'), grow = markdown(node);
          grow(text);
          const before = [...node.children].slice(0, -1);
          grow(text + '\\n\\nmore\\n\\n```\\na');
          const code = node.lastChild;
          grow(text + '\\n\\nmore\\n\\n```\\na\\nb');
          const stands = before.every((one, at) => node.children[at] === one);
          return [stands, code === node.lastChild, code.textContent];
        }""",
        TEXT,
    )
    assert kept[:2] == [True, True]
    assert "a\nb" in kept[2]


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://example.org/1",
        "//example.org",
        "/api/status",
        "#c=other",
        "https://",
    ],
)
async def test_only_links_to_the_web_and_mailboxes_are_links(page: Page, address: str) -> None:
    answer = await made(page, f"[click](<{address}>) ![see](<{address}>) <{address}>")
    assert answer["links"] == []


async def test_a_link_with_a_misleading_text_shows_where_it_leads(page: Page) -> None:
    answer = await made(
        page,
        "[https://good.example](https://evil.example/?https://good.example) [a](https://good.example@evil.example)",
    )
    assert [text for _, text, *_ in answer["links"]] == [
        "https://good.example (evil.example/?https://good.example)",
        "a (good.example@evil.example)",
    ]


HOSTILE = {
    "brackets": "[",
    "images": "![",
    "emphasis": "*a **b ",
    "quotes": "> ",
    "lists": "- ",
    "numbers": "1. ",
    "ticks": "` `` ",
    "pipes": "|a",
    "tags": "<a ",
    "comments": "<!--",
    "links": "[a](b",
    "parentheses": "[](",
    "definitions": "[a]: b\n",
    "addresses": "http://a.",
    "mail": "a@b.",
    "strikes": "~~a",
    "backslashes": "\\",
    "fences": "```\n",
    "setext": "a\n=\n",
    "entities": "&amp;",
    "rows": "|a|b|\n|-|-|\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_text_does_not_hang_the_page(page: Page, kind: str) -> None:
    text = HOSTILE[kind] * (200_000 // len(HOSTILE[kind]))
    answer = await made(page, text)
    assert answer["ms"] < 10_000  # what is not linear takes minutes; other tests take their part of the core


DEPTH = """() => {
  const made = document.querySelector('#made');
  const depth = (node) => (node === made ? 0 : 1 + depth(node.parentNode));
  const nodes = [...made.querySelectorAll('*')];
  made.remove();
  return [Math.max(...nodes.map(depth)), nodes.length];
}"""


async def test_excessive_nesting_and_tables_are_cut_off(page: Page) -> None:
    deep = "\n".join(" " * (2 * level) + "- x" for level in range(150))
    wide = "|" + "a|" * 400 + "\n|" + "-|" * 400 + "\n" + ("|" + "b|" * 400 + "\n") * 30
    for text in (deep, wide, "> " * 60 + "x"):
        await made(page, text)
        depth, nodes = await page.evaluate(DEPTH)
        assert depth < 40
        assert nodes < 12_000


async def test_an_address_ends_before_punctuation_also_in_chinese(page: Page) -> None:
    answer = await made(page, "看 https://例子.测试/路。谢谢 (https://example.org/x_(y).) https://example.org/z,")
    assert [href for href, *_ in answer["links"]] == [
        "https://xn--fsqu00a.xn--0zwm56d/%E8%B7%AF",
        "https://example.org/x_(y)",
        "https://example.org/z",
    ]


async def test_a_text_that_grows_in_any_steps_shows_each_block_once(open_page: PageFactory) -> None:
    page = await open_page(0, "Ann")
    grown = """async (text) => {
      const { markdown } = await import("/js/view/markdown.js");
      const shown = (...lengths) => {
        const parent = document.createElement("div");
        const grow = markdown(parent);
        for (const length of lengths) grow(text.slice(0, length));
        return parent.textContent;
      };
      const whole = shown(text.length);
      const wrong = [];
      for (let first = 1; first < text.length; first++) {
        for (let second = first + 1; second < text.length; second++) {
          if (shown(first, second, text.length) !== whole) wrong.push([first, second]);
        }
      }
      return wrong;
    }"""
    assert (
        await page.evaluate(grown, "Some code:\n\n```python\nrun()\n```\n\nWhat is next:\n\n1. One\n2. Two\n")
        == []
    )


async def test_each_text_runs_in_the_direction_of_its_own_script(page: Page) -> None:
    texts = (
        "مرحبا **بكم** room 5\n\nplain words\n\n- שלום\n- two\n\n| שם | b |\n|-|-|\n| ערך | 2 |\n\n```\ncode\n```"
    )
    await made(page, texts)
    directions = (
        "[...document.querySelectorAll('#made > *')].map((n) => n.localName + getComputedStyle(n).direction)"
    )
    assert await page.evaluate(directions) == ["prtl", "pltr", "ulrtl", "divrtl", "figureltr"]
    name = "(await import('/js/i18n.js')).t('entry_member_joined', { name: '\u202eeman דוד' })"
    assert await page.evaluate(f"(async () => {name})()") == "\u2068eman דוד\u2069 joined"


async def test_table_cells_and_booking_numbers_are_not_broken_inside_words(page: Page) -> None:
    words = ["Wednesday", "Conference", "Participants", "Confirmation", "R-7K2M4"]
    row = "|" + "|".join(words) + "|\n"
    await made(page, row + "|-" * 5 + "|\n" + row + "\nBooked under number R-7K2M4, R-7K2M4, R-7K2M4, R-7K2M4.")
    await page.evaluate(
        "Object.assign(document.querySelector('#made'), { className: 'text' }).style.width = '220px'"
    )
    lines = (
        "[...document.querySelectorAll('#made :is(td, .unbroken)')].map((node) => { const range = new Range();"
        "range.selectNodeContents(node);"
        "return new Set([...range.getClientRects()].map(({ top }) => top)).size; })"
    )
    assert await page.evaluate(lines) == [1] * 11
    box = "(({ scrollWidth, clientWidth }) => [scrollWidth > clientWidth, clientWidth <= 220])"
    assert await page.evaluate(f"{box}(document.querySelector('#made .table'))") == [True, True]
