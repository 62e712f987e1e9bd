// Why no connection is made: asked over HTTP, since a browser does not tell what answered a websocket's handshake.

const ask = (path, method) => fetch(path, { method, cache: "no-store", signal: AbortSignal.timeout(4000) });

// Resolves with {code, message}: the server's error, or `origin_not_allowed`, `not_ready`, `no_websocket` (something on
// the way refuses it) or `unreachable`.
export async function diagnose() {
  try {
    // A GET to the page's own server would not have its origin.
    const answer = await ask("/socket.io/?EIO=4&transport=websocket", "POST");
    const body = await answer.json().catch(() => "");
    if (body?.error?.code) return body.error;
    if (/not an accepted origin/.test(body)) return { code: "origin_not_allowed" };
    const { status } = await ask("/ready", "GET");
    return { code: status === 503 ? "not_ready" : "no_websocket" };
  } catch {
    return { code: "unreachable" };
  }
}
