// Why no connection is made, asked over HTTP: a browser does not tell how a websocket's handshake was answered.

// Resolves with {code, message}: the server's error, or what else it is.
export async function diagnose() {
  try {
    // A GET to the page's own server would not tell its origin.
    const answer = await ask("/socket.io/?EIO=4&transport=websocket", "POST");
    const body = await answer.json().catch(() => "");
    if (body?.error?.code) return body.error;
    if (/not an accepted origin/.test(body)) return { code: "origin_not_allowed" };
    return { code: (await ask("/ready")).ok ? "no_websocket" : "not_ready" };
  } catch {
    return { code: "unreachable" };
  }
}

const ask = (path, method) => fetch(path, { method, cache: "no-store", signal: AbortSignal.timeout(4000) });
