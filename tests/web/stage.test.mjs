// The stage's logic: what is counted, what is drawn for an event, and how one goes through the parts.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { Figures } = await import("../../web/js/stage/figures.js");
const { DrawingState } = await import("../../web/js/stage/drawing_state.js");
const { lacking, verdict } = await import("../../web/js/stage/requirements.js");
const { Playback } = await import("../../web/js/stage/playback.js");

const DEVICES = ["laptop", "phone", "terminal"];

function counted() {
  const figures = new Figures(DEVICES);
  const say = (device, roomgraph, facts) => figures.onReport(device, { roomgraph, ...facts });
  return {
    figures,
    send: (device, request_id, at) => say(device, "sent", { request_id, at }),
    ack: (device, request_id, seq) => say(device, "acked", { request_id, seq }),
    show: (device, seq, request_id, at) => say(device, "entry", { seq, request_id, type: "message", at }),
  };
}

// Two messages, from the laptop and from the phone, that everyone shows in the same order.
function well() {
  const all = counted();
  all.send("laptop", "a", 100);
  all.send("phone", "b", 101);
  all.ack("laptop", "a", 1);
  all.ack("phone", "b", 2);
  for (const device of DEVICES) {
    all.show(device, 1, "a", 110);
    all.show(device, 2, "b", 131);
  }
  return all;
}

test("what was sent and what the others were shown is counted, with how long it took", () => {
  const { figures } = well();
  const { p50, p99, ...counts } = figures.summary(0, true);
  assert.deepEqual(counts, { sent: 2, acked: 2, expected: 4, received: 4, lost: 0, duplicated: 0, disordered: 0 });
  assert.deepEqual([p50, p99], [10, 30]);
  assert.equal(figures.inOneOrder(0), 3);
  assert.equal(figures.latency(0, (from, to) => to === "laptop").p50, 30);
});

test("only what was sent since then counts", () => {
  const { figures } = well();
  assert.equal(figures.summary(101).sent, 1);
  assert.equal(figures.summary(200).sent, 0);
  assert.equal(figures.summary(200).p50, null);
});

test("a message that a device passes over is lost there; one that is on its way is not, until all should be there", () => {
  const all = counted();
  all.send("laptop", "a", 100);
  all.send("laptop", "b", 101);
  all.ack("laptop", "a", 5);
  all.ack("laptop", "b", 6);
  all.show("phone", 4, "x", 90);
  all.show("phone", 6, "b", 120);
  all.show("laptop", 5, "a", 120);
  assert.equal(all.figures.summary().lost, 1);
  assert.equal(all.figures.summary(0, true).lost, 4);
});

test("a message without an ack is not lost", () => {
  const all = counted();
  all.send("laptop", "a", 100);
  assert.equal(all.figures.summary(0, true).lost, 0);
});

test("an entry shown twice is a duplicate, and one shown after a later one is out of order", () => {
  const all = well();
  all.show("phone", 2, "b", 140);
  assert.equal(all.figures.summary().duplicated, 1);
  all.show("terminal", 4, "d", 150);
  all.show("terminal", 3, "c", 151);
  assert.equal(all.figures.summary().disordered, 1);
  assert.equal(all.figures.summary(200).duplicated, 0);
});

test("entries shown again after a device starts over are not duplicates", () => {
  const all = well();
  all.figures.forget("phone");
  all.show("phone", 2, "b", 300);
  const { duplicated, received, p99 } = all.figures.summary();
  assert.deepEqual([duplicated, received, p99], [0, 4, 30]);
});

test("two orders are told from one", () => {
  const all = counted();
  all.send("laptop", "a", 100);
  all.send("laptop", "b", 100);
  for (const device of ["laptop", "phone"]) {
    all.show(device, 1, "a", 110);
    all.show(device, 2, "b", 110);
  }
  all.show("terminal", 1, "b", 110);
  all.show("terminal", 2, "a", 110);
  assert.equal(all.figures.inOneOrder(0), 2);
});

const IDS = { l: "laptop", p: "phone", t: "terminal" };
const seen = (kind, facts) => ({ kind, node: "9000", ...facts });

