// What is known of a conversation: marks, questions, and what a run reports; without growing with the log.

import { clientOf } from "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { behindOf, deliveredTo } = await import("../../web/sdk/src/delivery_marks.js");
const { parts } = await import("../../web/sdk/src/later.js");
const { stepsOf } = await import("../../web/js/view/steps.js");

const entry = (seq, type = "message", data = {}) => ({ epoch: "e1", seq, type, ts: "t", data: { user_id: "ann", ...data } });
const run = (run_id, more) => ({ run_id, turn_id: 1, status: "running", attempt: 1, version: 1, node: "a", replaces: null, parts: [], reports: [], ...more });

// What the server says of a conversation after `entries`.
const view = (n, entries, more) => {
  const seq = entries.at(-1)?.seq ?? 0;
  const about = { title: "T", role: "member", multitask_strategy: "enqueue", card: { history: seq, last_activity: "t" }, reads: {} };
  const page = { verdict: "snapshot", after: (entries[0]?.seq ?? 1) - 1, position: { epoch: "e1", seq }, head: seq, more: false, entries };
  return { conversation_id: "c", n, ...about, ...page, runs: [], interrupts: [], ...more };
};

const nobody = await clientOf({ ready: null });

function conversation(entries = [], seq = entries.length) {
  nobody.conversations.clear();
  const c = nobody.following.add("c");
  c.wanted = true;
  c.startOver("e1");
  Object.assign(c.stream, { position: { epoch: "e1", seq }, syncing: false });
  c.add(entries);
  return c;
}

// A page that follows one conversation; `asked` are its requests, which the test answers.
async function following(id = "c") {
  const asked = [];
  const connection = {
    ready: {},
    insist: (event, payload) => new Promise((answer, fail) => asked.push({ event, payload, answer, fail })),
    request: async () => ({}),
  };
  const { following: page } = await clientOf(connection);
  const c = page.add(id);
  c.stream.position = { epoch: "e1", seq: 0 };
  Object.assign(c, { wanted: true, loaded: true });
  const answer = async (...views) => {
    for (const one of views) {
      while (!asked.length) await new Promise((done) => setTimeout(done, 5));
      asked.shift().answer({ conversations: Object.fromEntries([[id, one]]) });
      await null;
    }
  };
  return { page, c, asked, answer };
}

const seqs = (c) => c.entries.map(({ seq }) => seq);

test("delivered to: devices other than the sending one that have the entry", () => {
  const c = conversation();
  const sent = entry(5, "message", { device_id: "laptop" });
  c.markDelivered("ann", "laptop", 9);
  c.markDelivered("ann", "phone", 5);
  c.markDelivered("bob", "phone", 6);
  c.markDelivered("bob", "tablet", 4);
  assert.equal(deliveredTo(c, sent), 2);
  c.markDelivered("bob", "phone", 3);
  assert.equal(deliveredTo(c, sent), 2, "a mark does not go back");
  c.startOver("e1");
  assert.equal(deliveredTo(c, sent), 2, "a snapshot of the same log has the same marks");
  c.startOver("e2");
  assert.equal(deliveredTo(c, sent), 0, "another log has other marks");
});

test("how far a device is behind is known from its mark, or not at all", () => {
  const c = conversation([], 10);
  c.markDelivered("ann", "phone", 8);
  c.markDelivered("bob", "tablet", 1);
  assert.deepEqual(["phone", "tablet"].map((device) => behindOf(c, device)), [2, null]);
  c.markDelivered("ann", "phone", 11);
  assert.equal(behindOf(c, "phone"), 0);
});

test("a question that was answered here is closed before the log says so", () => {
  const c = conversation();
  c.stream.on("entry:appended", { n: 1, ...entry(1, "interrupt", { run_id: "r", interrupts: [{ interrupt_id: "i" }, { interrupt_id: "j" }] }) });
  assert.deepEqual(c.asked, ["i", "j"]);
  c.resolved.set("i", { value: "yes", by: {} });
  c.stream.on("answer", view(2, [], { verdict: "resumed", after: 1, position: { epoch: "e1", seq: 1 }, interrupts: [{ interrupt_id: "i" }, { interrupt_id: "j" }] }));
  assert.deepEqual(c.asked, ["j"]);
});

