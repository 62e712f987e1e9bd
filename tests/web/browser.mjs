// What the page's modules need of a browser, for Node: storage, an address, locks, and a Socket.IO client that a test
// plays the server of.

import { setMaxListeners } from "node:events";
import { register } from "node:module";

const storage = () => {
  const items = new Map();
  return { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, String(value)) };
};

const heard = new EventTarget();

Object.assign(globalThis, {
  sessionStorage: storage(),
  localStorage: storage(),
  location: new URL("http://127.0.0.1:9000/"),
  history: { replaceState() {} },
  addEventListener: heard.addEventListener.bind(heard),
  document: new EventTarget(),
  FakeSockets: [],
});
setMaxListeners(0, heard, document);
// Newer Nodes have a navigator of their own.
Object.defineProperty(globalThis, "navigator", { value: { onLine: true, userAgent: "" }, configurable: true });

export const happen = (name) => heard.dispatchEvent(new Event(name));

// Every io() of the page, newest last: {url, options, said: [[event, payload, answer]], hear(name, payload)}.
export const sockets = globalThis.FakeSockets;

const CLIENT = `
  export function io(url, options) {
    const on = {};
    let any;
    const socket = {
      url, options, said: [], connected: true,
      on(name, act) { on[name] = act; },
      onAny(act) { any = act; },
      hear(name, payload) { any(name, payload); },
      lose(reason) { on.disconnect(reason); },
      refuse(data) { on.connect_error({ data }); },
      disconnect() { socket.connected = false; for (const [, , , fail] of socket.said.splice(0)) fail(new Error("disconnected")); },
      timeout: (ms) => ({
        emitWithAck: (event, payload) => new Promise((answer, fail) => {
          socket.said.push([event, payload, answer, fail]);
          setTimeout(() => fail(new Error("timeout")), ms);
        }),
      }),
    };
    FakeSockets.push(socket);
    return socket;
  }`;

const HOOKS = `export const resolve = (name, context, next) =>
  name.includes("/vendor/socket.io")
    ? { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(CLIENT)}`)}, shortCircuit: true }
    : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);

// All of the SDK is there at once, as in a bundle.
(await import("../../web/sdk/src/all_parts.js")).takeAllParts();

// A client whose connection a test plays: `ann` on `device`, connected when `connection.ready` is set.
export async function clientOf(connection, { user = "ann", device = "d1", ...store } = {}) {
  const { Client } = await import("../../web/sdk/src/client.js");
  const { memoryStore } = await import("../../web/sdk/src/stores/memory.js");
  const client = new Client({ url: "http://127.0.0.1:9000", token: "t", deviceId: device, store: { ...memoryStore(), ...store } });
  return Object.assign(client, { me: user, name: "Ann", connection });
}

// An outbox store that several pages share, as IndexedDB is: each step sees the result of the one before.
export class SharedStore {
  records = new Map();

  shared = true;

  step = async (act) => {
    await null;
    const table = {
      put: (record) => this.records.set(record.request_id, structuredClone(record)),
      delete: (requestId) => this.records.delete(requestId),
    };
    act([...this.records.values()].map((record) => structuredClone(record)), table);
  };
}

// Web Locks: who comes while one is held waits for it, or is given none. `close(name)` ends the page that has it.
export class SharedLocks {
  held = new Map(); // name -> what ends the page that has it
  waiting = [];

  async request(name, options, act = options) {
    while (this.held.has(name)) {
      if (options.ifAvailable) return act(null);
      await new Promise((again) => this.waiting.push(again));
    }
    const closed = new Promise((close) => this.held.set(name, close));
    try {
      return await Promise.race([act({ name }), closed]);
    } finally {
      this.held.delete(name);
      for (const again of this.waiting.splice(0)) again();
    }
  }

  close(name) {
    this.held.get(name)?.();
  }
}