test("a message goes from its device through its node and the log to every node and device", () => {
  const picture = new DrawingState(IDS);
  const hops = [
    seen("received", { device_id: "l" }),
    seen("appended", { seq: 7, device_id: "l" }),
    seen("heard", { seq: 7, type: "message", node: "9001" }),
    seen("delivered", { seq: 7, node: "9001", device_ids: ["p", "t", "someone else's"] }),
  ].flatMap((event) => picture.onTrace(event));
  assert.deepEqual(
    hops.map(({ from, to, leg }) => `${leg} ${from} > ${to}`),
    ["0 laptop > node 9000", "1 node 9000 > log", "2 log > node 9001", "3 node 9001 > phone", "3 node 9001 > terminal"],
  );
  assert.equal(picture.byOf(7), "laptop");
  assert.deepEqual(picture.log, [{ seq: 7, by: "laptop" }]);
});

test("an entry's author is known even if a node receives the entry before the ack", () => {
  const picture = new DrawingState(IDS);
  picture.onTrace(seen("heard", { seq: 7, type: "message" }));
  assert.deepEqual(picture.log, [{ seq: 7, by: "" }]);
  picture.onTrace(seen("appended", { seq: 7, device_id: "p" }));
  assert.deepEqual(picture.log, [{ seq: 7, by: "phone" }]);
});

test("entries that the trace lost while its node was gone are known from the devices", () => {
  const picture = new DrawingState(IDS);
  picture.onReport("laptop", { roomgraph: "sent", request_id: "a" });
  picture.onReport("phone", { roomgraph: "entry", seq: 7, type: "message", request_id: "a" });
  picture.onReport("phone", { roomgraph: "entry", seq: 8, type: "answer" });
  assert.deepEqual(picture.log, [{ seq: 7, by: "laptop" }, { seq: 8, by: "agent" }]);
});

test("the log's end is in its order, and bounded", () => {
  const picture = new DrawingState(IDS);
  for (let seq = 400; seq > 0; seq--) picture.onTrace(seen("heard", { seq, type: "message" }));
  const seqs = picture.log.map((cell) => cell.seq);
  assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
  assert.equal(seqs.at(-1), 400);
  assert.ok(seqs.length < 50);
});

test("beats, hellos and what is unknown move nothing", () => {
  const picture = new DrawingState(IDS);
  for (const kind of ["beat", "hello", "something new"]) assert.deepEqual(picture.onTrace({ kind, node: "9000" }), []);
});

const run = (kind, facts) => ({ kind, run_id: "r", ...facts });

test("a run shows on its node with its checkpoints, and on another one when that takes it over", () => {
  const picture = new DrawingState(IDS);
  picture.onTrace(run("run_started", { node: "9000", attempt: 1, at: 10 }));
  const [hop] = picture.onTrace(run("run_step", { node: "9000", attempt: 1, step: "understand", checkpoint: 1 }));
  assert.deepEqual([hop.from, hop.to], ["node 9000", "saved"]);
  picture.known("9000", false);
  assert.equal(picture.nodes.get("9000").alive, false);

  const [taken] = picture.onTrace(run("run_taken_over", { node: "9002", attempt: 2, at: 20 }));
  assert.deepEqual([taken.from, taken.to], ["saved", "node 9002"]);
  picture.onTrace(run("run_started", { node: "9002", attempt: 2, at: 21 }));
  assert.deepEqual([picture.run.from, picture.run.node, picture.run.at], ["9000", "9002", 20]);
  assert.equal(picture.run.steps.length, 1, "what was saved is kept");

  picture.onTrace(run("run_step", { node: "9000", attempt: 1, step: "speak", checkpoint: 2 }));
  assert.equal(picture.run.steps.length, 1, "a dead attempt changes nothing");
  picture.onTrace(run("run_ended", { node: "9002", attempt: 2, status: "answered" }));
  assert.equal(picture.run.status, "answered");
});

