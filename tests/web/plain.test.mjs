// Markdown in one line: its marks are left out, what only looks like them is not.

import assert from "node:assert/strict";
import { test } from "node:test";

const { folded, plain } = await import("../../web/js/view/plain.js");

const cases = {
  "shall we **meet** _now_?": "shall we meet now?",
  "see [the place](https://example.org/a?b=1)\n\n- two days\n- `budget_2026.xlsx`": "see the place two days budget_2026.xlsx",
  "## Plan\n1. go\n> and return": "Plan go and return",
  "```python\nx_1 = a * b\n```": "x_1 = a * b",
  "2 * 3 - 4 > 5": "2 * 3 - 4 > 5",
  "*斜体*和**粗体**": "斜体和粗体",
};

for (const [text, said] of Object.entries(cases)) {
  test(JSON.stringify(text), () => assert.equal(plain(text), said));
}

test("a text is searched without its accents, and keeps its length", () => {
  assert.equal(folded("CAFÉ Ñandú Ärger Ω İstanbul ß 中文 👍🏽 שלום 각 が"), "cafe nandu arger ω istanbul ß 中文 👍🏽 שלום 각 が");
  for (const text of ["ﬁ", "ŉ", "ẞ", "ΐ", "각", "\ud83d"]) assert.equal(folded(text).length, text.length);
});
