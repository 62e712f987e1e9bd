// What the page says when no connection is made: the server's reason when it tells one, otherwise what can be seen.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { diagnose } = await import("../../web/js/refusal.js");

// A server that answers the handshake with this, and `/ready` with that status.
function server(handshake, ready = 200) {
  const asked = [];
  globalThis.fetch = async (path, { method = "GET" } = {}) => {
    asked.push(`${method} ${path}`);
    if (!handshake) throw new TypeError("Failed to fetch");
    return path === "ready" ? new Response("{}", { status: ready }) : new Response(...handshake);
  };
  return asked;
}

test("the code of the server's error is taken, and its message for codes that the page does not know", async () => {
  const error = { code: "host_not_allowed", message: "not under this name", retryable: false };
  server([JSON.stringify({ ok: false, error }), { status: 403 }]);
  assert.deepEqual(await diagnose(), error);
});

test("the handshake is asked for with POST, because a GET to the page's own server has no origin", async () => {
  const error = { code: "origin_not_allowed", message: "pages of this origin may not connect", retryable: false };
  const asked = server([JSON.stringify({ ok: false, error }), { status: 403 }]);
  assert.deepEqual(await diagnose(), error);
  assert.deepEqual(asked, ["POST socket.io/?EIO=4&transport=websocket"]);
});

for (const [ready, code] of [[503, "not_ready"], [200, "no_websocket"]]) {
  test(`a server that refuses nothing and answers /ready with ${ready} is told as ${code}`, async () => {
    const error = { code: "not_supported", message: "a new websocket is to be opened here", retryable: false };
    server([JSON.stringify({ ok: false, error }), { status: 400 }], ready);
    assert.deepEqual(await diagnose(), { code });
  });
}

test("a node that takes no clients tells so itself, and a proxy that finds no node is told as not_ready", async () => {
  const error = { code: "unavailable", message: "go to another one", retryable: true };
  server([JSON.stringify({ ok: false, error }), { status: 503 }]);
  assert.deepEqual(await diagnose(), error);
  server(["<html>502 Bad Gateway</html>", { status: 502 }]);
  assert.deepEqual(await diagnose(), { code: "not_ready" });
});

test("a server without an answer is told as unreachable", async () => {
  server(null);
  assert.deepEqual(await diagnose(), { code: "unreachable" });
});
