// The package's entry: a client of Roomgraph for browsers, workers and Node.

import { io } from "socket.io-client";
import { Client } from "./client.js";
import * as snapshots from "./snapshots.js";
import { memoryStore } from "./stores/memory.js";

export { Client } from "./client.js";
export { Conversation } from "./conversation.js";
export { deliveredTo, readBy } from "./delivery_marks.js";
export { memoryStore } from "./stores/memory.js";
export { textOf } from "./stream.js";

/**
 * Connect a device, and keep it connected: to another node when its own is gone.
 * @param {import("./client.js").Options} options
 * @returns {import("./client.js").Client}
 */
export const connect = (options) => new Client({ io, snapshots, store: memoryStore(), ...options }).connect();
