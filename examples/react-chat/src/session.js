// Who is signed in, in all tabs of this browser, and the client of this tab.

import { connect } from "roomgraph";
import { indexedDBStore } from "roomgraph/stores/indexeddb";

const NODE = import.meta.env.VITE_ROOMGRAPH_URL ?? "http://127.0.0.1:9000";
const KEY = "react-chat";

export async function signIn(name) {
  const answer = await fetch(`${NODE}/api/guest`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  }).catch(() => {
    throw new Error(`No node answers at ${NODE}, or this page's origin is not in its ALLOWED_ORIGINS.`);
  });
  const { token, error } = await answer.json();
  if (error) throw new Error(error.message);
  localStorage.setItem(KEY, token);
  return open(token);
}

export function signOut(client) {
  client.close();
  localStorage.removeItem(KEY);
}

// The client of who was signed in before, or null.
export function returning() {
  const token = localStorage.getItem(KEY);
  return token && open(token);
}

// Each tab is a device: what one has not sent when it is closed, another one sends.
function open(token) {
  const deviceId = (sessionStorage[KEY] ??= `tab-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`);
  return connect({ url: NODE, token, deviceId, deviceName: "React chat", store: indexedDBStore() });
}
