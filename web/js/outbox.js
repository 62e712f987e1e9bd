// Messages on their way: sent one at a time in each conversation, in order, until acked or refused. When their tab is
// closed, another one of the same user takes them over with their client ids, so each counts once.

import { wait } from "./connection.js";
import { here, want } from "./later.js";
import { Shelf } from "./shelf.js";
import { changed, state } from "./state.js";
import { deviceId, random } from "./storage.js";

const REPEAT_MS = 1500;
const LOOK_MS = 5000; // to look for what closed tabs have left

export class Outbox {
  // {client_id, conversation_id, text, edits, ts, order, user, device, beat, state: waiting | sent | refused, seq, error}
  items = [];
  #pumping = new Set();
  #alive; // resolves when this tab holds its lock, which tells others that it lives

  constructor(connection, device = deviceId(), shelf = new Shelf(), locks = navigator.locks) {
    Object.assign(this, { connection, device, shelf, locks });
    this.#alive = new Promise((done) => {
      if (locks) locks.request(`roomgraph ${device}`, () => new Promise(() => done()));
      else done();
    });
  }

  // It is known who is here.
  async open() {
    if (this.opened) return;
    this.opened = true;
    await this.#alive;
    await this.take(({ device }) => device === this.device);
    for (;;) {
      await this.adopt();
      await wait(LOOK_MS);
    }
  }

  of(conversationId) {
    return this.items.filter((item) => item.conversation_id === conversationId);
  }

  // `edits`: the seq of the message that this says anew.
  add(conversation_id, text, edits) {
    const client_id = `m-${random(4)}`;
    const ts = new Date().toISOString();
    here.report?.tell("sent", { client_id, conversation_id });
    this.retry({ client_id, conversation_id, text, edits, ts, user: state.me, device: this.device });
  }

  // Put it at the end of the line; a refused one keeps its client_id, since nothing was done with it.
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
    this.shelf.step((_, store) => gone.forEach(({ client_id }) => store.delete(client_id)));
    changed();
  }

  // What the log holds is no longer on its way.
  delivered(c, entries) {
    const said = new Set(entries.map(({ data }) => data.user_id === state.me && data.client_id));
    const seen = (item) => said.has(item.client_id) || item.seq <= c.head;
    this.remove((item) => item.conversation_id === c.id && seen(item));
  }

  pumpAll() {
    for (const id of new Set(this.items.map((item) => item.conversation_id))) this.pump(id);
  }

  // Send what waits. Without an answer the same client_id is sent again: it counts once.
  async pump(conversation_id) {
    if (this.#pumping.has(conversation_id)) return;
    this.#pumping.add(conversation_id);
    let item;
    const next = () => this.of(conversation_id).find((one) => one.state === "waiting");
    while (this.connection.ready && (item = next())) {
      const { client_id, text, edits } = item;
      const [event, more] = edits ? ["message:edit", { seq: edits }] : ["message:send"];
      try {
        const { seq } = await this.connection.request(event, { conversation_id, client_id, text, ...more });
        Object.assign(item, { state: "sent", seq });
        here.report?.tell("acked", { client_id, seq });
      } catch ({ code, message, retryable }) {
        if (retryable) await wait(REPEAT_MS);
        else Object.assign(item, { state: "refused", error: { code, message } });
      }
      this.#keep(item);
    }
    this.#pumping.delete(conversation_id);
  }

  async adopt() {
    await (await want("adoption")).adopt(this);
  }

  // Make records of this user this page's own, in one step, so that only one page takes each; and leave what another
  // has taken.
  async take(wanted) {
    await this.shelf.step((records, store) => {
      for (const record of records) {
        const had = this.items.findIndex(({ client_id }) => client_id === record.client_id);
        if (had >= 0 && record.device !== this.device) this.items.splice(had, 1);
        if (had >= 0 || record.user !== state.me || !wanted(record)) continue;
        Object.assign(record, { device: this.device, beat: Date.now() });
        store.put(record);
        this.items.push(record);
      }
    });
    this.items.sort((a, b) => a.order - b.order);
    this.pumpAll();
    changed();
  }

  // On the shelf is what has not been acked.
  async #keep(item) {
    changed();
    await this.#alive;
    this.shelf.step((_, store) => {
      if (item.state === "sent") store.delete(item.client_id);
      else if (this.items.includes(item)) store.put({ ...item, beat: Date.now() });
    });
  }
}
