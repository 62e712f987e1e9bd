// What this page asks over HTTP: its own node, or another one when that is gone.

import { nodes } from "./storage.js";

const ANSWER_MS = 4000;

// The answer of the first node that has one, `{error}` among them. A cookie goes to every node of its host.
export async function ask(path, body) {
  const options = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  for (const node of nodes()) {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const answer = await fetch(`${node}/${path}`, { ...options, signal, cache: "no-store", credentials: "include" });
      if (answer.status < 500) return await answer.json();
    } catch {
      // It is gone, or lets this page not ask: the next one.
    }
  }
  return { error: { code: "unavailable" } };
}
