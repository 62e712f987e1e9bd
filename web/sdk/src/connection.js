// The socket: connects, to another node when its own is gone; each request has one answer or one error.

import { Route } from "./retry.js";
import { openSocket } from "./socket.js";
import { wait } from "./wait.js";

const CONNECT_MS = 6000;
const ANSWER_MS = 8000; // a node answers sooner, whatever happens to it
const NO_ENTRY = /^(token_|invalid_payload|not_allowed)/;

// `retryable`: the outcome is unknown or the server is busy. `details`: see docs/protocol.md, by code.
const failure = (error) => Object.assign(new Error(error.message), { retryable: true, details: {}, ...error });

const offline = () => failure({ code: "offline" });

export class Connection {
  ready = null; // session:opened, while the connection lives
  retryAt = 0; // when the next attempt is due, or 0
  #socket;
  #since;
  #timer;

  // options: io, urls, fixed: nodes name no others, auth: resolves with the handshake's
  // handlers: ready(payload), event(name, payload), refused({code, message}): for good, failed(), changed()
  constructor(options, handlers) {
    this.options = options;
    this.handlers = handlers;
    this.route = new Route(options.urls);
  }

  async request(event, payload) {
    const socket = this.#socket;
    if (!this.ready) throw offline();
    const ack = await socket.timeout(ANSWER_MS).emitWithAck(event, payload).catch(() => {
      this.#lost(socket, true);
      throw offline();
    });
    if (!ack?.ok) throw failure(ack?.error ?? { code: "internal" });
    return ack;
  }

  // Repeated while this connection lives, as every request may be.
  async insist(event, payload) {
    const session = this.ready;
    for (let ms = 500; ; ms = Math.min(2 * ms, 4000)) {
      try {
        return await this.request(event, payload);
      } catch (error) {
        if (!error.retryable || !session || this.ready !== session) throw error;
      }
      await wait(ms);
      if (this.ready !== session) throw offline();
    }
  }

  ask(c, event, fields) {
    return this.insist(event, { conversation_id: c.id, ...fields });
  }

  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.ready = this.#socket = null;
    this.retryAt = 0;
    socket?.disconnect();
  }

  reconnect() {
    this.close();
    const { io, fixed } = this.options;
    const auth = (answer) => this.options.auth().then(answer, () => this.#lost(socket));
    const socket = (this.#socket = openSocket(io, this.route.url, { auth, reconnection: false }));
    const learn = ({ nodes }) => fixed || this.route.learn(nodes);
    socket.onAny((name, payload) => {
      if (this.#socket !== socket) return;
      if (name === "session:opened") {
        clearTimeout(this.#timer);
        this.ready = payload;
        this.#since = performance.now();
        learn(payload);
        this.handlers.ready(payload);
      } else if (name === "session:ended" && payload.reconnect) {
        learn(payload);
        this.#lost(socket, true, payload.after_ms);
      } else this.handlers.event(name, payload);
    });
    socket.on("disconnect", () => this.#lost(socket));
    socket.on("connect_error", ({ data }) => {
      if (this.#socket !== socket) return;
      if (NO_ENTRY.test(data?.code)) this.handlers.refused(data);
      else this.#lost(socket);
    });
    this.#timer = setTimeout(() => this.#lost(socket), CONNECT_MS);
    this.handlers.changed();
  }

  // `after`: the node has said for how many ms to stay away.
  #lost(socket, gone, after = 0) {
    if (this.#socket !== socket) return;
    if (!this.ready && this.route.allTried) this.handlers.failed();
    const pause = Math.max(after, this.route.next(this.ready ? performance.now() - this.#since : 0, gone));
    this.close();
    this.retryAt = Date.now() + pause;
    this.#timer = setTimeout(() => this.reconnect(), pause);
    this.handlers.changed();
  }

  // The network may have changed: a hint only, since a node may be on this machine.
  checkNetwork() {
    if (this.ready) this.request("session:sync", { positions: {} }).catch(() => {});
    else if (this.retryAt && globalThis.navigator?.onLine !== false) this.reconnect();
    this.handlers.changed();
  }
}