test("what is current is what the server says: pages name what hides an entry, live entries what they hide", () => {
  const c = conversation([{ ...entry(1), hidden_by: 3 }, entry(2, "answer", { run_id: "r" }), entry(3)]);
  c.stream.onPage(c.entries);
  const current = () => c.entries.filter(c.isCurrent).map(({ seq }) => seq);
  assert.deepEqual(current(), [2, 3]);
  c.add(c.stream.on("entry:appended", { n: 1, ...entry(4, "stopped", { run_id: "s" }), hides: [2, 4] }).entries);
  assert.deepEqual(current(), [3]);
  assert.deepEqual(seqs(c), [1, 2, 3, 4], "they stay in the log");
});

test("a tool's call and its result are one step, with the name and arguments of the call", () => {
  const c = conversation();
  c.stream.on("run:changed", { n: 1, run: run("r") });
  const report = (number, report) => c.stream.on("run:written", { n: number + 1, run_id: "r", version: 1, parts: [], reports: [{ number, ...report }] });
  report(1, { kind: "tool", tool: { id: "t1", name: "find", args: { people: 6 }, status: "called" } });
  report(2, { kind: "tool", tool: { id: "t1", status: "done", result: "5 rooms" } });
  report(3, { kind: "tool", tool: { id: "t2", name: "book", args: {}, status: "called" } });
  report(4, { kind: "node", path: ["guide", "ask"], data: {} });
  assert.deepEqual(stepsOf(c.stream.current).map(({ kind, node, tool }) => [kind, node ?? tool]), [
    ["tool", { id: "t1", name: "find", args: { people: 6 }, status: "done", result: "5 rooms" }],
    ["tool", { id: "t2", name: "book", args: {}, status: "called" }],
    ["node", "guide/ask"],
  ]);
});

test("of many reports the last hundred are kept", () => {
  const c = conversation();
  c.stream.on("run:changed", { n: 1, run: run("r") });
  for (let number = 1; number <= 250; number++) {
    c.stream.on("run:written", { n: number + 1, run_id: "r", version: 1, parts: [], reports: [{ number, kind: "custom", data: number }] });
  }
  const numbers = stepsOf(c.stream.current).map((update) => update.number);
  assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [100, 151, 250]);
});

test("a page of a catch-up that has more is followed by the next, from the position that was reached", async () => {
  const { page, c, asked, answer } = await following();
  const done = page.sync([c]);
  page.onEvent("entry:appended", { conversation_id: "c", n: 9, ...entry(4) });
  assert.deepEqual(asked[0].payload.positions, { c: { epoch: "e1", seq: 0 } });
  const resumed = (n, entries, head) => view(n, entries, { verdict: "resumed", head, more: entries.at(-1).seq < head });
  await answer(resumed(7, [entry(1), entry(2)], 3));
  while (!asked.length) await null;
  assert.deepEqual(asked[0].payload.positions, { c: { epoch: "e1", seq: 2 } });
  assert.equal(c.stream.syncing, true);
  await answer(resumed(8, [entry(3)], 3));
  await done;
  assert.deepEqual(seqs(c), [1, 2, 3, 4]);
  assert.deepEqual([c.stream.n, c.stream.syncing], [9, false]);
});

test("a view that begins beyond what the page has is not taken, though it is empty", () => {
  const c = conversation([entry(1)]);
  const beyond = view(5, [], { verdict: "resumed", after: 3, position: { epoch: "e1", seq: 3 }, head: 3 });
  assert.equal(c.stream.on("conversation:synced", beyond).sync, true);
  assert.deepEqual([c.head, c.stream.syncing], [1, true]);
});

test("after a gap the page asks once, and shows every entry once and in order", async () => {
  const { page, c, asked, answer } = await following();
  const first = page.sync([c]);
  await answer(view(1, [entry(1)]));
  await first;
  for (const [n, seq] of [[3, 3], [4, 4]]) page.onEvent("entry:appended", { conversation_id: "c", n, ...entry(seq) });
  await answer(view(3, [entry(2), entry(3)], { verdict: "resumed" }));
  while (c.stream.syncing) await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual([seqs(c), asked.length], [[1, 2, 3, 4], 0]);
});

