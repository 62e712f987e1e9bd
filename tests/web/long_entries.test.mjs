// A long entry is read page by page; what was read stays when a request fails.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { whole } = await import("../../web/js/view/long_entries.js");

test("pages that were read are not asked for again after a failure", async () => {
  const json = JSON.stringify({ text: "0123456789" });
  const asked = [];
  let failing = true;
  const connection = {
    ask: async (c, event, { page }) => {
      asked.push(page);
      if (failing && page === 2) throw new Error("away");
      return { epoch: "e", text: page < 5 ? json.slice(4 * page, 4 * page + 4) : json.slice(20) };
    },
  };
  const entry = { seq: 1, epoch: "e", pages: 6, data: { text: "0" } };
  await assert.rejects(whole(connection, {}, entry));
  const before = asked.filter((page) => page !== 2);
  failing = false;
  asked.length = 0;
  assert.deepEqual(await whole(connection, {}, entry), { text: "0123456789" });
  assert.ok(asked.includes(2) && before.length >= 3 && !before.some((page) => asked.includes(page)));
  assert.equal(entry.pages, undefined);
});
