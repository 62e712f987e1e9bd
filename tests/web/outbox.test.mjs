// Messages on their way: sent in order, each once, by one page only, also when their own page was closed.

import { clientOf, SharedLocks, SharedStore } from "./browser.mjs";
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

const { guarded } = await import("../../web/sdk/src/stores/guarded.js");
const { memoryStore } = await import("../../web/sdk/src/stores/memory.js");
const { forgetUnsent } = await import("../../web/js/sign_out.js");

const failure = (code, retryable) => Object.assign(new Error(code), { code, retryable });

// A log that takes each request_id once, and may be told not to answer, or to be too busy for a text.
class Server {
  log = [];
  sends = 0;

  page(ready = true) {
    return { ready, request: (event, payload) => this.#take(event, payload), close() {}, reconnect() {} };
  }

  async #take(event, { request_id, text, after, ...rest }) {
    this.sends += 1;
    await null;
    if (after && !this.log.some((entry) => entry.request_id === after)) throw failure("out_of_order", true);
    if (text === "no") throw failure("not_a_member", false);
    if (text === this.busy) throw failure("unavailable", true);
    if (text === this.limited) throw Object.assign(failure("rate_limited", true), { retry_after_ms: 20_000 });
    let seq = this.log.findIndex((entry) => entry.request_id === request_id) + 1;
    if (!seq) seq = this.log.push({ event, request_id, text, ...rest });
    if (this.silent) throw failure("offline", true);
    return { ok: true, seq };
  }

  get texts() {
    return this.log.map((entry) => entry.text);
  }
}

let server, store, locks;

// `await` for all that is under way, and for what that begins.
const settle = async () => {
  for (let turn = 0; turn < 200; turn++) await null;
};

const pass = async (ms) => {
  mock.timers.tick(ms);
  await settle();
};

async function page(device, { online = true, shared = locks, user = "ann" } = {}) {
  const { outbox } = await clientOf(server.page(online), { user, device, step: store.step, shared: true, locks: shared });
  outbox.start();
  await settle();
  return outbox;
}

// The page is gone, and with it what it was about to do.
async function close(outbox) {
  outbox.client.connection.ready = false;
  await settle(); // what it has begun to store is stored
  outbox.store = { step: () => new Promise(() => {}) };
  await pass(5000);
  locks.close(`roomgraph ${outbox.device}`);
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_800_000_000_000 });
  server = new Server();
  store = new SharedStore();
  locks = new SharedLocks();
});

test("messages are sent together, logged in their order, and leave the store with their ack", async () => {
  const outbox = await page("d1", { online: false });
  for (const text of ["a", "b", "c"]) outbox.add("plans", text);
  outbox.client.connection.ready = true;
  outbox.pumpAll();
  assert.equal(server.sends, 3);
  await settle();
  assert.deepEqual(server.texts, ["a", "b", "c"]);
  assert.equal(store.records.size, 0);
});

test("a message without an answer is sent again with its request_id, and those behind it wait", async () => {
  const outbox = await page("d1");
  server.silent = true;
  outbox.add("plans", "a");
  outbox.add("plans", "b");
  await settle();
  assert.deepEqual(server.texts, ["a"]);
  server.silent = false;
  await pass(1500);
  assert.deepEqual(server.texts, ["a", "b"]);
  assert.equal(server.sends, 3);
});

test("messages keep their order though one in the middle is refused, and another not carried out at first", async () => {
  const outbox = await page("d1", { online: false });
  for (const text of ["a", "no", "b", "c", "d"]) outbox.add("plans", text);
  server.busy = "c";
  outbox.client.connection.ready = true;
  outbox.pumpAll();
  await settle();
  assert.deepEqual(server.texts, ["a", "b"]);
  server.busy = null;
  await pass(1500);
  assert.deepEqual(server.texts, ["a", "b", "c", "d"]);
  assert.deepEqual(outbox.of("plans").map(({ state }) => state), ["sent", "refused", "sent", "sent", "sent"]);
});

