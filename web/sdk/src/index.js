// The package's entry: a client of Roomgraph for browsers, workers and Node.

import { io } from "socket.io-client";
import { takeAllParts } from "./all_parts.js";
import { Client } from "./client.js";
import * as snapshots from "./snapshots.js";
import { guarded } from "./stores/guarded.js";
import { indexedDBStore } from "./stores/indexeddb.js";
import { memoryStore } from "./stores/memory.js";

export { Client } from "./client.js";
export { Conversation } from "./conversation.js";
export { deliveredTo, readBy } from "./delivery_marks.js";
export * from "./protocol.js";
export { indexedDBStore } from "./stores/indexeddb.js";
export { memoryStore } from "./stores/memory.js";
export { textOf } from "./stream.js";

/** @typedef {import("./client.js").Options} Options */
/** @typedef {import("./types.js").ClientSnapshot} ClientSnapshot */
/** @typedef {import("./types.js").ConversationSnapshot} ConversationSnapshot */
/** @typedef {import("./types.js").Entry} Entry */
/** @typedef {import("./types.js").Events} Events */
/** @typedef {import("./types.js").Link} Link */
/** @typedef {import("./types.js").Member} Member */
/** @typedef {import("./types.js").OpenQuestion} OpenQuestion */
/** @typedef {import("./types.js").ProtocolError} ProtocolError */
/** @typedef {import("./types.js").Reaction} Reaction */
/** @typedef {import("./types.js").Resolved} Resolved */
/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").StoredMessage} StoredMessage */
/** @typedef {import("./types.js").Summary} Summary */

/**
 * Connect a device, and keep it connected: to another node when its own is gone.
 * @param {Options} options
 * @returns {Client}
 */
export function connect({ store = globalThis.indexedDB ? indexedDBStore() : memoryStore(), ...options }) {
  if (!options.url && !options.urls?.length) throw new TypeError("connect() needs the `url` of a node.");
  takeAllParts();
  const client = new Client({ io, snapshots, ...options, store: guarded(store, (error) => client.emit("store_failed", error)) });
  return client.connect();
}
