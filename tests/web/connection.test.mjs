// Where the page connects to, when, and what becomes of requests whose connection is lost.

import { happen, sockets } from "./browser.mjs";
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

const { Connection } = await import("../../web/sdk/src/connection.js");
const { change } = await import("../../web/sdk/src/change.js");
const { Route } = await import("../../web/sdk/src/retry.js");
const { io } = await import("../../web/vendor/socket.io.esm.min.js"); // the one that a test plays
const { Client } = await import("../../web/sdk/src/client.js");
const snapshots = await import("../../web/sdk/src/snapshots.js");

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
const clients = [];
const latest = () => sockets.at(-1);

// `await` for all that is under way.
const turns = async () => {
  for (let turn = 0; turn < 50; turn++) await null;
};
const pass = async (ms) => {
  mock.timers.tick(ms);
  await turns();
};

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
  await turns();
  const [[, first]] = latest().said;
  latest().lose("transport close");
  await turns();
  mock.timers.tick(250);
  latest().hear("session:opened", {});
  mock.timers.tick(500);
  await turns();
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
  await turns();
  latest().said[0][2]({ ok: false, error: { code: "not_a_member", message: "no", retryable: false } });
  await assert.rejects(asked, { code: "not_a_member" });
});

test("a change waits for a connection that is being made, and is sent once", async () => {
  const connection = connect();
  const asked = change(connection, "run:stop", {});
  await pass(5000);
  latest().hear("session:opened", {});
  await pass(100);
  assert.equal(latest().said.length, 1);
  latest().said[0][2]({ ok: true });
  assert.ok(await asked);
});

test("without a connection a change is refused after ten seconds, and at once when the client is closed", async (t) => {
  const connection = connect();
  let now = 0;
  t.mock.method(performance, "now", () => now);
  for (const closed of [false, true]) {
    if (closed) connection.close();
    const refused = assert.rejects(change(connection, "run:stop", {}), { code: "offline", retryable: true });
    for (let ms = 0; ms < (closed ? 0 : 10_100); ms += 50) {
      now += 50;
      await pass(50);
    }
    await refused;
  }
  assert.equal(sockets.every(({ said }) => !said.length), true);
});

test("what is asked for too often is asked again when the server has said", async () => {
  const connection = connect();
  latest().hear("session:opened", {});
  const limited = { ok: false, error: { code: "rate_limited", message: "", retryable: true, retry_after_ms: 7000 } };
  for (const ask of [() => connection.insist("marks:set", {}), () => change(connection, "run:stop", {})]) {
    const asked = ask();
    await turns();
    latest().said.at(-1)[2](limited);
    await turns();
    const before = latest().said.length;
    await pass(6999);
    assert.equal(latest().said.length, before);
    await pass(1500);
    assert.equal(latest().said.length, before + 1);
    latest().said.at(-1)[2]({ ok: true });
    assert.ok(await asked);
  }
});

