// How a guest's token is renewed, at which node, and that nobody becomes another user by it.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { begin, keepGuest, renew } = await import("../../web/js/guest.js");
const { stored } = await import("../../web/js/storage.js");

const token = (claims) => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
const ANN = token({ sub: "ann-1", roomgraph_guest: "" });
const seconds = () => Math.floor(Date.now() / 1000);

// Nodes that answer so: {"<METHOD> <path>": answer}; what is not there fails, as at a dead node.
function answering(answers) {
  const asked = [];
  globalThis.fetch = async (url, { method = "GET", body } = {}) => {
    const { origin, pathname } = new URL(url);
    asked.push([origin, `${method} ${pathname}`, body && JSON.parse(body)]);
    const answer = answers[`${origin} ${method} ${pathname}`] ?? answers[`${method} ${pathname}`];
    if (!answer) throw new TypeError("Failed to fetch");
    return Response.json(answer);
  };
  return asked;
}

test("a guest's token is renewed by itself, at another node when the page's own is gone", async () => {
  Object.assign(stored, { token: ANN, device: "tab-1", known_nodes: ["http://127.0.0.1:9001"] });
  const answer = { user_id: "ann-1", name: "Ann", token: token({ roomgraph_guest: "tab-1" }), expires_in: 60 };
  const asked = answering({ "http://127.0.0.1:9001 POST /api/guest/renew": answer });
  assert.equal(await renew(), answer.token);
  assert.equal(stored.token, answer.token);
  assert.equal(JSON.parse(localStorage.getItem("roomgraph.guest tab-1")).token, answer.token);
  assert.deepEqual(asked.map(([origin]) => origin), ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]);
  assert.deepEqual(asked[1][2], { token: ANN, device_id: "tab-1" });
});

test("after its time the browser's guest continues, if it is the same one", async () => {
  for (const user_id of ["ann-1", "bob-2"]) {
    stored.token = ANN;
    const fresh = { user_id, name: "Ann", token: token({ sub: user_id, roomgraph_guest: "" }), expires_in: 60 };
    const asked = answering({ "GET /api/guest/remembered": { user_id, name: "Ann" } });
    const expired = { error: { code: "token_expired" } };
    const before = globalThis.fetch;
    globalThis.fetch = async (url, options) => {
      if (options.method !== "POST") return before(url, options);
      return Response.json(JSON.parse(options.body).token ? expired : fresh);
    };
    assert.equal(await renew(), user_id === "ann-1" ? fresh.token : ANN);
    assert.equal(asked.length, 1);
  }
});

test("a token of the operator's own issuer is left alone", async () => {
  for (const own of [token({ sub: "ann" }), "opaque"]) {
    stored.token = own;
    const asked = answering({});
    assert.equal(await renew(), own);
    begin();
    assert.deepEqual(asked, []);
  }
  keepGuest({ user_id: "ann", name: "Ann", token: token({ sub: "ann" }), expires_in: 60 });
  assert.equal(stored.token, token({ sub: "ann" }));
  assert.notEqual(JSON.parse(localStorage.getItem("roomgraph.guest tab-1")).user_id, "ann");
});

test("it is renewed when two thirds of its time are over, and again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
  let made = 0;
  const fresh = (ahead) => token({ sub: "ann-1", roomgraph_guest: "", exp: seconds() + ahead, made: (made += 1) });
  stored.token = fresh(60);
  begin();
  for (let times = 1; times <= 2; times++) {
    // It is asked for 40 s from now.
    const answer = { user_id: "ann-1", name: "Ann", token: fresh(100), expires_in: 60 };
    const asked = answering({ "POST /api/guest/renew": answer });
    t.mock.timers.tick(39_000);
    assert.equal(asked.length, 0);
    t.mock.timers.tick(1_500);
    assert.equal(asked.length, 1);
    for (let turns = 0; turns < 20; turns++) await new Promise((done) => setImmediate(done));
    assert.equal(stored.token, answer.token);
  }
});
