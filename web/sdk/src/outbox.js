// Messages on their way, until acked or refused. Those of a conversation are sent together; each names the one before it,
// so the log has their order. Another tab takes over those of a closed one, with their ids: each counts once.

import { parts } from "./later.js";
import { random, wait } from "./wait.js";

const REPEAT_MS = 1500;
const TOGETHER = 16;

export class Outbox {
  // {request_id, conversation_id, text, edits, more, ts, order, user, device, beat, state: waiting | sent | refused, seq, error}
  items = [];
  stopped = false;
  #pumping = new Set();
  alive; // resolves with this tab's lock, which tells others that it lives

  constructor(client) {
    const { store, deviceId: device } = client;
    const { locks } = store;
    this.client = client;
    this.store = store;
    this.device = device;
    this.locks = locks;
    this.alive = new Promise((done) => {
      if (locks) locks.request(`roomgraph ${device}`, () => new Promise(() => done()));
      else done();
    });
  }

  // It is known which user this is.
  start() {
    this.stopped = false;
    this.started ??= parts.takeover.load().then(({ run }) => run(this)).then(() => (this.started = null));
  }

  stop() {
    this.stopped = true;
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

  // What this device has left in the store, of no use to another user.
  forget() {
    return this.store.step((records, table) => {
      for (const { request_id, device } of records) if (device === this.device) table.delete(request_id);
    });
  }

  pumpAll() {
    for (const id of new Set(this.items.map((item) => item.conversation_id))) this.pump(id);
  }

  // Send what waits. Without an answer the same request_id is sent again.
  async pump(conversation_id) {
    if (this.#pumping.has(conversation_id)) return;
    this.#pumping.add(conversation_id);
    const next = () => this.of(conversation_id).filter((item) => item.state === "waiting").slice(0, TOGETHER);
    for (let items; this.client.connection.ready && (items = next())[0]; ) {
      const codes = await Promise.all(items.map((item, n) => this.#send(item, items[n - 1])));
      // What came out of order is sent again at once: the one before it was refused.
      if (codes.some((code) => code && code !== "out_of_order")) await wait(REPEAT_MS);
    }
    this.#pumping.delete(conversation_id);
  }

  // Resolves with the code of an error after which the message is sent again.
  async #send(item, before) {
    const { conversation_id, request_id, text, edits, more } = item;
    const event = edits ? "message:edit" : "message:send";
    const request = { conversation_id, request_id, after: before?.request_id ?? null, text, ...(edits && { seq: edits }), ...more };
    try {
      const { seq } = await this.client.connection.request(event, request);
      Object.assign(item, { state: "sent", seq });
      this.client.emit("acked", request_id, seq);
    } catch ({ code, message, retryable }) {
      if (retryable) return code;
      Object.assign(item, { state: "refused", error: { code, message } });
    }
    this.#keep(item);
  }

  // The store holds what is not acked.
  async #keep(item) {
    this.client.changed();
    await this.alive;
    this.store.step((_, table) => {
      if (item.state === "sent") table.delete(item.request_id);
      else if (this.items.includes(item)) table.put({ ...item, beat: Date.now() });
    });
  }
}
