// What is unread, as the list says it and as entries and marks come; and the page's start and return, by differences.

import { clientOf } from "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { mentions, Unread } = await import("../../web/sdk/src/unread.js");

const entry = (seq, data = {}, type = "message") => ({ epoch: "e1", seq, type, ts: "t", data: { user_id: "bob", text: "x", ...data } });
const listed = (seq, unread, mentions = 0) => ({ position: { epoch: "e1", seq }, unread, mentions });

test("entries of others are counted on from what the list said", () => {
  const unread = new Unread();
  unread.onListed(listed(10, 3, 1));
  for (const seq of [9, 10, 11, 11]) unread.add(entry(seq), "ann", ["Ann"]);
  unread.add(entry(12, { text: "@ANN?" }), "ann", ["Ann"]);
  unread.add(entry(13, { user_id: "ann" }), "ann", ["Ann"]);
  unread.add(entry(14, {}, "member_joined"), "ann", ["Ann"]);
  unread.add(entry(15, { interrupts: [] }, "interrupt"), "ann", ["Ann"]);
  assert.deepEqual([unread.count, unread.mentions], [6, 2]);
  unread.onListed(listed(12, 5, 2));
  assert.deepEqual([unread.count, unread.mentions], [6, 2]);
});

test("reading takes away what was read, and says when the list has to tell the rest", () => {
  const unread = new Unread();
  unread.onListed(listed(10, 3));
  for (const seq of [11, 12]) unread.add(entry(seq), "ann", []);
  assert.equal(unread.onRead(9), false, "of the three some may be read");
  assert.equal(unread.onRead(11), true);
  assert.equal(unread.count, 1);
  assert.equal(unread.onRead(12), true);
  assert.equal(unread.count, 0);
  for (let seq = 13; seq < 400; seq++) unread.add(entry(seq), "ann", []);
  assert.equal(unread.count, 100);
});

test("mentions are found as the server finds them", () => {
  const cases = { "@annlee, look": 1, "look: @AnnLee.": 1, "看看@AnnLee 吧": 1, "＠annlee": 1, "(@annlee)": 1 };
  const none = ["@Ann", "@annleeb", "mail ann@annlee.org", "annlee"];
  for (const text of [...Object.keys(cases), ...none]) assert.equal(mentions(text, ["ann-7", "Ann Lee"]), text in cases, text);
  assert.ok(mentions("@ann-7: you?", ["ann-7"]));
  assert.ok(mentions("@小明你好", ["小明"]));
  assert.ok(!mentions("@小红", ["小明"]));
});

// A server with these conversations, as far as a list and a sync need one.
function serverOf(heads) {
  const asked = [];
  const item = (id) => ({
    ...{ conversation_id: id, title: id, role: "member", read: 0, draft: null, last_activity: "t", last_entry: null },
    ...listed(heads[id], 1),
  });
  const result = (id, verdict = "snapshot") => ({
    ...{ conversation_id: id, verdict, n: 1, runs: [], more: false, reason: null, entries: [], after: heads[id], head: heads[id], interrupts: [] },
    ...{ position: { epoch: "e1", seq: heads[id] }, draft: null, card: { history: heads[id], last_activity: "t" }, role: "member" },
  });
  const answers = {
    "conversation:list": ({ changed_since }) => ({
      ...{ conversations: changed_since ? [] : Object.keys(heads).map(item), left: changed_since ? ["b"] : [] },
      ...{ next: null, cursor: "7", complete: !changed_since, unavailable: [] },
    }),
    "session:sync": ({ positions, after }) => {
      if (positions) return { conversations: Object.fromEntries(Object.keys(positions).map((id) => [id, result(id, "resumed")])), next: null };
      const [id] = Object.keys(heads).filter((one) => !after || one > after);
      return { conversations: { [id]: result(id) }, next: id === Object.keys(heads).at(-1) ? null : id };
    },
  };
  const insist = async (event, payload) => {
    asked.push([event, structuredClone(payload)]);
    return answers[event](payload);
  };
  return { asked, insist, ready: {} };
}

test("at the start all conversations are listed and followed; after a return only what changed is listed", async () => {
  const server = serverOf({ a: 3, b: 5, c: 8 });
  const { following } = await clientOf(server);
  await following.begin(async () => {});
  const follow = { positions: null, entries: 0, marks: false };
  assert.deepEqual(server.asked, [
    ["conversation:list", { after: null, changed_since: null }],
    ...[null, "a", "b"].map((after) => ["session:sync", { ...follow, after }]),
  ]);
  const all = [...following.conversations.values()];
  assert.deepEqual(all.map((c) => [c.id, c.head, c.unread.count, c.loaded, c.stream.syncing]), [
    ["a", 3, 1, false, false],
    ["b", 5, 1, false, false],
    ["c", 8, 1, false, false],
  ]);
  server.asked.length = 0;
  await following.begin(async () => {});
  const positions = Object.fromEntries(all.map((c) => [c.id, { epoch: "e1", seq: c.head }]));
  assert.deepEqual(server.asked, [
    ["session:sync", { positions }],
    ["conversation:list", { after: null, changed_since: "7" }],
  ]);
  await new Promise((done) => setTimeout(done));
  assert.deepEqual([...following.conversations.keys()], ["a", "c"], "what was left on another device is gone");
});

test("a list of which a part is not served removes nothing, and is read again from the old cursor", async () => {
  const asked = [];
  const page = { conversations: [], left: [], next: null, complete: true, unavailable: ["a"], cursor: "9" };
  const insist = async (event, payload) => {
    asked.push(payload.changed_since);
    return page;
  };
  const { following } = await clientOf({ insist });
  Object.assign(following.add("a"), { role: "member", followedAt: -1 });
  const { read, readSoon } = await import("../../web/sdk/src/list.js");
  await read(following);
  await read(following);
  assert.deepEqual([...following.conversations.keys()], ["a"]);
  assert.equal(asked[0], asked[1]);
  page.unavailable = [];
  await read(following);
  assert.deepEqual([...following.conversations.keys()], []);
  readSoon(following, 0);
  while (asked.length < 4) await new Promise((done) => setTimeout(done));
  assert.equal(asked[3], "9");
});
