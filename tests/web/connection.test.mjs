// Where the page connects to, when, and what becomes of requests whose connection is lost.

import { happen, sockets } from "./browser.mjs";
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

const { Connection } = await import("../../web/sdk/src/connection.js");
const { change } = await import("../../web/sdk/src/change.js");
const { Route } = await import("../../web/sdk/src/retry.js");
const { io } = await import("../../web/vendor/socket.io.esm.min.js"); // the one that a test plays
const { Client } = await import("../../web/sdk/src/client.js");

const A = "http://127.0.0.1:9000";
const B = "http://127.0.0.1:9001";
const C = "http://127.0.0.1:9002";

const most = () => 0.999;
const tries = (route, count, ...how) => Array.from({ length: count }, () => [route.next(0, ...how), route.url]);

test("a lost connection is tried at the same node once, then at each of the others, with short pauses", () => {
  const route = new Route([A], most);
  route.learn([A, B, C]);
  const [first, ...others] = [[route.next(5000), route.url], ...tries(route, 2)];
  assert.deepEqual([first, ...others].map(([, url]) => url), [A, B, C]);
  assert.ok([first, ...others].every(([pause]) => pause < 250));
});

test("a node that is known to be gone is not tried before the others", () => {
  const route = new Route([A], most);
  route.learn([A, B, C]);
  route.next(5000, true);
  assert.equal(route.url, B);
  assert.deepEqual(tries(route, 2).map(([, url]) => url), [C, A]);
});

test("pauses grow with each round up to a limit, and never to nothing", () => {
  for (const [random, part] of [[() => 1, 1], [() => 0, 0.5]]) {
    const route = new Route([A, B], random);
    const pauses = tries(route, 18).map(([pause]) => pause);
    assert.deepEqual(pauses.slice(2, 14), [500, 500, 1000, 1000, 2000, 2000, 4000, 4000, 8000, 8000, 8000, 8000].map((ms) => ms * part));
  }
});

test("pages that lose the same node at the same moment do not come back at the same moment", () => {
  const pauses = Array.from({ length: 50 }, () => new Route([A]).next(9000));
  assert.ok(new Set(pauses).size > 40);
});

test("a session that ends at once is not a success: the pauses keep growing", () => {
  const route = new Route([A], most);
  for (let round = 0; round < 5; round++) route.next(100);
  assert.ok(route.next(100) > 4000);
  assert.ok(route.next(60_000) < 250);
});

test("a server that names no nodes, or not the page's own address, takes nothing away", () => {
  const route = new Route(["http://localhost:9000"], most);
  route.learn([]);
  route.next(5000);
  assert.equal(route.url, "http://localhost:9000");
  route.learn([A, B]);
  assert.equal(route.url, "http://localhost:9000");
  assert.deepEqual(tries(route, 3).map(([, url]) => url), [A, B, "http://localhost:9000"]);
});

// The connection itself, with a client whose server the test plays.

let events;
const latest = () => sockets.at(-1);

function connect(nodes = [A]) {
  events = [];
  const heard = (kind) => (...about) => events.push([kind, ...about]);
  const handlers = { ready: heard("ready"), event: heard("event"), refused: heard("refused"), failed: heard("failed"), changed() {} };
  const connection = new Connection({ io, urls: nodes, auth: async () => ({ token: "t" }) }, handlers);
  connection.reconnect();
  return connection;
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  sockets.length = 0;
  navigator.onLine = true;
});

test("a node that sends its sessions away is left for another one within a second", () => {
  const connection = connect();
  latest().hear("session:opened", { nodes: [A, B] });
  latest().hear("session:ended", { reason: "node_stopping", reconnect: true, after_ms: 200, nodes: [A, B] });
  assert.equal(connection.ready, null);
  assert.ok(connection.retryAt >= Date.now() + 200 && connection.retryAt <= Date.now() + 250, "not before the node has said");
  mock.timers.tick(250);
  assert.equal(latest().url, B);
  assert.equal(connection.retryAt, 0);
  assert.equal(sockets[0].connected, false);
});

test("events of a connection that was left are ignored", () => {
  connect();
  latest().hear("session:opened", { nodes: [A, B] });
  latest().hear("session:ended", { reason: "cut_off", reconnect: true, after_ms: 0, nodes: [A, B] });
  events = [];
  sockets[0].hear("entry:appended", {});
  sockets[0].lose("transport close");
  mock.timers.tick(250);
  assert.deepEqual(events, []);
  assert.equal(sockets.length, 2);
});

test("a connect without an answer is given up for the next node", () => {
  connect([A, B]);
  mock.timers.tick(6000);
  mock.timers.tick(250);
  mock.timers.tick(6000);
  mock.timers.tick(250);
  assert.deepEqual(sockets.map((socket) => socket.url), [A, A, B]);
});