test("a killed node stays dead when its last events come late, until it is up again", () => {
  const picture = new DrawingState(IDS);
  picture.known("9000", true);
  picture.known("9000", false);
  picture.onTrace(seen("heard", { seq: 1, type: "message" }));
  assert.equal(picture.nodes.get("9000").alive, false);
  picture.onTrace(seen("node_up"));
  assert.equal(picture.nodes.get("9000").alive, true);
});

test("a device says where it is connected and how far it has come", () => {
  const picture = new DrawingState(IDS);
  picture.onReport("phone", { roomgraph: "link", link: "online", node: "9001", at: 5 });
  picture.onReport("phone", { roomgraph: "entry", seq: 3 });
  picture.onReport("phone", { roomgraph: "link", link: "reconnecting", node: "", at: 6 });
  assert.deepEqual(picture.device("phone"), { name: "phone", node: "9001", link: "reconnecting", since: 6, seq: 3 });
});

test("parts are played one after the other, with a pause where one is asked for", () => {
  const playback = new Playback(3);
  assert.equal(playback.play(), true);
  assert.equal(playback.pause(), false);
  assert.equal(playback.play(), false, "the part continues, it does not start again");
  assert.equal(playback.ended(playback.turn, "first"), true);
  assert.equal(playback.advance(playback.turn), true);
  assert.deepEqual([playback.part, playback.results], [1, ["first", null, null]]);
  playback.pause();
  playback.ended(playback.turn, "second");
  assert.equal(playback.advance(playback.turn), false, "not while it is paused");
  assert.equal(playback.play(), true);
  assert.equal(playback.part, 2);
});

test("next and a direct choice leave the part being played, and its result is ignored", () => {
  const playback = new Playback(3);
  playback.play();
  const left = playback.turn;
  assert.equal(playback.next(), true);
  assert.equal(playback.ended(left, "too late"), false);
  assert.equal(playback.advance(left), false);
  assert.deepEqual(playback.results, [null, null, null]);
  assert.equal(playback.choose(0), true);
  assert.deepEqual([playback.part, playback.running], [0, true]);
});

test("after the last part nothing is next, and playing again starts with the first", () => {
  const playback = new Playback(2);
  playback.choose(1);
  playback.ended(playback.turn, "held");
  assert.deepEqual([playback.last, playback.playing, playback.next(), playback.advance(playback.turn)], [true, false, false, false]);
  assert.equal(playback.play(), true);
  assert.equal(playback.part, 0);
});

const clusterOf = (total, up) => ({ nodes: Array(total), running: Array(up) });

test("a part is played only where enough nodes are up, and no node of the cluster is dead", () => {
  assert.equal(lacking({ nodes: 3 }, clusterOf(3, 3), 3), null);
  assert.equal(lacking({}, clusterOf(1, 1), 1), null);
  assert.equal(lacking({ nodes: 2 }, null, 2), null);
  assert.deepEqual(lacking({}, clusterOf(3, 2), 3), { held: null, why: "needsNodes", needs: 3, up: 2, repair: true });
  assert.deepEqual(lacking({ nodes: 3 }, clusterOf(1, 1), 1), { held: null, why: "needsNodes1", needs: 3, up: 1, repair: false });
  assert.deepEqual(lacking({ nodes: 2, control: true }, null, 2), { held: null, why: "noControl" });
});

test("a part that was disturbed by hand neither holds nor breaks", () => {
  assert.equal(verdict({ held: true }, true).held, "disturbed");
  assert.equal(verdict({ held: false }, true).held, "disturbed");
  assert.equal(verdict({ held: true }, false).held, true);
  assert.equal(verdict({ held: null }, true).held, null);
});

test("an entry is known once it is in the drawn log, and its author is", () => {
  const picture = new DrawingState(IDS);
  assert.equal(picture.knows(7), false);
  picture.onReport("laptop", { roomgraph: "sent", request_id: "a" });
  picture.onTrace(seen("appended", { seq: 7, device_id: "l" }));
  assert.deepEqual([picture.knows(7), picture.isOf("a", "laptop"), picture.isOf("a", "phone")], [true, true, false]);
});
