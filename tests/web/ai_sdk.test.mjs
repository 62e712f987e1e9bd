// A run as the AI SDK's stream, however the conversation ends. The real `ai` package: tests/integration/javascript.

import { clientOf } from "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { follow, until } = await import("../../web/sdk/src/ai_sdk/follow.js");
const { sentFiles, toUIMessages } = await import("../../web/sdk/src/ai_sdk/messages.js");
const { remove } = await import("../../web/sdk/src/list.js");

const entry = (seq, type, data = {}, more = {}) => ({ epoch: "e1", seq, type, ts: "t", turn_id: 1, data: { user_id: "ann", ...data }, ...more });
const run = { run_id: "r", turn_id: 1, status: "running", attempt: 1, version: 1, node: "a", replaces: null, parts: [], reports: [] };

// A conversation in which a run is being written; `asked` are requests, which the test answers.
async function writing() {
  const asked = [];
  const ask = (_, event, fields) => new Promise((answer, fail) => asked.push({ event, fields, answer, fail }));
  const client = await clientOf({ ready: {}, ask, request: async () => ({}), insist: () => new Promise(() => {}) });
  const c = client.following.add("c");
  Object.assign(c, { role: "member", wanted: true });
  c.startOver("e1");
  Object.assign(c.stream, { position: { epoch: "e1", seq: 0 }, syncing: false });
  let n = 0;
  const hear = (event, payload) => {
    client.following.onEvent(event, { conversation_id: "c", n: ++n, ...payload });
    client.changed(c);
  };
  hear("entry:appended", entry(1, "message", { text: "?" }));
  hear("run:changed", { run });
  return { client, c, hear, asked };
}

const told = () => new Promise((done) => setTimeout(done));

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("a conversation that the user is removed from ends the stream, and what waits, with an error", async () => {
  const { client, c } = await writing();
  const reading = readAll(follow(c, 1, "r", () => {}));
  const waiting = until(c, () => false);
  remove(client.following, c);
  await assert.rejects(reading, { code: "not_a_member" });
  await assert.rejects(waiting, { code: "not_a_member" });
});

test("one that is closed does, too", async () => {
  const { c } = await writing();
  const reading = readAll(follow(c, 1, "r", () => {}));
  c.close();
  await assert.rejects(reading, { code: "closed" });
});

test("a stream that was cancelled while a long answer was read is given nothing more", async () => {
  const { c, hear, asked } = await writing();
  let ends = 0;
  const reader = follow(c, 1, "r", () => ends++).getReader();
  hear("entry:appended", entry(2, "answer", { run_id: "r", text: "{" }, { pages: 1 }));
  await told();
  assert.equal(asked.length, 1);
  await reader.cancel();
  asked[0].answer({ epoch: "e1", text: '{"text": "all", "run_id": "r", "user_id": "agent:a"}' });
  await told(); // an error would be unhandled, and fail the test
  assert.equal(ends, 1);
});

test("what changes while a long answer is read does not end the stream before it", async () => {
  const { client, c, hear, asked } = await writing();
  const reading = readAll(follow(c, 1, "r", () => {}));
  await told();
  hear("entry:appended", entry(2, "answer", { run_id: "r", text: "{" }, { pages: 1 }));
  await told();
  client.changed(c);
  await told();
  asked[0].answer({ epoch: "e1", text: '{"text": "all of it", "run_id": "r", "user_id": "agent:a"}' });
  const chunks = await reading;
  assert.deepEqual(chunks.filter(({ delta }) => delta).map(({ delta }) => delta), ["all of it"]);
  assert.equal(chunks.at(-1).type, "finish");
});

test("what a run reports together with its end is told", async () => {
  const { c, hear } = await writing();
  const reading = readAll(follow(c, 1, "r", () => {}));
  await told();
  const tool = { id: "t1", name: "find", args: {}, status: "called" };
  hear("run:written", { run_id: "r", version: 1, parts: [], reports: [{ number: 0, kind: "tool", tool }, { number: 1, kind: "custom", data: "half" }] });
  hear("entry:appended", entry(2, "interrupt", { run_id: "r", text: "Well?", interrupts: [] }));
  const chunks = await reading;
  assert.ok(chunks.some(({ type, toolName }) => type === "tool-input-available" && toolName === "find"));
  assert.deepEqual(chunks.filter(({ type }) => type === "data-report").map(({ data }) => data), ["half"]);
});

test("files of a message are uploaded, and those that it had are named again", async () => {
  const uploaded = [];
  const c = {
    upload: async (blob, { name }) => {
      uploaded.push([name, blob.type, await blob.text()]);
      return { file_id: `f${uploaded.length}` };
    },
  };
  const file = { file_id: "old", name: "a.png", mime_type: "image/png", size: 1 };
  const [{ parts: [, shown] }] = toUIMessages([entry(1, "message", { text: "x", files: [file] })], new Map(), new Map([["old", "http://n/f"]]));
  assert.deepEqual([shown.type, shown.url, shown.mediaType, shown.filename], ["file", "http://n/f", "image/png", "a.png"]);
  const [{ parts: [, unread] }] = toUIMessages([entry(1, "message", { text: "x", files: [{ ...file, file_id: "lost" }] })]);
  assert.deepEqual([unread.type, unread.data.file_id], ["data-file", "lost"]);
  const parts = [
    { type: "text", text: "x" },
    shown,
    unread,
    { type: "file", mediaType: "text/plain", filename: "é.txt", url: `data:text/plain;base64,${btoa("hello")}` },
    { type: "file", mediaType: "text/csv", filename: "b.csv", url: "data:text/csv,a%2Cb" },
  ];
  assert.deepEqual((await sentFiles(c, parts)).slice(0, 2), ["old", "lost"]);
  assert.deepEqual(uploaded, [["é.txt", "text/plain", "hello"], ["b.csv", "text/csv", "a,b"]]);
  assert.equal(await sentFiles(c, [parts[0]]), undefined);
});
