// What is known of a conversation: marks, questions, and what a run reports; without growing with the log.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { Answer } = await import("../../web/js/conversation/answer.js");
const { Conversation } = await import("../../web/js/conversation/conversation.js");
const { Delivery } = await import("../../web/js/conversation/delivery.js");
const { behindOf, deliveredTo } = await import("../../web/js/conversation/delivery_marks.js");
const { stepsOf } = await import("../../web/js/view/steps.js");
const { state } = await import("../../web/js/state.js");

const entry = (seq, type = "message", data = {}) => ({ epoch: "e1", seq, type, ts: "t", data: { user_id: "ann", ...data } });

function conversation(entries = [], seq = entries.length) {
  state.me = "ann";
  const c = new Conversation("c", { startOver() {} });
  c.startOver();
  c.delivery = new Delivery({ epoch: "e1", seq });
  c.add(entries);
  return c;
}

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
  c.startOver();
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

test("a question that was resolved stays resolved when a catch-up names it as open", () => {
  const c = conversation([entry(1, "interrupt", { run_id: "r", interrupts: [{ interrupt_id: "i" }, { interrupt_id: "j" }] })]);
  assert.deepEqual([...c.asked], ["i", "j"]);
  c.resolve({ interrupt_id: "i", by: {} });
  c.ask([{ interrupt_id: "i" }, { interrupt_id: "j" }]);
  assert.deepEqual([...c.asked], ["j"]);
});

test("edited and withdrawn turns stay in the log: what is current is for the view to say", () => {
  const c = conversation([entry(1), entry(2, "answer", { run_id: "r", input_seq: 1 }), entry(3, "message", { edits: 1 })]);
  assert.deepEqual(c.entries.map(({ seq }) => seq), [1, 2, 3]);
});

test("a tool's call and its result are one report, with the name and arguments of the call", () => {
  const answer = new Answer();
  const hear = (number, update) => answer.onEvent("run:update", { run_id: "r", attempt: 1, number, ...update });
  hear(2, { kind: "tool", tool: { id: "t1", status: "done", result: "5 rooms" } });
  hear(1, { kind: "tool", tool: { id: "t1", name: "find", args: { people: 6 }, status: "called" } });
  hear(3, { kind: "tool", tool: { id: "t2", name: "book", args: {}, status: "called" } });
  hear(4, { kind: "node", path: ["guide", "ask"], data: {} });
  assert.deepEqual(stepsOf(answer.current).map(({ kind, node, tool }) => [kind, node ?? tool]), [
    ["tool", { id: "t1", name: "find", args: { people: 6 }, status: "done", result: "5 rooms" }],
    ["tool", { id: "t2", name: "book", args: {}, status: "called" }],
    ["node", "guide/ask"],
  ]);
});

test("of many reports the last hundred are kept", () => {
  const answer = new Answer();
  for (let number = 1; number <= 250; number++) {
    answer.onEvent("run:update", { run_id: "r", attempt: 1, number, kind: "custom", data: number });
  }
  const numbers = stepsOf(answer.current).map((update) => update.number);
  assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [100, 151, 250]);
});

test("the text of a finished run stays until its final entry is delivered", () => {
  const answer = new Answer();
  answer.onEvent("run:delta", { run_id: "r", attempt: 1, offset: 0, text: "done" });
  answer.onEvent("run:finished", { run_id: "r", attempt: 1 });
  assert.equal(answer.current.text, "done");
  answer.onFinalEntry("r");
  assert.equal(answer.current, null);
});

test("a live entry costs the same whether ten entries are loaded or a hundred thousand", () => {
  const cost = (loaded) => {
    const c = conversation(Array.from({ length: loaded }, (_, index) => entry(index + 1)));
    const began = performance.now();
    for (let seq = loaded + 1; seq <= loaded + 20_000; seq++) c.add(c.delivery.onEntry("e1", seq, entry(seq)).entries);
    assert.equal(c.entries.length, loaded + 20_000);
    return performance.now() - began;
  };
  cost(10);
  const [few, many] = [cost(10), cost(100_000)];
  assert.ok(many < 20 * few + 50, `${few} ms with few entries, ${many} ms with many`);
});