test("so many messages are on their way at a time, and no more", async () => {
  const outbox = await page("d1", { online: false });
  const texts = Array.from({ length: 40 }, (_, n) => `${n}`);
  for (const text of texts) outbox.add("plans", text);
  outbox.client.connection.ready = true;
  outbox.pumpAll();
  assert.equal(server.sends, 16);
  await settle();
  assert.deepEqual(server.texts, texts);
  assert.equal(server.sends, 40);
});

test("a refused message lets the others pass, is kept, and can be sent again or discarded", async () => {
  const outbox = await page("d1");
  outbox.add("plans", "no");
  outbox.add("plans", "b");
  await settle();
  const [refused] = outbox.of("plans");
  assert.equal(refused.state, "refused");
  assert.equal(refused.error.code, "not_a_member");
  assert.equal(store.records.get(refused.request_id).state, "refused");
  assert.deepEqual(server.texts, ["b"]);
  refused.text = "yes";
  outbox.retry(refused);
  await settle();
  assert.deepEqual(server.texts, ["b", "yes"]);
  outbox.add("plans", "no");
  await settle();
  outbox.remove((item) => item.state === "refused");
  await settle();
  assert.equal(store.records.size, 0);
});

test("an edit is on its way like a message", async () => {
  const outbox = await page("d1");
  outbox.add("plans", "edited", 4);
  await settle();
  const [{ event, seq, text }] = server.log;
  assert.deepEqual([event, seq, text], ["message:edit", 4, "edited"]);
});

test("a message that the log has delivered leaves the outbox", async () => {
  const outbox = await page("d1");
  outbox.add("plans", "a");
  await settle();
  const [{ request_id }] = outbox.items;
  outbox.delivered({ id: "plans", head: 0 }, [{ data: { user_id: "eve", request_id } }]);
  assert.equal(outbox.items.length, 1);
  outbox.delivered({ id: "plans", head: 0 }, [{ data: { user_id: "ann", request_id } }]);
  assert.equal(outbox.items.length, 0);
});

test("a reloaded page continues with its own messages, in their order", async () => {
  const before = await page("d1", { online: false });
  for (const text of ["a", "b", "c"]) before.add("plans", text);
  await settle();
  await close(before);
  await page("d1");
  assert.deepEqual(server.texts, ["a", "b", "c"]);
});

test("two pages at once do not send each other's messages", async () => {
  const offline = await page("d1", { online: false });
  await page("d2");
  offline.add("plans", "a");
  await settle();
  await pass(20_000);
  assert.equal(server.sends, 0);
  assert.equal(store.records.size, 1);
});

test("exactly one open page takes over the messages of a closed one, with their client ids", async () => {
  const closed = await page("d1", { online: false });
  const others = [await page("d2"), await page("d3"), await page("d4")];
  closed.add("plans", "a");
  closed.add("plans", "b");
  const ids = closed.items.map((item) => item.request_id);
  await close(closed);
  await pass(5000);
  assert.deepEqual(server.log.map((entry) => entry.request_id), ids);
  assert.equal(server.sends, 2);
  assert.deepEqual(others.map((outbox) => outbox.items.length).sort(), [0, 0, 2]);
  await pass(5000);
  assert.equal(server.sends, 2);
});

test("a message that was acked before its tab closed is not in the log twice", async () => {
  const closed = await page("d1");
  server.silent = true;
  closed.add("plans", "a");
  await settle();
  await close(closed);
  server.silent = false;
  await page("d2");
  await pass(5000);
  assert.equal(server.sends, 2);
  assert.deepEqual(server.texts, ["a"]);
});

test("the messages of another user are left alone", async () => {
  const closed = await page("d1", { online: false });
  closed.add("plans", "a");
  await settle();
  await close(closed);
  await page("d2", { user: "bob" });
  await pass(5000);
  assert.equal(server.sends, 0);
  await page("d3", { user: "ann" });
  assert.deepEqual(server.texts, ["a"]);
});

test("signing out removes this page's messages from the store", async () => {
  const here = await page("d1", { online: false });
  const other = await page("d2", { online: false });
  here.add("plans", "a");
  other.add("plans", "b");
  await settle();
  await forgetUnsent(here);
  assert.deepEqual([...store.records.values()].map((record) => record.text), ["b"]);
});

