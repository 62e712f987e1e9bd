// The socket: connects, to another node when its own is gone; each request has one answer or one error.

import { Route } from "./retry.js";
import { openSocket } from "./socket.js";
import { pauseAfter, wait } from "./wait.js";

const CONNECT_MS = 6000;
const ANSWER_MS = 8000; // a node answers sooner, whatever happens to it

// `retryable`: the outcome is unknown or the server is busy. `details`: see docs/protocol.md, by code.
export const failure = (error) => Object.assign(new Error(error.message), { retryable: true, details: {}, ...error });

export const offline = () => failure({ code: "offline", message: "There is no connection." });

export class Connection {
  ready = null; // session:opened, while the connection lives
  retryAt = 0; // when the next attempt is due, or 0
  /** @type {any} why there will be no other, when the server has said so */
  ended = null;
  #socket;
  #since;
  #timer;

  // options: io, urls, fixed: nodes name no others, auth: resolves with the handshake's
  // handlers: ready(payload), event(name, payload), refused({code, message}): not to be tried again like this,
  // failed(): no node could be reached, changed(error): with `error` what the last attempt failed with, or null
  constructor(options, handlers) {
    this.options = options;
    this.handlers = handlers;
    this.route = new Route(options.urls);
  }

  // Neither is there a connection, nor is one being made.
  get closed() {
    return !this.#socket && !this.retryAt;
  }

  async request(event, payload) {
    const socket = this.#socket;
    if (!this.ready) throw this.ended ?? offline();
    const ack = await socket.timeout(ANSWER_MS).emitWithAck(event, payload).catch(() => {
      this.#lost(socket, { gone: true });
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
        await wait(pauseAfter(error, ms));
      }
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
    const auth = (answer) => this.options.auth().then(answer, (error) => this.#lost(socket, { error }));
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
        this.#lost(socket, { gone: true, after: payload.after_ms });
      } else this.handlers.event(name, payload);
    });
    socket.on("disconnect", () => this.#lost(socket));
    socket.on("connect_error", ({ data }) => {
      if (this.#socket !== socket) return;
      if (data?.code && !data.retryable) this.handlers.refused(data);
      else this.#lost(socket, { error: data, after: pauseAfter(data, 0) });
    });
    this.#timer = setTimeout(() => this.#lost(socket), CONNECT_MS);
    this.handlers.changed();
  }

  // Leave this connection or attempt for the next one, after the usual pause.
  renew(error) {
    this.#lost(this.#socket, { error });
  }

  // `gone`: the node is known to be. `after`: it has said for how many ms to stay away.
  #lost(socket, { error = null, gone = false, after = 0 } = {}) {
    if (this.#socket !== socket) return;
    if (!this.ready && this.route.allTried) this.handlers.failed();
    const pause = Math.max(after, this.route.next(this.ready ? performance.now() - this.#since : 0, gone));
    this.close();
    this.retryAt = Date.now() + pause;
    this.#timer = setTimeout(() => this.reconnect(), pause);
    this.handlers.changed(error);
  }

  // The network may have changed: a hint only, since a node may be on this machine.
  checkNetwork() {
    if (this.ready) this.request("session:sync", { positions: {} }).catch(() => {});
    else if (this.retryAt && globalThis.navigator?.onLine !== false) this.reconnect();
    this.handlers.changed();
  }
}
