// What an entry says: a long one is read page by page, and what was read stays when a request fails.

import assert from "node:assert/strict";
import { test } from "node:test";

const { beforeQuestions, wholeData } = await import("../../web/sdk/src/entry_parts.js");

const conversationOf = (ask) => ({ client: { connection: { ask } } });

test("pages that were read are not asked for again after a failure, and two readers ask once", async () => {
  const json = JSON.stringify({ text: "0123456789" });
  const asked = [];
  const parts = [];
  let failing = true;
  const c = conversationOf(async (_, event, { page }) => {
    asked.push(page);
    if (failing && page === 2) throw new Error("away");
    return { epoch: "e", text: page < 5 ? json.slice(4 * page, 4 * page + 4) : json.slice(20) };
  });
  const entry = { seq: 1, epoch: "e", pages: 6, data: { text: "0" } };
  await assert.rejects(wholeData(c, entry), /away/);
  const before = asked.filter((page) => page !== 2);
  failing = false;
  asked.length = 0;
  const both = await Promise.all([wholeData(c, entry, (part) => parts.push(part)), wholeData(c, entry)]);
  assert.deepEqual(both, [{ text: "0123456789" }, { text: "0123456789" }]);
  assert.ok(asked.includes(2) && before.length >= 3 && !before.some((page) => asked.includes(page)));
  assert.equal(parts.at(-1), 1);
  assert.deepEqual([entry.pages, entry.data], [6, { text: "0" }], "the entry is a value of snapshots, and stays as it is");
});

test("pages of another log are not joined with those of this one", async () => {
  const c = conversationOf(async (_, event, { page }) => ({ epoch: page ? "later" : "e", text: "1" }));
  await assert.rejects(wholeData(c, { seq: 1, epoch: "e", pages: 2, data: {} }), { code: "not_found" });
});

test("the questions at the end of a text are left out", () => {
  const asks = (text, form) => beforeQuestions({ text, interrupts: [{ form }] });
  assert.equal(asks("I looked.\n\nBook it?", { kind: "approval", text: "Book it?" }), "I looked.");
  assert.equal(asks('So.\nbook {"a": 1}', { kind: "review", text: "", actions: [{ name: "book", args: { a: 1 } }] }), "So.");
  assert.equal(beforeQuestions({ text: "Done." }), "Done.");
  assert.equal(beforeQuestions({}), "");
});