test("ids that name an object's own properties are plain keys", async () => {
  const names = ["constructor", "toString", "hasOwnProperty", "__proto__"];
  for (const id of names) {
    const { page, c, asked, answer } = await following(id);
    const done = page.sync([c]);
    assert.deepEqual(Object.keys(asked[0].payload.positions), [id]);
    const reads = JSON.parse(`{"${id}": 1}`);
    await answer(view(2, [entry(1)], { reads, runs: [run(id)], interrupts: [{ interrupt_id: id }] }));
    await done;
    page.onEvent("run:written", { conversation_id: id, n: 3, run_id: id, version: 1, parts: [{ part: 0, kind: "text", speaker: "A", text: "so " }], reports: [] });
    page.onEvent("marks:moved", { conversation_id: id, user_id: id, read: 2 });
    assert.equal(c.stream.runs.get(id).parts[0].text, "so ");
    assert.deepEqual([c.asked, [...c.reads]], [[id], [["ann", 0], [id, 2]]]);
  }
  const { page, c, asked } = await following("constructor");
  const done = page.sync([c]);
  asked.shift().answer({ conversations: {} });
  await done;
  assert.equal(c.stream.syncing, true, "an answer that does not name it has nothing for it");
});

test("a live entry costs the same whether ten entries are loaded or a hundred thousand", () => {
  const cost = (loaded) => {
    const c = conversation(Array.from({ length: loaded }, (_, index) => entry(index + 1)));
    const began = performance.now();
    for (let n = 1; n <= 20_000; n++) c.add(c.stream.on("entry:appended", { n, ...entry(loaded + n) }).entries);
    assert.equal(c.entries.length, loaded + 20_000);
    return performance.now() - began;
  };
  cost(10);
  const [few, many] = [cost(10), cost(100_000)];
  assert.ok(many < 20 * few + 50, `${few} ms with few entries, ${many} ms with many`);
});

test("nothing of a deleted message is kept, whether it was loaded before or comes in an older page", () => {
  const c = conversation([entry(1, "message", { text: "one" }), entry(2, "answer", { text: "two", parts: [{}], run_id: "r" })]);
  c.add([entry(3, "message_deleted", { deletes: [2] })]);
  assert.deepEqual(c.entries[1].data, { user_id: "ann", name: undefined, run_id: "r", request_id: undefined, text: "", deleted: true });
  assert.deepEqual([c.last.seq, c.last.text], [2, ""]);
  assert.equal(c.isCurrent(c.entries[2]), false);
  c.add([entry(4, "message_deleted", { deletes: [1, 99] })]);
  assert.equal(c.entries[0].data.text, "");
});

test("an agent that has not written yet is called as the server will call it", () => {
  const named = (id) => nobody.nameOf(id);
  assert.deepEqual(
    ["agent:support_agent", "agent:GPT-4o.mini", "agent:--", "ann"].map(named),
    ["Support Agent", "Gpt 4O Mini", "--", "ann"],
  );
});

for (const [name, load, shown] of [
  ["before", (c) => c.loadBefore(), (c) => c.entries],
  ["around", (c) => c.loadAt({ seq: 2 }), (c) => c.aside ?? c.entries],
]) {
  test(`what was deleted while a page was on its way does not come back with the page ${name}`, async () => {
    const { page, c, asked } = await following();
    Object.assign(c.stream, { position: { epoch: "e1", seq: 60 }, syncing: false });
    c.entries = [entry(60)];
    const ask = page.connection.ask ?? ((_, event, fields) => page.connection.insist(event, fields));
    page.connection.ask = ask;
    const done = load(c);
    while (!asked.length) await new Promise((now) => setTimeout(now));
    page.onEvent("entry:appended", { conversation_id: "c", n: 1, ...entry(61, "message_deleted", { deletes: [2] }) });
    asked.shift().answer({ epoch: "e1", first: 1, entries: [entry(1, "message", { text: "a" }), entry(2, "message", { text: "b" })] });
    await done;
    assert.deepEqual(shown(c).slice(0, 2).map(({ data }) => [data.text, data.deleted]), [["a", undefined], ["", true]]);
  });
}

test("an edit keeps what the message replies to and its files, unless told otherwise", () => {
  const files = [{ file_id: "f1", name: "a.png" }, { file_id: "f2", name: "b.png" }];
  const c = conversation([entry(1, "message", { text: "one", reply_to: 7, files })]);
  const requested = (...given) => {
    c.edit(...given);
    const { edits, text, more } = nobody.outbox.items.at(-1);
    return [edits, text, more];
  };
  assert.deepEqual(requested(1, "two"), [1, "two", { reply_to: 7, files: ["f1", "f2"] }]);
  assert.deepEqual(requested(1, "two", { files: ["f2"] }), [1, "two", { reply_to: 7, files: ["f2"] }]);
  assert.deepEqual(requested(1, "two", { replyTo: 0, files: [] }), [1, "two", {}]);
  assert.throws(() => c.edit(99, "what was it?"), { code: "not_found" });
  assert.deepEqual(requested(99, "known", { replyTo: 1, files: ["f3"] }), [99, "known", { reply_to: 1, files: ["f3"] }]);
});

