// Messages on their way, until acked or refused. Those of a conversation are sent together; each names the one before it,
// so the log has their order. Another tab takes over those of a closed one, with their ids: each counts once.

import { lazy } from "../lazy.js";
import { changed, hooks, state, wait } from "../state.js";
import { deviceId, random } from "../storage.js";

const REPEAT_MS = 1500;
const TOGETHER = 16;

const step = async (act) => (await lazy.outboxTakeover.load()).step(act);

export class Outbox {
  // {request_id, conversation_id, text, edits, ts, order, user, device, beat, state: waiting | sent | refused, seq, error}
  items = [];
  #pumping = new Set();
  alive; // resolves with this tab's lock, which tells others that it lives

  constructor(connection, device = deviceId(), store = { step }, locks = navigator.locks) {
    Object.assign(this, { connection, device, store, locks });
    this.alive = new Promise((done) => {
      if (locks) locks.request(`roomgraph ${device}`, () => new Promise(() => done()));
      else done();
    });
  }

  // It is known which user this is.
  start() {
    this.started ??= lazy.outboxTakeover.load().then(({ run }) => run(this));
  }

  of(conversationId) {
    return this.items.filter((item) => item.conversation_id === conversationId);
  }

  // `edits`: the seq of the message that this one replaces.
  add(conversation_id, text, edits) {
    const request_id = `m-${random(4)}`;
    const ts = new Date().toISOString();
    hooks.onSent(conversation_id, request_id);
    this.retry({ request_id, conversation_id, text, edits, ts, user: state.me, device: this.device });
  }

  // Queue it last; a refused one keeps its request_id, since nothing was done with it.
  retry(item) {
    this.items = this.items.filter((other) => other !== item);
    item.order = Math.max(Date.now(), (this.items.at(-1)?.order ?? 0) + 1);
    item.state = "waiting";
    this.items.push(item);
    this.#keep(item);
    this.pump(item.conversation_id);
  }

  remove(unwanted) {
    const gone = this.items.filter(unwanted);
    if (!gone.length) return;
    this.items = this.items.filter((item) => !gone.includes(item));
    this.store.step((_, table) => gone.forEach(({ request_id }) => table.delete(request_id)));
    changed();
  }

  // What is in the log is no longer on its way.
  delivered(c, entries) {
    const logged = new Set(entries.map(({ data }) => data.user_id === state.me && data.request_id));
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
    for (let items; this.connection.ready && (items = next())[0]; ) {
      const codes = await Promise.all(items.map((item, n) => this.#send(item, items[n - 1])));
      // What came out of order is sent again at once: the one before it was refused.
      if (codes.some((code) => code && code !== "out_of_order")) await wait(REPEAT_MS);
    }
    this.#pumping.delete(conversation_id);
  }

  // Resolves with the code of an error after which the message is sent again.
  async #send(item, before) {
    const { conversation_id, request_id, text, edits } = item;
    const [event, more] = edits ? ["message:edit", { seq: edits }] : ["message:send"];
    const after = before?.request_id ?? null;
    try {
      const { seq } = await this.connection.request(event, { conversation_id, request_id, after, text, ...more });
      Object.assign(item, { state: "sent", seq });
      hooks.onAcked(request_id, seq);
    } catch ({ code, message, retryable }) {
      if (retryable) return code;
      Object.assign(item, { state: "refused", error: { code, message } });
    }
    this.#keep(item);
  }

  // The store holds what is not acked.
  async #keep(item) {
    changed();
    await this.alive;
    this.store.step((_, table) => {
      if (item.state === "sent") table.delete(item.request_id);
      else if (this.items.includes(item)) table.put({ ...item, beat: Date.now() });
    });
  }
}
