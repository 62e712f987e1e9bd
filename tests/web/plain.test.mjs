// Markdown in one line: its marks are left out, what only looks like them is not.

import assert from "node:assert/strict";
import { test } from "node:test";

const { folded, placesOf, plain } = await import("../../web/js/view/plain.js");

const cases = {
  "shall we **meet** _now_?": "shall we meet now?",
  "see [the place](https://example.org/a?b=1)\n\n- two days\n- `budget_2026.xlsx`": "see the place two days budget_2026.xlsx",
  "## Plan\n1. go\n> and return": "Plan go and return",
  "```python\nx_1 = a * b\n# *not* a heading\n```\nthen": "x_1 = a * b # *not* a heading then",
  "2 * 3 - 4 > 5": "2 * 3 - 4 > 5",
  "if a > b and c < d then x->y #tag … 3*4*5": "if a > b and c < d then x->y #tag … 3*4*5",
  "`a*b*c` and \\*this\\* and a_b_c and 2**3": "a*b*c and *this* and a_b_c and 2**3",
  "*斜体*和**粗体**": "斜体和粗体",
  "| Dish | Price |\n|---|---:|\n| Soup | 4 |": "Dish · Price Soup · 4",
  "…-:|\n| Soup | 4 |": "Soup · 4",
};

for (const [text, said] of Object.entries(cases)) {
  test(JSON.stringify(text), () => assert.equal(plain(text), said));
}

test("a text is searched as the server searches: without accents, in small letters", () => {
  assert.equal(folded("CAFÉ Ñandú Ärger Ω İstanbul Straße 中文 👍🏽 שָׁלוֹם 각 が か\u3099"), "cafe nandu arger ω istanbul strasse 中文 👍🏽 שלום 각 が が");
  for (const text of ["ﬁ", "ŉ", "ẞ", "ΐ", "각", "\ud83d", "ı"]) assert.equal(typeof folded(text), "string");
});

test("a place in the folded text is one in the text", () => {
  const found = (text, words) => [...placesOf(text, folded(words))].map(([from, to]) => text.slice(from, to));
  assert.deepEqual(found("Die Straße, die STRASSE", "strasse"), ["Straße", "STRASSE"]);
  assert.deepEqual(found("ein Cafe\u0301 und ein Café", "cafe"), ["Cafe\u0301", "Café"]);
  assert.deepEqual(found("nothing", "cafe"), []);
});
