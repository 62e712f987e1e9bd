// Messages on their way, until acked or refused. Those of a conversation are sent together; each names the one before it,
// so the log has their order. Another tab takes over those of a closed one, with their ids: each counts once.

import { parts } from "./later.js";
import { pauseAfter, random, wait } from "./wait.js";

const REPEAT_MS = 1500;
const TOGETHER = 16;

export class Outbox {
  // {request_id, conversation_id, text, edits, more, ts, order, user, device, beat, state: waiting | sent | refused, seq, error, delayed}
  items = [];
  stopped = false;
  lock = null; // see outbox_records.js
  #pumping = new Set();

  constructor(client) {
    const { store, deviceId: device } = client;
    this.client = client;
    this.store = store;
    this.device = device;
    this.locks = store.locks;
  }

  // There is a connection, so it is known which user this is. What another user has left is sent by that one only.
  start() {
    const { me } = this.client;
    this.stopped = false;
    for (const item of this.items) item.user ||= me;
    this.items = this.items.filter(({ user }) => user === me);
    this.pumpAll();
    parts.records.load().then(({ start }) => this.stopped || start(this));
  }

  stop() {
    this.stopped = true;
    parts.records.loaded?.release(this);
  }

  of(conversationId) {
    return this.items.filter((item) => item.conversation_id === conversationId);
  }

  // `edits`: the seq of the message that this one replaces. `more`: other fields of the request.
  add(conversation_id, text, edits, more) {
    const request_id = `m-${random(4)}`;
    const ts = new Date().toISOString();
    this.client.emit("sent", conversation_id, request_id);
    this.retry({ request_id, conversation_id, text, edits, more, ts, user: this.client.me, device: this.device });
    return request_id;
  }

  // Queue it last; a refused one keeps its request_id, since nothing was done with it.
  retry(item) {
    this.items = this.items.filter((other) => other !== item);
    item.order = Math.max(Date.now(), (this.items.at(-1)?.order ?? 0) + 1);
    item.state = "waiting";
    delete item.error;
    this.items.push(item);
    this.#keep(item);
    this.pump(item.conversation_id);
  }

  // The user is no longer in the conversation: what was not sent is still there to be read.
  refuse({ id, error: { code, message } }) {
    this.remove((item) => item.conversation_id === id && item.state === "sent");
    for (const item of this.of(id)) {
      Object.assign(item, { state: "refused", error: { code, message } });
      this.#keep(item);
    }
  }

  remove(unwanted) {
    const gone = this.items.filter(unwanted);
    if (!gone.length) return;
    this.items = this.items.filter((item) => !gone.includes(item));
    this.store.step((_, table) => gone.forEach(({ request_id }) => table.delete(request_id)));
    this.client.changed();
  }

  // What is in the log is no longer on its way.
  delivered(c, entries) {
    const logged = new Set(entries.map(({ data }) => data.user_id === this.client.me && data.request_id));
    const seen = (item) => logged.has(item.request_id) || item.seq <= c.head;
    this.remove((item) => item.conversation_id === c.id && seen(item));
  }

  pumpAll() {
    for (const id of new Set(this.items.map((item) => item.conversation_id))) this.pump(id);
  }

  // Send what waits. Without an answer the same request_id is sent again.
  async pump(conversation_id) {
    if (this.#pumping.has(conversation_id)) return;
    this.#pumping.add(conversation_id);
    const next = () => this.of(conversation_id).filter((item) => item.state === "waiting").slice(0, TOGETHER);
    for (let items; this.#maySend(conversation_id) && (items = next())[0]; ) {
      const pauses = await Promise.all(items.map((item, n) => this.#send(item, items[n - 1])));
      const pause = Math.max(...pauses);
      if (pause) await wait(pause);
    }
    this.#pumping.delete(conversation_id);
  }

  // A conversation that is to be joined takes messages after that.
  #maySend(conversationId) {
    const { connection, conversations } = this.client;
    const c = conversations.get(conversationId);
    const joining = c?.wanted && (!c.role || c.role === "invited");
    return connection.ready && !joining;
  }

  // Resolves with the ms after which the message is sent again, if it has to be.
  async #send(item, before) {
    const { conversation_id, request_id, text, edits, more } = item;
    const event = edits ? "message:edit" : "message:send";
    const request = { conversation_id, request_id, after: before?.request_id ?? null, text, ...(edits && { seq: edits }), ...more };
    delete item.delayed;
    try {
      const { seq } = await this.client.connection.request(event, request);
      Object.assign(item, { state: "sent", seq });
      this.client.emit("acked", request_id, seq);
    } catch (error) {
      const { code, message, retryable } = error;
      // The one before it was refused.
      if (code === "out_of_order") return 0;
      if (retryable) {
        if (code !== "offline") item.delayed = { code, message };
        this.client.changed();
        return pauseAfter(error, REPEAT_MS);
      }
      Object.assign(item, { state: "refused", error: { code, message } });
    }
    this.#keep(item);
    return 0;
  }

  // The store holds what is not acked.
  #keep(item) {
    this.client.changed();
    parts.records.load().then(({ keep }) => keep(this, item));
  }
}