test("a node that refuses a connection for now is left alone for as long as it has said", () => {
  connect();
  latest().refuse({ code: "rate_limited", retryable: true, retry_after_ms: 9000 });
  mock.timers.tick(8999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(2000);
  assert.equal(sockets.length, 2);
});

for (const code of ["token_expired", "token_revoked", "token_invalid", "invalid_payload", "not_supported"]) {
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
  latest().refuse({ code: "unavailable", retryable: true });
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

afterEach(() => {
  for (const one of clients.splice(0)) one.close();
});

// A client whose token is a function's.
function guest(token) {
  const client = new Client({ io, url: A, token, snapshots, store: { step: async () => {}, draft: () => null } }).connect();
  clients.push(client);
  const ended = [];
  client.on("ended", ({ code }) => ended.push(code));
  return { client, ended };
}

// What the newest socket would send as its handshake, once it is known.
const handshake = () => new Promise((answer) => latest().options.auth(answer));

test("a token that cannot be had is asked for again, with growing pauses, and the reason is shown", async () => {
  let asked = 0;
  const { client, ended } = guest(async () => {
    asked += 1;
    if (asked < 6) throw new TypeError("Failed to fetch");
    return "t";
  });
  let failed = 0;
  client.on("failed", () => (failed += 1));
  const pauses = [];
  for (let round = 0; round < 5; round++) {
    handshake();
    await turns();
    const { error, retryAt, status } = client.getSnapshot();
    assert.deepEqual([error.code, error.message, error.retryable], ["token_unavailable", "Failed to fetch", true]);
    assert.equal(status, "connecting");
    pauses.push(retryAt - Date.now());
    await pass(retryAt - Date.now());
  }
  assert.ok(pauses[0] <= 250 && pauses[4] >= 1000, pauses);
  assert.equal(failed, 4);
  assert.equal((await handshake()).token, "t");
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  assert.equal(client.getSnapshot().error, null);
  assert.deepEqual(ended, []);
});

test("why a node lets nobody in for now is shown, with the time of the next attempt", () => {
  const { client, ended } = guest("t");
  latest().refuse({ code: "rate_limited", message: "too many", retryable: true, retry_after_ms: 9000 });
  const { status, error, retryAt } = client.getSnapshot();
  assert.deepEqual([status, error.code, retryAt >= Date.now() + 9000], ["connecting", "rate_limited", true]);
  assert.deepEqual(ended, []);
});

test("a token that has expired is renewed for as long as that fails; the same one again ends the client", async () => {
  const given = ["old", null, null, "new", "new"];
  const expired = [];
  const { client, ended } = guest(async (renew) => {
    expired.push(renew);
    const token = given.shift();
    if (!token) throw new Error("no network");
    return token;
  });
  assert.equal((await handshake()).token, "old");
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  latest().hear("session:ended", { reason: "token_expired", reconnect: false });
  for (let failed = 0; failed < 2; failed++) {
    await pass(8000);
    handshake();
    await turns();
    assert.equal(client.error.code, "token_unavailable");
    assert.equal(client.ended, false);
  }
  await pass(8000);
  assert.equal((await handshake()).token, "new");
  latest().refuse({ code: "token_expired", retryable: false });
  await pass(8000);
  handshake();
  await turns();
  assert.deepEqual(ended, ["token_expired"]);
  assert.deepEqual(expired, [false, true, true, true, true]);
  await pass(60_000);
  assert.equal(given.length, 0);
});

test("tokens that are refused one after the other are asked for with growing pauses", async () => {
  let made = 0;
  const { client, ended } = guest(() => `token ${(made += 1)}`);
  for (let round = 0; round < 6; round++) {
    await handshake();
    const before = sockets.length;
    latest().refuse({ code: "token_expired", retryable: false });
    if (round === 0) {
      assert.equal(sockets.length, before + 1, "it may have expired long ago: another one is asked for at once");
      continue;
    }
    assert.equal(client.error.code, "token_expired");
    await pass(round < 5 ? 8000 : 0);
  }
  assert.ok(client.connection.retryAt - Date.now() > 2000);
  assert.deepEqual(ended, []);
});

test("a token function that takes longer than an attempt is called once", async () => {
  let asked = 0;
  let give;
  guest(() => {
    asked += 1;
    return new Promise((answer) => (give = answer));
  });
  handshake();
  await pass(6000);
  await pass(250);
  assert.equal(sockets.length, 2);
  const second = handshake();
  give("t");
  assert.equal((await second).token, "t");
  assert.equal(asked, 1);
});

test("a token that stays the same, or does not come from a function, is not tried again after it has expired", async () => {
  const { ended } = guest("t");
  latest().refuse({ code: "token_expired", retryable: false });
  await turns();
  assert.deepEqual(ended, ["token_expired"]);
});

test("an application whose user has signed out gives no token, which ends the client", async () => {
  const { ended } = guest((expired) => (expired ? "" : "t"));
  await handshake();
  latest().refuse({ code: "token_expired", retryable: false });
  handshake();
  await turns();
  assert.deepEqual(ended, ["token_expired"]);
});

test("requests of a client that has ended say why", async () => {
  const { client } = guest("t");
  const waiting = client.create({ title: "Plans" });
  latest().refuse({ code: "token_invalid", message: "no", retryable: false });
  await turns();
  const refused = Promise.all([waiting, client.create(), client.request("device:list")].map((one) => assert.rejects(one, { code: "token_invalid", retryable: false })));
  await pass(100);
  await refused;
  client.connect();
  const now = assert.rejects(client.create(), { code: "offline" });
  client.close();
  await pass(100);
  await now;
});

const client = () => guest("t").client;

test("a client is ready when it is in step, and never once it has ended", async () => {
  const ann = client();
  let ready = false;
  const waiting = ann.ready().then(() => (ready = true));
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  await turns();
  assert.equal(ready, false);
  const [, , answer] = latest().said.find(([event]) => event === "conversation:list");
  answer({ ok: true, complete: true, cursor: "1", next: null, conversations: [], left: [], unavailable: [] });
  await turns();
  await pass(1);
  await waiting;
  await ann.ready();
  ann.close();
  await assert.rejects(ann.ready(), { code: "closed" });
  const bob = client();
  const refused = assert.rejects(bob.ready(), { code: "token_invalid" });
  latest().refuse({ code: "token_invalid", retryable: false });
  await pass(1);
  await refused;
});

test("a conversation is created as soon as there is a connection; two calls make two", async () => {
  const ann = client();
  const made = [ann.create({ title: "Plans" }), ann.create({ title: "Plans" })];
  await pass(200);
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  await pass(100);
  const creates = latest().said.filter(([event]) => event === "conversation:create");
  assert.equal(creates.length, 2);
  assert.notEqual(creates[0][1].request_id, creates[1][1].request_id);
  creates.forEach(([, , answer], n) => answer({ ok: true, conversation_id: `c${n}` }));
  assert.deepEqual(await Promise.all(made), ["c0", "c1"]);
});

test("what may have been created is asked for with the same request_id when it is created again, and only then", async () => {
  const ann = client();
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  const creating = () => latest().said.filter(([event]) => event === "conversation:create");
  const lost = assert.rejects(ann.create({ title: "Plans" }), { code: "offline" });
  await turns();
  const [[, first]] = creating();
  ann.close();
  await pass(1000);
  await lost;
  ann.connect();
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  const made = [ann.create({ title: "Plans" }), ann.create({ title: "Plans" })];
  await turns();
  const [[, again], [, another]] = creating();
  for (const [, , answer] of creating()) answer({ ok: true, conversation_id: "c" });
  await Promise.all(made);
  assert.deepEqual(again, first);
  assert.notEqual(another.request_id, first.request_id);
});

test("what keeps a client from being in step is told, until it is in step", async () => {
  const ann = client();
  latest().hear("session:opened", { user_id: "ann", name: "Ann", devices: [] });
  await turns();
  const list = () => latest().said.filter(([event]) => event === "conversation:list").at(-1);
  list()[2]({ ok: false, error: { code: "not_allowed", message: "no", retryable: false } });
  await turns();
  assert.deepEqual([ann.getSnapshot().status, ann.getSnapshot().error.code], ["catching", "not_allowed"]);
  await pass(1000);
  list()[2]({ ok: true, complete: true, cursor: "1", next: null, conversations: [], left: [], unavailable: [] });
  await turns();
  assert.deepEqual([ann.getSnapshot().status, ann.getSnapshot().error], ["online", null]);
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