test("a request without an answer means that the connection is dead: another node is tried", async () => {
  const connection = connect();
  latest().hear("session:opened", { nodes: [A, B] });
  const refused = assert.rejects(connection.request("message:send", {}), { code: "offline", retryable: true });
  mock.timers.tick(8000);
  await refused;
  mock.timers.tick(250);
  assert.equal(latest().url, B);
});

test("requests whose connection is lost are rejected at once, as repeatable", async () => {
  const connection = connect();
  latest().hear("session:opened", {});
  const refused = assert.rejects(connection.insist("marks:set", {}), { code: "offline", retryable: true });
  sockets[0].lose("transport close");
  await refused;
  await assert.rejects(connection.request("marks:set", {}), { code: "offline" });
});

test("insisting repeats what the server could not do, and reports what it refused", async () => {
  const connection = connect();
  latest().hear("session:opened", {});
  const { said } = latest();
  const asked = connection.insist("run:stop", { n: 1 });
  said[0][2]({ ok: false, error: { code: "unavailable", message: "", retryable: true } });
  for (let turn = 0; turn < 10; turn++) await null;
  mock.timers.tick(500);
  for (let turn = 0; turn < 10; turn++) await null;
  assert.deepEqual(said[1].slice(0, 2), ["run:stop", { n: 1 }]);
  said[1][2]({ ok: false, error: { code: "not_a_member", message: "no", retryable: false } });
  await assert.rejects(asked, { code: "not_a_member", message: "no", retryable: false });
});

test("a change is repeated with its request_id, also on the next connection, until it is answered", async () => {
  const connection = connect();
  latest().hear("session:opened", {});
  const asked = change(connection, "run:stop", { n: 1 });
  const [[, first]] = latest().said;
  latest().lose("transport close");
  for (let turn = 0; turn < 30; turn++) await null;
  mock.timers.tick(250);
  latest().hear("session:opened", {});
  mock.timers.tick(500);
  for (let turn = 0; turn < 30; turn++) await null;
  const [[event, again, answer]] = latest().said;
  assert.equal(event, "run:stop");
  assert.deepEqual(again, first);
  assert.match(again.request_id, /^[\d-]+$/);
  answer({ ok: true, stopped: [] });
  assert.deepEqual((await asked).stopped, []);
});

test("a change that is refused is not repeated", async () => {
  const connection = connect();
  latest().hear("session:opened", {});
  const asked = change(connection, "run:stop", {});
  latest().said[0][2]({ ok: false, error: { code: "not_a_member", message: "no", retryable: false } });
  await assert.rejects(asked, { code: "not_a_member" });
});

for (const code of ["token_expired", "token_revoked", "token_invalid", "invalid_payload"]) {
  test(`${code} is final: the page does not connect again`, () => {
    connect();
    latest().refuse({ code });
    mock.timers.tick(60_000);
    assert.deepEqual(events, [["refused", { code }]]);
    assert.equal(sockets.length, 1);
  });
}

test("an unavailable server and a broken network are tried again, and from the second failure on the reason is looked for", () => {
  connect();
  latest().refuse({ code: "unavailable" });
  mock.timers.tick(250);
  assert.deepEqual(events, []);
  latest().refuse(undefined);
  mock.timers.tick(8000);
  assert.equal(sockets.length, 3);
  assert.deepEqual(events, [["failed"]]);
  latest().hear("session:opened", {});
  latest().lose("transport close");
  mock.timers.tick(250);
  latest().refuse(undefined);
  assert.deepEqual(events.slice(1).map(([kind]) => kind), ["ready"], "a session in between starts the count again");
});

// A client that is connected to a server that the test plays.
function device() {
  const client = new Client({ io, url: A, token: "t", store: { step: async () => {}, draft: () => null } }).connect();
  return client.connection;
}

test("when the network is back a waiting page connects at once", () => {
  device();
  for (let round = 0; round < 6; round++) {
    latest().refuse();
    mock.timers.tick(8000);
  }
  latest().refuse();
  const before = sockets.length;
  navigator.onLine = false;
  happen("offline");
  assert.equal(sockets.length, before);
  navigator.onLine = true;
  happen("online");
  assert.equal(sockets.length, before + 1);
});

test("when the network may be gone the connection is probed, and kept if it answers", async () => {
  const connection = device();
  latest().hear("session:opened", { nodes: [A, B], user_id: "ann", name: "Ann", devices: [] });
  happen("offline");
  const [event, payload, answer] = latest().said.at(-1);
  assert.deepEqual([event, payload], ["session:sync", { positions: {} }]);
  answer({ ok: true, conversations: {} });
  mock.timers.tick(7000);
  assert.ok(connection.ready);
  happen("online");
  mock.timers.tick(8000);
  for (let turn = 0; turn < 10; turn++) await null;
  assert.equal(connection.ready, null);
});
