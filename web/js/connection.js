// The socket: connects, connects again, and turns each request into one answer or one error.

import { io } from "/vendor/socket.io.esm.min.js";

const ANSWER_MS = 8000;
const REPEAT_MS = [500, 1000, 2000, 4000];
const NO_ENTRY = new Set(["token_missing", "token_invalid", "token_expired", "invalid_payload", "not_allowed"]);

// `retryable`: the outcome is unknown or the server is busy; the same request may be repeated.
const failure = ({ code, message, retryable = true }) => Object.assign(new Error(message), { code, retryable });

const offline = () => failure({ code: "offline" });
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export class Connection {
  ready = null; // the payload of session:ready while the connection lives

  // handlers: ready(payload), event(name, payload), state(), refused({code, message})
  constructor(auth, handlers) {
    const socket = io({ transports: ["websocket"], auth, reconnectionDelay: 500, reconnectionDelayMax: 4000 });
    this.socket = socket;
    socket.on("session:ready", (payload) => {
      this.ready = payload;
      handlers.state();
      handlers.ready(payload);
    });
    socket.onAny((name, payload) => name !== "session:ready" && handlers.event(name, payload));
    socket.on("disconnect", () => {
      this.ready = null;
      handlers.state();
      this.#againUnlessActive();
    });
    socket.on("connect_error", (error) => {
      if (NO_ENTRY.has(error.data?.code)) handlers.refused(error.data);
      else this.#againUnlessActive();
      handlers.state();
    });
    for (const name of ["online", "offline"]) addEventListener(name, handlers.state);
  }

  // Send without waiting for an answer; lost while not connected.
  tell(event, payload) {
    if (this.ready) this.socket.volatile.emit(event, payload);
  }

  // One request, one answer; rejects with a failure.
  async request(event, payload) {
    if (!this.ready) throw offline();
    let ack;
    try {
      ack = await this.socket.timeout(ANSWER_MS).emitWithAck(event, payload);
    } catch {
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

  // socket.io does not connect again by itself when it was the server that said no.
  async #againUnlessActive() {
    if (this.socket.active) return;
    await wait(1500);
    if (!this.socket.active) this.socket.connect();
  }
}
