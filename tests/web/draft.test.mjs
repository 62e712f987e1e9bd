// A draft is the same on all devices, whichever of them was disconnected meanwhile.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Draft } from "../../web/sdk/src/draft.js";

// As after a reload, with what was kept before.
function reloaded(save, keep, kept) {
  const draft = new Draft(save, () => {}, keep);
  draft.restore(kept);
  return draft;
}

const failing = () => Promise.reject(Object.assign(new Error("offline"), { retryable: true }));

test("another device's draft is not lost to a text that was sent while disconnected", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const saved = [];
  const draft = new Draft(failing, () => {});
  draft.edit("to be sent");
  draft.clear();
  await null;
  draft.save = async (text) => saved.push(text);
  draft.onRemote({ rev: 7, text: "written elsewhere" });
  assert.equal(draft.text, "written elsewhere");
  t.mock.timers.tick(10_000);
  await null;
  assert.deepEqual(saved, []);
});

test("a draft being written here is not replaced by another device's", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const draft = new Draft(async () => 8, () => {});
  draft.edit("mine");
  draft.onRemote({ rev: 7, text: "written elsewhere" });
  assert.equal(draft.text, "mine");
  await draft.flush();
  assert.equal(draft.text, "mine");
});

test("a text that was not saved before a reload is there again, and is saved", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let kept = null;
  const saved = [];
  const keep = (one) => (kept = one);
  const make = () => reloaded(async (text) => saved.push(text) + 4, keep, kept);
  const before = make();
  before.startOver("e1");
  before.onRemote({ rev: 4, text: "on the server" });
  assert.equal(kept, null);
  before.edit("typed just now");
  const after = make();
  assert.equal(after.text, "typed just now");
  after.startOver("e1");
  after.onRemote({ rev: 4, text: "on the server" });
  assert.equal(after.text, "typed just now");
  await after.flush();
  assert.deepEqual(saved, ["typed just now"]);
  assert.equal(kept, null, "the server has it");
});

test("a text that was sent just before a reload does not come back as a draft", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let kept = null;
  const make = () => reloaded(failing, (one) => (kept = one), kept);
  const before = make();
  before.startOver("e1");
  before.onRemote({ rev: 4, text: "to be sent" });
  before.clear();
  await null;
  const after = make();
  after.startOver("e1");
  after.onRemote({ rev: 4, text: "to be sent" });
  assert.equal(after.text, "");
  after.startOver("e2");
  after.onRemote({ rev: 1, text: "in another log" });
  assert.equal(after.text, "in another log");
});

test("what a tab's user has not saved is kept from other users and from duplicated tabs", async () => {
  const { clientOf } = await import("./browser.mjs");
  const { draft, keepDraft } = await import("../../web/js/storage.js");
  const of = async (user, device, id = "constructor") => {
    const client = await clientOf({ ready: null, request: async () => ({ rev: 1 }) }, { user, device, draft, keepDraft });
    return client.following.add(id).draft;
  };
  (await of("ann", "d1")).edit("mine");
  assert.equal((await of("ann", "d1")).text, "mine");
  for (const [user, device, id] of [["ann", "d1", "toString"], ["bob", "d1"], ["ann", "another"]]) {
    assert.equal((await of(user, device, id)).text, "", user + device);
  }
});

test("a draft that was kept comes back once it is known whose it is, from a store that takes its time", async () => {
  const { clientOf } = await import("./browser.mjs");
  const kept = new Map();
  const store = { draft: async (key) => kept.get(key) ?? null, keepDraft: (key, one) => void (one ? kept.set(key, one) : kept.delete(key)) };
  const offline = { ready: null, request: failing };
  const before = await clientOf(offline, store);
  before.following.add("plans").draft.edit("typed");
  assert.deepEqual([...kept.keys()], ["ann d1 plans"]);
  const after = await clientOf(offline, { user: "", ...store });
  const c = after.following.add("plans");
  await null;
  assert.equal(c.draft.text, "");
  after.me = "ann";
  await c.restoreDraft();
  assert.equal(c.draft.text, "typed");
  after.ended = before.ended = true;
});

test("what was typed since is not replaced by what was kept, and another log's revision does not count", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const kept = { text: "kept", rev: 7, epoch: "e1" };
  const draft = new Draft(failing, () => {});
  draft.edit("typed since");
  draft.restore(kept);
  assert.equal(draft.text, "typed since");
  const late = new Draft(async () => 3, () => {});
  late.startOver("e2");
  late.onRemote({ rev: 1, text: "on the server" });
  late.restore(kept);
  assert.equal(late.text, "kept");
  await late.flush();
  late.onRemote({ rev: 4, text: "later" });
  assert.equal(late.text, "later");
});

test("sending saves an empty draft only where there may be one", async () => {
  const saved = [];
  const draft = new Draft(async (text) => saved.push(text) + 4, () => {});
  draft.clear();
  await draft.flush();
  draft.edit("sent before it was saved");
  draft.clear();
  await draft.flush();
  assert.deepEqual(saved, []);
  draft.edit("saved");
  await draft.flush();
  draft.clear();
  await draft.flush();
  draft.onRemote({ rev: 9, text: "from elsewhere" });
  draft.clear();
  await draft.flush();
  assert.deepEqual(saved, ["saved", "", ""]);
});

test("a draft whose outcome is unknown is saved again, also when it is what was known before", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const draft = new Draft(failing, () => {});
  draft.edit("typed");
  await draft.flush();
  const saved = [];
  draft.save = async (text) => saved.push(text) + 4;
  draft.edit("");
  await draft.flush();
  assert.deepEqual(saved, [""]);
});

test("a closed client saves no drafts, and does when it is connected again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { clientOf } = await import("./browser.mjs");
  const asked = [];
  const request = (event) => (asked.push(event), failing());
  const client = await clientOf({ ready: {}, request, close() {}, reconnect() {} });
  const { draft } = client.following.add("plans");
  draft.edit("typed");
  await draft.flush();
  assert.equal(asked.length, 1);
  client.close();
  draft.edit("typed more");
  for (let round = 0; round < 5; round++) {
    t.mock.timers.tick(2000);
    for (let turn = 0; turn < 20; turn++) await null;
  }
  assert.equal(asked.length, 1);
  assert.equal(draft.text, "typed more");
  client.connect();
  assert.equal(asked.length, 2);
  client.close();
});
