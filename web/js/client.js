// This page's client: where it connects, as which device, and what outlives the tab.

import { Client } from "../sdk/src/client.js";
import { io } from "../vendor/socket.io.esm.min.js";
import { lazy } from "./lazy.js";
import { deviceId, deviceName, draft, keepDraft, nodes, stored } from "./storage.js";

let made;
let used; // the token of the last connection

// Made when there is a token; a stage's devices stay behind their proxies.
export function begin() {
  // What is not sent outlives the tab; all tabs share it.
  const step = async (act) => (await lazy.outboxStore.load()).step(act);
  const store = { shared: true, locks: navigator.locks, step, draft, keepDraft };
  made = new Client({
    ...{ io, store, urls: stored.nodes ?? nodes(), fixed: Boolean(stored.nodes) },
    ...{ token, deviceId: deviceId(), deviceName: deviceName() },
  });
  // For a page that is opened when its own node is gone.
  made.on("ready", (opened) => {
    if (opened.nodes?.length && !stored.nodes) stored.known_nodes = opened.nodes;
  });
  return made;
}

// `expired`: the one that was used is; there may be a newer one.
async function token(expired) {
  if (expired && stored.token === used) await (await lazy.guest.load()).renew();
  return (used = stored.token);
}

export const client = () => made;