test("messages that nobody has sent for a month are not sent any more", async () => {
  const closed = await page("d1", { online: false });
  closed.add("plans", "a");
  await settle();
  await close(closed);
  mock.timers.setTime(Date.now() + 31 * 86_400_000);
  await page("d2");
  assert.equal(server.sends, 0);
  assert.equal(store.records.size, 0);
});

test("without locks an active page keeps its messages, and a silent one loses them", async () => {
  const silent = await page("d1", { online: false, shared: null });
  silent.add("plans", "a");
  await settle();
  const other = await page("d2", { online: false, shared: null });
  for (let round = 0; round < 30; round++) await pass(5000);
  assert.equal(other.items.length, 0, "both live and say so");
  silent.store = { shared: true, step: async () => {} }; // it is suspended
  for (let round = 0; round < 20; round++) await pass(5000);
  assert.deepEqual(other.items.map((item) => item.text), ["a"]);
  silent.store = store; // and wakes
  await pass(5000);
  assert.equal(silent.items.length, 0, "what another page has taken is not its own any more");
});

test("without a database messages are sent from memory", async () => {
  store = { step: async () => {} };
  const outbox = await page("d1");
  outbox.add("plans", "a");
  await settle();
  assert.deepEqual(server.texts, ["a"]);
});

test("what was asked too often is sent when the server has said, and the reason is shown meanwhile", async () => {
  const outbox = await page("d1");
  server.limited = "a";
  outbox.add("plans", "a");
  await settle();
  assert.deepEqual(outbox.items.map(({ state, delayed }) => [state, delayed.code]), [["waiting", "rate_limited"]]);
  await pass(19_999);
  assert.equal(server.sends, 1);
  server.limited = null;
  await pass(4001);
  assert.equal(server.sends, 2);
  assert.equal(outbox.items[0].delayed, undefined);
});

test("a closed client's messages are sent by another one of the same page", async () => {
  const closed = await page("d1", { online: false });
  closed.add("plans", "a");
  await settle();
  closed.client.close();
  await page("d2");
  assert.deepEqual(server.texts, ["a"]);
  assert.deepEqual([...locks.held.keys()], ["roomgraph d2"]);
});

test("a message that is added to a closed client is kept, and sent by it when it connects again", async () => {
  const { client } = await page("d1", { online: false });
  client.close();
  client.outbox.add("plans", "a");
  await settle();
  assert.equal(store.records.size, 1);
  assert.equal(locks.held.size, 0);
  client.connection.ready = true;
  client.outbox.start();
  await settle();
  assert.deepEqual(server.texts, ["a"]);
  assert.deepEqual([...locks.held.keys()], ["roomgraph d1"]);
});

test("two clients with one device id both send and keep; the second takes what the first has left", async () => {
  const first = await page("d1", { online: false });
  first.add("plans", "a");
  await settle();
  const second = await page("d1");
  second.add("plans", "b");
  second.client.connection.ready = false;
  second.add("plans", "c");
  await settle();
  assert.deepEqual(server.texts, ["b"]);
  assert.deepEqual([...store.records.values()].map(({ text }) => text), ["a", "c"]);
  await pass(5000);
  assert.deepEqual(second.items.map(({ text }) => text), ["b", "c"], "the first one lives");
  second.client.connection.ready = true;
  await close(first);
  await settle();
  assert.deepEqual(server.texts.toSorted(), ["a", "b", "c"]);
});

test("a message that was written before the user was known is that user's, and no other's", async () => {
  const outbox = await page("d1", { online: false, user: "" });
  outbox.add("plans", "a");
  await settle();
  assert.equal(store.records.size, 0, "it is not known whose it is");
  outbox.client.me = "ann";
  outbox.start();
  await settle();
  assert.equal([...store.records.values()][0].user, "ann");
  Object.assign(outbox.client, { me: "bob" }).connection.ready = true;
  outbox.start();
  await settle();
  assert.deepEqual([server.sends, outbox.items.length], [0, 0]);
  outbox.client.me = "ann";
  outbox.start();
  await settle();
  assert.deepEqual(server.texts, ["a"]);
});

