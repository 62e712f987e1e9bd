// This page's client: where it connects, as which device, and what outlives the tab.

import { Client } from "../sdk/src/client.js";
import { indexedDBStore } from "../sdk/src/stores/indexeddb.js";
import { io } from "../vendor/socket.io.esm.min.js";
import { base, kept } from "./address.js";
import { draft, keepDraft } from "./kept_drafts.js";
import { deviceId, deviceName, stored } from "./storage.js";

let made;

// Made when there is a token; a stage's devices stay behind their proxies.
export function begin() {
  const store = Object.assign(indexedDBStore(kept), { draft, keepDraft });
  made = new Client({
    ...{ io, store, urls: stored.nodes ?? [base], fixed: Boolean(stored.nodes) },
    ...{ token: () => stored.token, deviceId: deviceId(), deviceName: deviceName() },
  });
  return made;
}

export const client = () => made;
