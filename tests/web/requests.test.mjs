// Requests about a conversation: shared while they are under way, and rejected when they fail. And modules that come later.

import { clientOf } from "./browser.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { Later } = await import("../../web/sdk/src/later.js");

const failure = (code, retryable) => Object.assign(new Error(code), { code, retryable });
const entry = (seq) => ({ seq, type: "message", data: { user_id: "bob", text: `${seq}` } });

// A conversation of which the newest of twenty entries are loaded, and a server that answers as `act` says.
async function conversation(act) {
  const asked = [];
  const request = async (event, payload) => {
    asked.push([event, payload]);
    return act(event, payload);
  };
  const connection = { ready: {}, request, insist: request, ask: (c, event, fields) => request(event, fields) };
  const client = await clientOf(connection);
  const c = client.following.add("plans");
  Object.assign(c, { role: "member", loaded: true, entries: [entry(19), entry(20)], first: 1 });
  Object.assign(c.stream, { position: { epoch: "e", seq: 20 }, syncing: false });
  return { client, c, asked };
}

test("earlier entries that cannot be had are a rejection, and are asked for again by the next call", async () => {
  let broken = true;
  const { client, c, asked } = await conversation((event, { before }) => {
    if (broken) throw failure("offline", true);
    return { epoch: "e", first: 1, entries: [entry(before - 2), entry(before - 1)] };
  });
  let changes = 0;
  client.changed = () => (changes += 1);
  await assert.rejects(c.loadBefore(), { code: "offline", retryable: true });
  assert.equal(changes, 0, "what draws at each change would ask again at once");
  broken = false;
  await Promise.all([c.loadBefore(), c.loadBefore()]);
  assert.equal(asked.length, 2, "two calls at once are one request");
  assert.deepEqual(c.entries.map(({ seq }) => seq), [17, 18, 19, 20]);
  await c.loadBefore();
  assert.equal(c.entries[0].seq, 15);
});

test("a read mark that is moved while another is on its way is moved too", async () => {
  const { c, asked } = await conversation((event, { marks }) => ({ marks: { plans: { read: marks.plans.read } } }));
  await Promise.all([c.markRead(5), c.markRead(7), c.markRead(6)]);
  assert.deepEqual(asked.map(([, { marks }]) => marks.plans.read), [5, 7]);
  assert.equal(c.read, 7);
});

test("a read mark that cannot be moved is a rejection", async () => {
  const { c } = await conversation(() => {
    throw failure("not_a_member", false);
  });
  await assert.rejects(c.markRead(), { code: "not_a_member" });
});

test("what changes something has a request_id, given or not; what does not has none", async () => {
  const { client, asked } = await conversation(() => ({}));
  const declared = readFileSync(new URL("../../web/sdk/src/protocol.d.ts", import.meta.url), "utf8");
  const [, events] = /interface Requests \{(.*?)\n\}/s.exec(declared);
  for (const [, event, name] of events.matchAll(/"([\w:]+)": (\w+);/g)) {
    const [fields] = declared.split(`export type ${name} = `)[1].split("\n\n");
    await client.request(event, {});
    assert.equal("request_id" in asked.at(-1)[1], /^  request_id: /m.test(fields), event);
  }
  await client.request("reaction:set", { request_id: "mine" });
  assert.equal(asked.at(-1)[1].request_id, "mine");
});

test("a run is stopped by itself or its id", async () => {
  const { c, asked } = await conversation(() => ({ stopped: [] }));
  await c.stop({ run_id: "r1" });
  await c.stop("r2");
  await c.stop();
  assert.deepEqual(asked.map(([, { run_id }]) => run_id), ["r1", "r2"], "none is being written");
});

test("an answer to a question resolves with how it was answered", async () => {
  const first = { seq: 4, value: "no", by: { user_id: "bob" } };
  const { c } = await conversation(() => {
    throw Object.assign(failure("already_resolved", false), { details: first });
  });
  assert.deepEqual(await c.respond("i1", "yes"), { interrupt_id: "i1", outcome: "answered", ...first });
});

test("others are seen typing before this user has typed", async () => {
  const { client, c } = await conversation(() => ({}));
  client.following.onEvent("typing:changed", { conversation_id: "plans", user_id: "bob", typing: true });
  await null;
  assert.deepEqual([...c.typing.keys()], ["bob"]);
  for (const timer of c.typing.values()) clearTimeout(timer);
});

test("a module that cannot be fetched is a rejection for who waits for it, and is fetched by the next call", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const queries = [];
  let broken = true;
  const fetch = async (query) => {
    queries.push(query);
    if (broken) throw new TypeError("Failed to fetch dynamically imported module");
    return { there: true };
  };
  const later = new Later(fetch, () => {});
  await Promise.all([later.now(), later.now()].map((one) => assert.rejects(one, { code: "offline", retryable: true })));
  assert.deepEqual(queries, [""]);
  const background = later.load();
  for (let turn = 0; turn < 10; turn++) await null;
  broken = false;
  assert.equal((await later.now()).there, true);
  assert.deepEqual(queries, ["", "?1", "?2"]);
  t.mock.timers.tick(1000);
  assert.equal(await background, later.loaded);
  assert.equal(queries.length, 3);
});
