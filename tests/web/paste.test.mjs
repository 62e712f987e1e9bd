// What is pasted into a message: code is fenced, everything else stays as it is.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { fenced } = await import("../../web/js/view/paste.js");
const { hueOf, initialOf } = await import("../../web/js/view/person.js");

const PYTHON = "def add(a, b):\n    return a + b\n\nprint(add(1, 2))\n";
const SCRIPT = "const sum = (a, b) => {\n  return a + b;\n};";
const PROSE = "Dear all,\nwe meet on Friday at ten.\nPlease bring your notes; thank you.\nAnn";
const LIST = "- milk\n- bread\n- two apples";

test("pasted code is fenced on lines of its own", () => {
  assert.equal(fenced(PYTHON, ""), `\`\`\`\n${PYTHON.trim()}\n\`\`\`\n`);
  assert.equal(fenced(SCRIPT, "see"), `\n\`\`\`\n${SCRIPT}\n\`\`\`\n`);
  assert.equal(fenced("a\nb", "", "sql"), "```sql\na\nb\n```\n"); // an editor says that it is code
});

test("words, lists, single lines and what is fenced already stay as they are", () => {
  for (const text of [PROSE, LIST, "let a = 1;", "第一行，\n第二行。", `\`\`\`\n${SCRIPT}\n\`\`\``]) assert.equal(fenced(text, ""), null, text);
  assert.equal(fenced(SCRIPT, "```js\n"), null);
});

test("people of one family name have different initials, and each has one hue for ever", () => {
  assert.deepEqual(["小王", "小李", "Ann", " bob", "𠮷田"].map(initialOf), ["王", "李", "A", "B", "田"]);
  assert.equal(hueOf("ann-1"), hueOf("ann-1"));
  assert.ok(new Set(["ann-1", "bob-2", "cid-3", "dan-4", "eve-5"].map(hueOf)).size > 2);
});