test("a refusal that will not pass is shown, and a place that becomes free is taken", async () => {
  const { page, c, asked } = await following();
  const other = page.add("other");
  Object.assign(other, { role: "member" });
  Object.assign(c, { role: "member", loaded: false });
  const refused = { error: { code: "too_many_conversations", message: "too many", retryable: false } };
  const opened = c.open();
  asked.shift().answer({ conversations: { c: refused } });
  await assert.rejects(opened, { code: "too_many_conversations" });
  assert.equal(c.error.code, "too_many_conversations");
  assert.equal(page.working, false, "nothing is waited for");
  const { remove } = await parts.list.load();
  remove(page, other);
  while (!asked.length) await new Promise((now) => setTimeout(now));
  assert.deepEqual(asked[0].payload.positions, { c: null });
  asked.shift().answer({ conversations: { c: view(1, [entry(1)]) } });
  while (!c.loaded) await new Promise((now) => setTimeout(now));
  assert.deepEqual([c.error, c.stream.syncing], [null, false]);
});

test("members who come and go together are asked for once", async () => {
  const { page, c, asked } = await following();
  Object.assign(c.stream, { position: { epoch: "e1", seq: 0 }, syncing: false });
  c.members = [];
  await parts.actions.load(); // which has read them
  page.connection.ask = (_, event, fields) => page.connection.insist(event, fields);
  for (let n = 1; n <= 50; n++) page.onEvent("entry:appended", { conversation_id: "c", n, ...entry(n, n % 2 ? "member_joined" : "member_left") });
  while (!asked.length) await new Promise((now) => setTimeout(now));
  assert.deepEqual(asked.map(({ event }) => event), ["members:list"]);
  asked.shift().answer({ members: [{ user_id: "ann", role: "owner", online: true }] });
  while (!c.members.length) await new Promise((now) => setTimeout(now));
  const before = c.members;
  page.setOnline({ user_id: "ann", online: true });
  assert.equal(c.members, before);
  page.setOnline({ user_id: "ann", online: false });
  assert.deepEqual([before[0].online, c.members[0].online], [true, false]);
  assert.equal(asked.length, 0);
});

test("one that was closed keeps no entries, also when a view was on its way, and opens again", async () => {
  const { page, c, asked } = await following();
  Object.assign(c, { role: "member", loaded: false });
  const opened = c.open();
  c.close();
  asked.shift().answer({ conversations: { c: view(1, [entry(1), entry(2)]) } });
  await opened;
  assert.deepEqual([c.entries, c.loaded, c.head], [[], false, 2]);
  page.onEvent("entry:appended", { conversation_id: "c", n: 2, ...entry(3) });
  assert.deepEqual([c.entries, c.head, c.last.seq], [[], 3, 3]);
  const again = c.open();
  assert.deepEqual(asked[0].payload.positions, { c: null });
  asked.shift().answer({ conversations: { c: view(2, [entry(1), entry(2), entry(3)]) } });
  await again;
  assert.deepEqual([seqs(c), c.closed], [[1, 2, 3], false]);
});

test("a session follows what is open, then what is active, as far as it may", async () => {
  const { toFollow } = await parts.list.load();
  const { page, c } = await following("open");
  page.client.limits = { followed_conversations: 10 };
  for (let n = 0; n < 20; n++) Object.assign(page.add(`c${n}`), { lastActivity: `t${String(n).padStart(2, "0")}` });
  c.lastActivity = "t";
  const ids = () => toFollow(page, [...page.conversations.values()]).map(({ id }) => id);
  assert.deepEqual(ids(), ["open", "c19", "c18", "c17", "c16", "c15", "c14", "c13", "c12"]);
  for (const id of ["open", "c19"]) page.conversations.get(id).followedIn = 0; // this connection's number
  assert.deepEqual(ids(), ["c18", "c17", "c16", "c15", "c14", "c13", "c12"]);
  page.client.limits = { followed_conversations: null };
  assert.equal(ids().length, 19);
});
