// What waits is shown in the tab's title and on the icon of an installed page.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

document.title = "Roomgraph";
const { showUnread } = await import("../../web/js/view/badge.js");

test("the title and the badge have the number of unread entries, and none when all are read", () => {
  const badges = [];
  navigator.setAppBadge = (n) => (badges.push(n), Promise.reject(new Error("not installed")));
  const titles = [3, 3, 120, 0].map((n) => (showUnread(n), document.title));
  assert.deepEqual(titles, ["(3) Roomgraph", "(3) Roomgraph", "(99+) Roomgraph", "Roomgraph"]);
  assert.deepEqual(badges, [3, 120, 0]);
});

test("a browser without badges has the title only", () => {
  delete navigator.setAppBadge;
  showUnread(1);
  assert.equal(document.title, "(1) Roomgraph");
});
