// Snapshots are values: what has changed is another object, what has not is the same one, and is not made again.

import { clientOf } from "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const snapshots = await import("../../web/sdk/src/snapshots.js");
const { parts } = await import("../../web/sdk/src/later.js");
const { remove } = await parts.list.load();
const { readBy, deliveredTo } = await parts.deliveryMarks.load();

const entry = (seq, type = "message", data = {}, more = {}) =>
  ({ epoch: "e1", seq, type, ts: `t${seq}`, turn_id: 1, data: { user_id: "ann", ...data }, ...more });
const run = (more) => ({ run_id: "r", turn_id: 1, status: "running", attempt: 1, version: 1, node: "a", replaces: null, parts: [], reports: [], ...more });

// A client that is connected and follows these conversations, each with some entries.
async function following(ids, entries = []) {
  const client = await clientOf({ ready: {}, request: async () => ({}), insist: () => new Promise(() => {}), retryAt: 0 });
  client.options.snapshots = snapshots;
  for (const id of ids) {
    const c = client.following.add(id);
    Object.assign(c, { role: "member", title: id, wanted: true, lastActivity: "t" });
    c.startOver("e1");
    Object.assign(c.stream, { position: { epoch: "e1", seq: entries.length }, syncing: false });
    c.add(structuredClone(entries));
  }
  client.following.catchingUp = false;
  let n = 0;
  const hear = (event, payload) => {
    const c = client.conversations.get(ids[0]);
    client.following.onEvent(event, { conversation_id: ids[0], ...(event.startsWith("marks") ? {} : { n: ++n }), ...payload });
    client.changed(c);
  };
  return { client, c: client.conversations.get(ids[0]), hear };
}

const write = (hear, part, text) => hear("run:written", { run_id: "r", version: 1, parts: [{ part, kind: "text", speaker: "A", text }], reports: [] });

test("text that is added makes another run and another part, and leaves the rest as it is", async () => {
  const { c, hear } = await following(["c"], [entry(1)]);
  hear("run:changed", { run: run() });
  write(hear, 0, "one ");
  const before = c.getSnapshot();
  const plain = structuredClone({ ...before.run });
  assert.equal(c.getSnapshot(), before);
  write(hear, 1, "other ");
  const middle = c.getSnapshot();
  write(hear, 1, "words");
  const after = c.getSnapshot();
  assert.deepEqual({ ...before.run }, plain, "what was given does not change");
  assert.equal(middle.run.parts[1].text, "other ");
  assert.notEqual(after.run, before.run);
  assert.equal(after.run.parts[0], before.run.parts[0]);
  assert.deepEqual(after.run.parts.map(({ text }) => text), ["one ", "other words"]);
  for (const field of ["entries", "reactions", "versions", "waiting", "questions", "resolved", "reads", "delivered", "pending", "typing"]) {
    assert.equal(after[field], before[field], field);
  }
});

test("pending messages are copies, and those that have not changed stay the same", async () => {
  const { client, c } = await following(["c"]);
  client.connection.ready = null;
  c.send("one");
  c.send("two");
  const before = c.getSnapshot().pending;
  Object.assign(client.outbox.items[0], { state: "refused", error: { code: "not_allowed", message: "no" } });
  client.changed(c);
  const after = c.getSnapshot().pending;
  assert.deepEqual([before[0].state, after[0].state], ["waiting", "refused"]);
  assert.equal(after[1], before[1]);
  c.sendAgain(after[0]);
  assert.deepEqual(client.outbox.items.map(({ text, state }) => [text, state]), [["two", "waiting"], ["one", "waiting"]]);
  c.drop(after[1]);
  assert.deepEqual(c.getSnapshot().pending.map(({ text }) => text), ["one"]);
});

