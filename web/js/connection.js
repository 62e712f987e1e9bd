// The socket: connects, to another node when its own is gone, and turns each request into one answer or one error.

import { io } from "/vendor/socket.io.esm.min.js";
import { Route } from "./retry.js";
import { changed, state } from "./state.js";

const CONNECT_MS = 6000;
const ANSWER_MS = 8000;
const REPEAT_MS = [500, 1000, 2000, 4000];
const NO_ENTRY = /^(token_|invalid_payload|not_allowed)/;

// `retryable`: the outcome is unknown or the server is busy; the same request may be repeated.
const failure = ({ code, message, retryable = true }) => Object.assign(new Error(message), { code, retryable });

const offline = () => failure({ code: "offline" });
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export class Connection {
  ready = null; // the payload of session:ready while the connection lives
  #socket = null;
  #since = 0; // when this session began
  #timer = 0;

  // auth(): what to say of oneself; handlers: ready(payload), event(name, payload), refused({code, message})
  constructor(nodes, auth, handlers) {
    Object.assign(this, { auth, handlers, route: new Route(nodes) });
    // What the browser knows of the network is a hint: a node on this machine answers without any.
    addEventListener("online", () => this.#look());
    addEventListener("offline", () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
    this.#connect();
  }

  // Send without waiting for an answer; lost while not connected.
  tell(event, payload) {
    if (this.ready) this.#socket.volatile.emit(event, payload);
  }

  // One request, one answer; rejects with a failure.
  async request(event, payload) {
    const socket = this.#socket;
    if (!this.ready) throw offline();
    let ack;
    try {
      ack = await socket.timeout(ANSWER_MS).emitWithAck(event, payload);
    } catch {
      // Nodes answer sooner whatever happens to them: this connection is dead.
      this.#lost(socket, true);
      throw offline();
    }
    if (!ack?.ok) throw failure(ack?.error ?? { code: "internal" });
    return ack;
  }

  // The same, repeated for as long as this connection lives. Every request may be repeated as it was.
  async insist(event, payload) {
    const session = this.ready;
    for (let tries = 0; ; tries++) {
      try {
        return await this.request(event, payload);
      } catch (error) {
        if (!error.retryable || !session || this.ready !== session) throw error;
      }
      await wait(REPEAT_MS[Math.min(tries, REPEAT_MS.length - 1)]);
      if (this.ready !== session) throw offline();
    }
  }

  // Leave for good.
  close() {
    const socket = this.#socket;
    this.#drop();
    socket?.disconnect();
  }

  #connect() {
    this.#drop();
    const options = { transports: ["websocket"], auth: this.auth(), forceNew: true, reconnection: false };
    const socket = io(this.route.url, options);
    this.#socket = socket;
    socket.on("session:ready", (payload) => {
      if (this.#socket !== socket) return;
      clearTimeout(this.#timer);
      this.ready = payload;
      this.#since = performance.now();
      this.route.learn(payload.nodes);
      this.handlers.ready(payload);
      changed();
    });
    socket.onAny((name, payload) => {
      if (this.#socket !== socket || name === "session:ready") return;
      if (name === "server:draining") this.#lost(socket, true);
      else this.handlers.event(name, payload);
    });
    socket.on("disconnect", () => this.#lost(socket));
    socket.on("connect_error", ({ data }) => {
      if (NO_ENTRY.test(data?.code)) this.handlers.refused(data);
      else this.#lost(socket);
    });
    this.#timer = setTimeout(() => this.#lost(socket), CONNECT_MS);
    changed();
  }

  // The connection is there no more, or of no use: try again, soon.
  #lost(socket, gone) {
    if (this.#socket !== socket) return;
    const lived = this.ready ? performance.now() - this.#since : 0;
    this.#drop();
    socket.disconnect();
    const pause = this.route.next(lived, gone);
    state.retryAt = Date.now() + pause;
    this.#timer = setTimeout(() => this.#connect(), pause);
    changed();
  }

  #drop() {
    clearTimeout(this.#timer);
    this.ready = this.#socket = null;
    state.retryAt = 0;
  }

  // The network or the page came back, or may have gone: see whether the connection still lives, or try at once.
  #look() {
    if (this.ready) this.request("session:sync", { positions: {} }).catch(() => {});
    else if (state.retryAt && navigator.onLine) this.#connect();
    changed();
  }
}
