// Messages on their way: each conversation's are sent one at a time and in order, until acked or refused.

import { wait } from "./connection.js";
import { changed, state } from "./state.js";
import { stored } from "./storage.js";

const REPEAT_MS = 1500;

export class Outbox {
  items = []; // {conversation_id, client_id, text, ts, state: waiting | sent | refused, seq, error}
  #pumping = new Set();

  constructor(connection) {
    this.connection = connection;
    this.items = stored.outbox ?? [];
  }

  of(conversationId) {
    return this.items.filter((item) => item.conversation_id === conversationId);
  }

  add(conversation_id, text) {
    const client_id = `m-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
    this.items.push({ conversation_id, client_id, text, ts: new Date().toISOString(), state: "waiting" });
    this.#save();
    this.pump(conversation_id);
  }

  // A refused message goes to the end of the line, with its own client_id: nothing was done with it.
  retry(item) {
    this.items = [...this.items.filter((other) => other !== item), item];
    item.state = "waiting";
    this.#save();
    this.pump(item.conversation_id);
  }

  remove(unwanted) {
    this.items = this.items.filter((item) => !unwanted(item));
    this.#save();
  }

  // The log has been delivered up to here: what it holds is no longer on its way.
  delivered(c, entries) {
    if (!this.items.length) return;
    const here = new Set(entries.filter((e) => e.data.user_id === state.me).map((e) => e.data.client_id));
    const seen = (item) => here.has(item.client_id) || (item.state === "sent" && item.seq <= c.head);
    this.remove((item) => item.conversation_id === c.id && seen(item));
  }

  pumpAll() {
    for (const id of new Set(this.items.map((item) => item.conversation_id))) this.pump(id);
  }

  // Send what waits. On a timeout or a new connection the same client_id is sent again: it counts once.
  async pump(conversationId) {
    if (this.#pumping.has(conversationId)) return;
    this.#pumping.add(conversationId);
    let item;
    const next = () => this.of(conversationId).find((one) => one.state === "waiting");
    while (this.connection.ready && (item = next())) {
      const { conversation_id, client_id, text } = item;
      try {
        const ack = await this.connection.request("message:send", { conversation_id, client_id, text });
        Object.assign(item, { state: "sent", seq: ack.seq });
      } catch (error) {
        if (error.retryable) await wait(REPEAT_MS);
        else Object.assign(item, { state: "refused", error: { code: error.code, message: error.message } });
      }
      this.#save();
    }
    this.#pumping.delete(conversationId);
  }

  #save() {
    stored.outbox = this.items.filter((item) => item.state !== "sent");
    changed();
  }
}