test("messages wait for the conversation that is being joined, and for nothing else", async () => {
  const outbox = await page("d1", { online: false });
  const joining = Object.assign(outbox.client.following.add("new"), { wanted: true });
  outbox.client.connection.ready = true;
  outbox.add("new", "a");
  outbox.add("plans", "b");
  await settle();
  assert.deepEqual(server.texts, ["b"]);
  joining.role = "member";
  outbox.pumpAll();
  await settle();
  assert.deepEqual(server.texts, ["b", "a"]);
});

test("what was not sent when the user was removed is refused, and nothing is taken for sending after that", async () => {
  const outbox = await page("d1", { online: false });
  const { client } = outbox;
  client.options.snapshots = await import("../../web/sdk/src/snapshots.js");
  const c = Object.assign(client.following.add("plans"), { role: "member" });
  c.send("too late");
  await settle();
  const { remove } = await import("../../web/sdk/src/list.js");
  remove(client.following, c);
  await settle();
  const [item] = c.getSnapshot().pending;
  assert.deepEqual([item.text, item.state, item.error.code], ["too late", "refused", "not_a_member"]);
  assert.throws(() => c.send("even later"), { code: "not_a_member" });
  assert.throws(() => c.sendAgain(item), { code: "not_a_member" });
  c.drop(item);
  assert.deepEqual(c.getSnapshot().pending, []);
  await settle();
  assert.equal(store.records.size, 0);
});

test("what the server would refuse for its text is not taken, and the draft stays", async () => {
  const { client } = await page("d1");
  const c = client.following.add("plans");
  c.saveDraft("kept");
  for (const text of ["", "  \n", null, 7]) assert.throws(() => c.send(text), { code: "invalid_payload" });
  client.limits = { text_bytes: 10 };
  assert.throws(() => c.send("é".repeat(6)), { code: "payload_too_large", retryable: false });
  assert.equal(c.draft.text, "kept");
  c.send("é".repeat(5));
  c.send("", { files: ["f.1"] });
  await settle();
  assert.deepEqual(server.texts, ["é".repeat(5), ""]);
});

test("what a store cannot do is told once, and loses no message", async () => {
  const told = [];
  let full = true;
  const failing = { ...memoryStore(), step: async () => { if (full) throw new Error("full"); }, draft() { throw new Error("gone"); } };
  const safe = guarded(failing, (error) => told.push(error.message));
  const { outbox } = await clientOf(server.page(), safe);
  outbox.start();
  outbox.add("plans", "a");
  outbox.add("plans", "b");
  await settle();
  assert.deepEqual(server.texts, ["a", "b"]);
  assert.deepEqual(told, ["full"]);
  assert.equal(await safe.draft("any"), undefined);
  full = false;
  outbox.add("plans", "c");
  await settle();
  full = true;
  outbox.add("plans", "d");
  await settle();
  assert.deepEqual(told, ["full", "full"]);
});

test("a message that is delivered while the store is read does not come back", async () => {
  const outbox = await page("d1", { online: false });
  outbox.add("plans", "a");
  await settle();
  const [{ request_id }] = outbox.items;
  let read;
  const { step } = store;
  outbox.store = { shared: true, step: async (act) => (await new Promise((go) => (read = go)), step(act)) };
  outbox.start();
  await settle();
  const reads = read;
  outbox.store = store;
  outbox.client.connection.ready = true;
  outbox.items = [];
  reads();
  await settle();
  assert.deepEqual(outbox.items.map((item) => item.request_id === request_id), []);
  assert.equal(server.sends, 0);
});

test("where locks are refused messages are kept and sent all the same", async () => {
  const outbox = await page("d1", { shared: { request: async () => { throw new Error("forbidden"); } }, online: false });
  outbox.add("plans", "a");
  await settle();
  assert.equal(store.records.size, 1);
  outbox.client.connection.ready = true;
  outbox.start();
  await settle();
  assert.deepEqual(server.texts, ["a"]);
});
