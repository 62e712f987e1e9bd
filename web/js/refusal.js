// Why no connection is made, asked over HTTP: a browser does not tell how a websocket's handshake was answered.

// Resolves with {code, message}: the server's error, or what else it is.
export async function diagnose() {
  try {
    // A GET to the page's own server would not tell its origin. Where the page may connect it is not supported.
    const answer = await ask("socket.io/?EIO=4&transport=websocket", "POST");
    const body = await answer.json().catch(() => "");
    const error = body?.error;
    const lost = error?.details?.lost_headers; // by a proxy before the page's own server
    if (lost) return { code: "lost_headers", details: { headers: lost.join(", ") } };
    if (error && error.code !== "not_supported") return error;
    if (!error && answer.status >= 502) return { code: "not_ready" }; // a proxy that has found no node
    return { code: (await ask("ready")).ok ? "no_websocket" : "not_ready" };
  } catch {
    return { code: "unreachable" };
  }
}

const ask = (path, method) => fetch(path, { method, cache: "no-store", signal: AbortSignal.timeout(4000) });
