// What a program sees that uses the AI SDK's Chat on a conversation. `node ai_sdk.mjs <case> <url> <folder>`; a case
// that has to have something done for it says so in a line, and waits for one. Run by test_javascript_bindings.py.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { createInterface } from "node:readline";
import { Chat } from "@ai-sdk/react";
import { lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { connect } from "roomgraph";
import { RoomgraphTransport, toUIMessages } from "roomgraph/ai-sdk";

const [name, url, folder] = process.argv.slice(2);
async function tokenOf(name) {
  const guest = await fetch(`${url}/api/guest`, { method: "POST", body: JSON.stringify({ name }), headers: { "content-type": "application/json" } });
  return (await guest.json()).token;
}
const token = await tokenOf("Ann");

const device = () => connect({ url, token });
const client = device();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (what) => {
  console.log(what);
  await lines.next();
};

// A way to a node that can be closed: connections are cut, and new ones refused.
async function wayTo(node) {
  const sockets = new Set();
  let open = true;
  const server = createServer((socket) => {
    if (!open) return socket.destroy();
    const { hostname, port } = new URL(node);
    const there = createConnection(Number(port), hostname);
    for (const [from, to] of [[socket, there], [there, socket]]) {
      sockets.add(from);
      from.pipe(to).on("error", () => {});
      from.on("close", () => to.destroy());
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  server.unref();
  const close = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close, open: () => (open = true) };
}

let gates = 0;
function gate() {
  const path = `${folder}/gate-${name}-${gates++}`;
  return { path, open: () => writeFileSync(path, "") };
}

async function chatOn(id, { of = client, ...options } = {}) {
  const transport = new RoomgraphTransport(of);
  return new Chat({ id, transport, messages: await transport.messages(id), ...options });
}

async function until(look) {
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((done) => setTimeout(done, 10))) {
    if (look()) return;
  }
  throw new Error(`never true: ${look}`);
}

await until(() => client.getSnapshot().status === "online");
const create = (graph) => client.create({ title: "Chat", graph });
const textOf = (message) => message.parts.filter(({ type }) => type === "text").map(({ text }) => text).join("|").trim();
const tools = (message) => message.parts.filter(({ type }) => type === "dynamic-tool");
const plain = (value) => JSON.parse(JSON.stringify(value));
const stored = (c) => toUIMessages(c.getSnapshot().entries, c.getSnapshot().resolved);

// The chat has what anybody has who comes later, but for the ids of what was sent here.
function assertKept(chat, id) {
  const later = stored(client.conversation(id));
  assert.deepEqual(later.map((one) => [one.role, textOf(one)]), chat.messages.map((one) => [one.role, textOf(one)]));
  const { metadata: { node, ...metadata }, ...answer } = plain(chat.lastMessage); // no entry names the node
  assert.deepEqual(plain(later.at(-1)), { ...answer, metadata });
}

const cases = {
  async text() {
    const id = await create("teller");
    const chat = await chatOn(id);
    const { path, open } = gate();
    const said = chat.sendMessage({ text: `one two gate:${path} three` });
    await until(() => chat.status === "streaming" && textOf(chat.lastMessage) === "one two");
    open();
    await said;
    assert.equal(chat.status, "ready");
    assert.equal(textOf(chat.lastMessage), "one two  three".replace("  ", " "));
    assert.equal(chat.lastMessage.id, "turn-2");
    assert.equal(chat.lastMessage.metadata.status, "answer");
    assertKept(chat, id);
    await chat.sendMessage({ text: "again" });
    assert.deepEqual(chat.messages.map(({ role }) => role), ["user", "assistant", "user", "assistant"]);
    assert.equal(textOf(chat.lastMessage), "again");
  },

  async attachments() {
    const id = await create("teller");
    const chat = await chatOn(id);
    const filesOf = () => client.conversation(id).getSnapshot().entries.findLast(({ type }) => type === "message").data.files;
    const url = `data:text/plain;base64,${btoa("remember the milk")}`;
    await chat.sendMessage({ text: "see this", files: [{ type: "file", mediaType: "text/plain", filename: "notes.txt", url }] });
    assert.equal(chat.error, undefined);
    assert.deepEqual(filesOf().map(({ name, size }) => [name, size]), [["notes.txt", 17]]);
    const [{ file_id }] = filesOf();
    await chat.sendMessage({ text: "see that", messageId: chat.messages[0].id });
    assert.deepEqual(filesOf().map((file) => file.file_id), [file_id], "an edit keeps them");
    const again = await chatOn(id);
    const [words, file] = again.messages[0].parts;
    assert.deepEqual([words.text, file.filename], ["see that", "notes.txt"]);
    assert.equal(await (await fetch(file.url)).text(), "remember the milk");
    await again.sendMessage({ role: "user", parts: [file, { type: "text", text: "both" }], messageId: again.messages[0].id });
    assert.deepEqual(filesOf().map((file) => file.file_id), [file_id], "and one that is named again is not uploaded again");
  },

  async removed() {
    const bob = connect({ url, token: await tokenOf("Bob") });
    await until(() => bob.getSnapshot().status === "online");
    const id = await bob.create({ title: "Chat", graph: "teller", invite: [client.me] });
    const chat = await chatOn(id);
    const { path, open } = gate();
    const said = chat.sendMessage({ text: `one two gate:${path} three` });
    await until(() => chat.status === "streaming" && textOf(chat.lastMessage) === "one two");
    await bob.conversation(id).removeMember(client.me);
    await said;
    assert.equal(chat.status, "error");
    assert.equal(chat.error.code, "not_a_member");
    open();
    bob.close();
  },

  async silence() {
    const id = await client.create({ title: "Chat", graph: "teller", agent: "off" });
    const chat = await chatOn(id);
    await chat.sendMessage({ text: "nobody answers" });
    assert.equal(chat.status, "ready");
    assert.deepEqual(chat.messages.map(({ role }) => role), ["user"]);
  },

  async tools() {
    const chat = await chatOn(await create("reporter"), { onData: ({ type, data }) => reports.push([type, data]) });
    const reports = [];
    const { path, open } = gate();
    const said = chat.sendMessage({ text: `go gate:${path}` });
    await until(() => chat.status === "streaming" && tools(chat.lastMessage).length === 2);
    const [found, lost] = tools(chat.lastMessage);
    assert.deepEqual([found.toolName, found.input, found.output], ["find", { where: "here", size: 3 }, "found it"]);
    assert.deepEqual([lost.state, lost.errorText], ["output-error", "it is lost"]);
    assert.deepEqual(reports, [["data-report", { progress: 50, text: "halfway" }]]);
    open();
    await said;
    assert.equal(textOf(chat.lastMessage).replace(/ \|/, "|"), "First this.|Then that.");
    assert.deepEqual(tools(chat.lastMessage).map(({ state }) => state), ["output-available", "output-error"]);
  },

  async approval() {
    const id = await create("asker");
    const chat = await chatOn(id, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
    await chat.sendMessage({ text: "ask 2" });
    const [first] = tools(chat.lastMessage);
    assert.equal(first.state, "approval-requested");
    assert.deepEqual([first.toolName, first.input], ["act", { what: "question 1?" }]);
    assert.equal(first.approval.requestReason, "question 1?");
    await chat.addToolApprovalResponse({ id: first.approval.id, approved: true });
    await until(() => chat.status === "ready" && tools(chat.lastMessage).length === 2);
    assert.equal(tools(chat.lastMessage)[0].output, "approve");
    const second = tools(chat.lastMessage)[1];
    assert.equal(second.state, "approval-requested");
    await chat.addToolApprovalResponse({ id: second.approval.id, approved: false, reason: "not today" });
    await until(() => chat.status === "ready" && textOf(chat.lastMessage));
    assert.deepEqual(JSON.parse(textOf(chat.lastMessage)), { to: "ask 2", values: ["approve", "not today"] });
    assert.deepEqual(tools(chat.lastMessage).map(({ state }) => state), ["output-available", "output-denied"]);
    assert.deepEqual(chat.messages.map(({ role }) => role), ["user", "assistant"]);
    assertKept(chat, id);
  },

  async question() {
    const id = await create("asker");
    const chat = await chatOn(id);
    await chat.sendMessage({ text: "ask 1 anything" });
    const [asked] = chat.lastMessage.parts;
    assert.equal(asked.type, "data-question");
    assert.equal(asked.data.form.text, "question 1?");
    await chat.sendMessage(undefined, { body: { answers: { [asked.id]: { any: [1, 2] } } } });
    assert.deepEqual(JSON.parse(textOf(chat.lastMessage)).values, [{ any: [1, 2] }]);
    assert.deepEqual(chat.lastMessage.parts[0].data.answer.value, { any: [1, 2] });
    assertKept(chat, id);
    await chat.sendMessage(undefined, { body: { answers: { nothing: 1 } } });
    assert.equal(chat.status, "error");
    assert.equal(chat.error.code, "unknown_interrupt");
  },

  async stop() {
    const id = await create("teller");
    const chat = await chatOn(id);
    const { path } = gate();
    const said = chat.sendMessage({ text: `one two gate:${path} three` });
    await until(() => chat.status === "streaming" && textOf(chat.lastMessage) === "one two");
    await chat.stop();
    await said;
    assert.equal(chat.status, "ready");
    await until(() => client.conversation(id).getSnapshot().entries.at(-1).type === "stopped");
    assert.equal(textOf(stored(client.conversation(id)).at(-1)), "one two");
  },

  // What is stopped while there is no connection is not sent when there is one again, and the chat does not show it.
  async unsent() {
    const way = await wayTo(url);
    const cut = connect({ url: way.url, token, fixed: true });
    const id = await cut.create({ title: "Chat", graph: "teller" });
    const transport = new RoomgraphTransport(cut);
    const chat = new Chat({ id, transport, messages: await transport.messages(id) });
    const end = transport.keepInStep(chat);
    await chat.sendMessage({ text: "first" });
    way.close();
    await until(() => cut.getSnapshot().status === "reconnecting");
    const said = chat.sendMessage({ text: "not sent" });
    await until(() => cut.conversation(id).getSnapshot().pending.length === 1);
    await chat.stop();
    await said;
    assert.equal(chat.status, "ready");
    assert.deepEqual(cut.conversation(id).getSnapshot().pending, []);
    way.open();
    await cut.ready();
    await chat.sendMessage({ text: "second" });
    await until(() => chat.messages.map(textOf).join() === "first,first,second,second");
    assert.deepEqual(stored(cut.conversation(id)).map(textOf), ["first", "first", "second", "second"]);
    end();
    cut.close();
    way.close();
  },

  async regenerate() {
    const id = await create("teller");
    const chat = await chatOn(id);
    await chat.sendMessage({ text: "say this" });
    await chat.regenerate();
    assert.deepEqual(chat.messages.map(textOf), ["say this", "say this"]);
    assert.equal(chat.error, undefined);
    const answers = client.conversation(id).entries.filter(({ type }) => type === "answer");
    assert.equal(answers.length, 2);
    assert.equal(chat.lastMessage.metadata.seq, answers[1].seq);
    assertKept(chat, id);
    await chat.sendMessage({ text: "say that", messageId: chat.messages[0].id });
    assert.deepEqual(chat.messages.map(textOf), ["say that", "say that"]);
    assert.deepEqual(stored(client.conversation(id)).map(textOf), ["say that", "say that"]);
  },

  async resume() {
    const id = await create("teller");
    const chat = await chatOn(id);
    const { path, open } = gate();
    const said = chat.sendMessage({ text: `one two gate:${path} three` });
    await until(() => chat.status === "streaming" && textOf(chat.lastMessage) === "one two");
    const other = device(); // of the same user
    const again = await chatOn(id, { of: other });
    assert.deepEqual(again.messages.map(({ role }) => role), ["user"]);
    const first = again.resumeStream(); // as a component that is mounted twice does
    const resumed = again.resumeStream();
    await until(() => again.status === "streaming" && textOf(again.lastMessage) === "one two");
    open();
    await Promise.all([said, first, resumed]);
    assert.equal(textOf(again.lastMessage), "one two three");
    assert.deepEqual(again.lastMessage, chat.lastMessage);
    await again.resumeStream();
    assert.equal(again.status, "ready");
    assert.equal(again.messages.length, 2);
    other.close();
  },

  async step() {
    const id = await create("teller");
    const transport = new RoomgraphTransport(client);
    const chat = new Chat({ id, transport });
    const end = transport.keepInStep(chat);
    const other = device();
    const there = await chatOn(id, { of: other });
    const { path, open } = gate();
    const said = there.sendMessage({ text: `one two gate:${path} three` });
    await until(() => chat.status === "streaming" && textOf(chat.lastMessage) === "one two");
    open();
    await said;
    await until(() => chat.status === "ready" && textOf(chat.lastMessage) === "one two three");
    await chat.sendMessage({ text: "and here" });
    await there.sendMessage({ text: "and there" });
    await until(() => chat.status === "ready" && chat.messages.length === 6);
    assert.deepEqual(chat.messages.slice(2).map(textOf), ["and here", "and here", "and there", "and there"]);
    end();
    await there.sendMessage({ text: "alone" });
    assert.equal(chat.messages.length, 6);
    other.close();
  },

  async failure() {
    const chat = await chatOn(await create("teller"));
    await chat.sendMessage({ text: `needs ${folder}/nothing` });
    assert.equal(chat.status, "error");
    assert.match(chat.error.message, /./);
    assert.equal(stored(client.conversation(chat.id)).at(-1).metadata.status, "failed");
    const refused = new Chat({ id: "no-such-conversation", transport: new RoomgraphTransport(client) });
    await refused.sendMessage({ text: "hello?" });
    assert.equal(refused.error.code, "unknown_conversation");
  },

  async takeover() {
    const id = await create("teller");
    const chat = await chatOn(id);
    const { path, open } = gate();
    const said = chat.sendMessage({ text: `one two gate:${path} three` });
    await until(() => chat.status === "streaming" && textOf(chat.lastMessage) === "one two");
    const { attempt, node } = chat.lastMessage.metadata;
    await ask(`kill ${node}`);
    await until(() => chat.lastMessage.metadata.attempt > attempt);
    await until(() => textOf(chat.lastMessage) === "one two");
    open();
    await said;
    assert.equal(chat.status, "ready");
    assert.equal(textOf(chat.lastMessage), "one two three");
    assertKept(chat, id);
  },

  async reasoning() {
    const chat = await chatOn(await create("thinker"));
    const thoughts = ({ parts }) => parts.filter(({ type }) => type === "reasoning").map(({ text, state }) => [text.trim(), state]);
    const script = 'think Look first. + call look_up {"what": "tea"}\nthink Easy. + cite https://example.org Tea is {look_up}.';
    await chat.sendMessage({ text: script });
    assert.deepEqual(thoughts(chat.lastMessage), [["Look first.", "done"], ["Easy.", "done"]]);
    assert.deepEqual(tools(chat.lastMessage).map(({ output }) => output), ["3"]);
    assert.equal(textOf(chat.lastMessage), "Tea is 3.");
    assert.deepEqual(chat.lastMessage.parts.filter(({ type }) => type === "source-url").map(({ url }) => url), ["https://example.org"]);
  },

  async files() {
    const chat = await chatOn(await create("painter"));
    await chat.sendMessage({ text: "paint" });
    const files = chat.lastMessage.parts.filter(({ type }) => type === "file");
    assert.deepEqual(files.map(({ mediaType }) => mediaType), ["image/png", "image/png", "text/csv"]);
    assert.match(files[0].url, /^data:image\/png;base64,/);
    assert.equal(files[1].url, "https://example.org/photo.jpg");
  },

  async review() {
    const id = await create("approvals");
    const chat = await chatOn(id, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
    await chat.sendMessage({ text: 'call send_mail {"to": "bob", "text": "hi"}\nsay It was {send_mail}.' });
    const [mail] = tools(chat.lastMessage);
    assert.deepEqual([mail.toolName, mail.state, mail.input], ["send_mail", "approval-requested", { to: "bob", text: "hi" }]);
    await chat.addToolApprovalResponse({ id: mail.approval.id, approved: true });
    await until(() => chat.status === "ready" && textOf(chat.lastMessage));
    assert.equal(textOf(chat.lastMessage), "It was sent to bob: hi.");
    assert.deepEqual(tools(chat.lastMessage).map(({ output }) => output), ["sent to bob: hi"]);
    assert.equal(tools(chat.lastMessage)[0].approval.approved, true);
    assertKept(chat, id);
  },
};

await cases[name]();
client.close();
process.exit(0);