test("with 1500 conversations a piece of an answer costs no summary and no look at the entries", async () => {
  const ids = Array.from({ length: 1500 }, (_, n) => `c${n}`);
  const { client, c, hear } = await following(ids, [entry(1), entry(2)]);
  hear("run:changed", { run: run() });
  const [before, ofClient] = [c.getSnapshot(), client.getSnapshot()];
  const counts = { summaries: 0, entries: 0 };
  for (const one of client.conversations.values()) {
    const { title, isCurrent } = one;
    Object.defineProperty(one, "title", { get: () => (one !== c && counts.summaries++, title) });
    one.isCurrent = (which) => (counts.entries++, isCurrent(which));
  }
  for (let n = 0; n < 50; n++) {
    write(hear, 0, "word ");
    assert.notEqual(c.getSnapshot(), before);
    assert.equal(client.getSnapshot(), ofClient, "nothing of the list has changed");
  }
  assert.deepEqual(counts, { summaries: 0, entries: 0 });
  hear("entry:appended", entry(3, "message", { text: "new" }));
  const { conversations } = client.getSnapshot();
  assert.equal(conversations[0].id, "c0");
  assert.equal(conversations[0].last.text, "new");
  assert.deepEqual(conversations.slice(1), ofClient.conversations.slice(1));
  assert.ok(conversations.slice(1).every((one, n) => one === ofClient.conversations[n + 1]));
  assert.equal(c.getSnapshot().entries.length, 3);
  assert.deepEqual(counts, { summaries: 0, entries: 3 });
});

test("reactions, earlier answers and marks are told, each as long as it is the same as the same object", async () => {
  const { c, hear } = await following(["c"], [
    entry(1, "message", { device_id: "d1", text: "?" }),
    entry(2, "answer", { user_id: "agent:a", run_id: "r1", text: "first" }),
    entry(3, "reaction_changed", { user_id: "bob", name: "Bob", to: 1, reaction: "👍", set: true }),
  ]);
  const bob = { user_id: "bob", name: "Bob" };
  const before = c.getSnapshot();
  assert.deepEqual([...before.reactions], [[1, [{ reaction: "👍", users: [bob] }]]]);
  assert.deepEqual(before.entries.map(({ seq }) => seq), [1, 2]);
  hear("entry:appended", { ...entry(4, "answer", { user_id: "agent:a", run_id: "r2", text: "second" }), hides: [2] });
  hear("entry:appended", entry(5, "reaction_changed", { user_id: "ann", name: "Ann", to: 4, reaction: "🎉", set: true }));
  const after = c.getSnapshot();
  assert.equal(after.reactions.get(1), before.reactions.get(1));
  assert.deepEqual(after.reactions.get(4), [{ reaction: "🎉", users: [{ user_id: "ann", name: "Ann" }] }]);
  assert.deepEqual([...after.versions].map(([turn, all]) => [turn, all.map(({ data }) => data.text)]), [[1, ["first"]]]);
  hear("entry:appended", entry(6, "reaction_changed", { user_id: "bob", name: "Bob", to: 1, reaction: "👍", set: false }));
  assert.deepEqual([...c.getSnapshot().reactions.keys()], [4]);
  assert.equal(c.getSnapshot().versions, after.versions);

  hear("marks:moved", { user_id: "bob", device_id: "phone", read: 2, delivered: 3 });
  const marked = c.getSnapshot();
  assert.deepEqual([...marked.delivered], [["bob phone", 3]]);
  assert.equal(marked.reads.get("bob"), 2);
  assert.equal(before.reads.get("bob"), undefined, "what was given does not change");
  assert.deepEqual(readBy(marked, marked.entries[0]), ["bob"]);
  assert.equal(deliveredTo(marked, marked.entries[0]), 1);
  hear("marks:moved", { user_id: "bob", device_id: "phone", read: 1, delivered: 1 });
  assert.equal(c.getSnapshot(), marked, "marks never go back");
});

test("a conversation that the user is no longer in says so, and its listeners are told", async () => {
  const { client, c } = await following(["c"], [entry(1)]);
  let told = 0;
  c.subscribe(() => told++);
  remove(client.following, c);
  await new Promise((done) => setTimeout(done));
  const { status, error, entries } = c.getSnapshot();
  assert.deepEqual([status, error.code, entries.length, told], ["removed", "not_a_member", 1, 1]);
  assert.deepEqual(client.getSnapshot().conversations, []);
  await assert.rejects(c.open(), { code: "not_a_member" });
  assert.equal(client.conversations.size, 0);
});

test("what is closed, refused or not loaded is told by the status", async () => {
  const { client, c } = await following(["c"], [entry(1)]);
  const status = (facts) => (Object.assign(c, facts), client.changed(c), c.getSnapshot().status);
  assert.equal(status({}), "in_step");
  c.close();
  assert.equal(status({}), "closed");
  assert.deepEqual(c.getSnapshot().entries, []);
  assert.equal(status({ closed: false, wanted: true }), "opening");
  assert.equal(status({ error: { code: "too_many_conversations" } }), "refused");
});
