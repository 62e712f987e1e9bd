// Messages on their way: each conversation's are sent one at a time and in order, until acked or refused. They outlive
// their tab: when it is closed, another tab of the same user takes them over, with their client ids, so each counts once.

import { wait } from "./connection.js";
import { report } from "./report.js";
import { Shelf } from "./shelf.js";
import { changed, state } from "./state.js";
import { deviceId, random } from "./storage.js";

const REPEAT_MS = 1500;
const LOOK_MS = 5000; // how often to look for what closed tabs have left
const SILENT_MS = 90_000; // without locks: a tab that has not been heard of for so long is closed; hidden ones are slow

const lockOf = (device) => `roomgraph ${device}`;

export class Outbox {
  // {client_id, conversation_id, text, edits, ts, order, user, device, beat, state: waiting | sent | refused, seq, error}
  items = [];
  #pumping = new Set();
  #shelf = new Shelf();
  #alive; // resolves when it is known to other tabs that this one lives

  constructor(connection) {
    this.connection = connection;
    const { locks } = navigator;
    this.#alive = new Promise((done) => {
      if (!locks) return done();
      // Held for as long as this page lives.
      locks.request(lockOf(deviceId()), () => new Promise(() => done()));
    });
    if (!locks) addEventListener("pagehide", () => this.#beat(0));
  }

  // From now on it is known who is here: their messages are sent, also those of tabs that were closed.
  async open() {
    if (this.opened) return;
    this.opened = true;
    await this.#alive;
    await this.#take(({ device }) => device === deviceId());
    for (;;) {
      await this.#adopt();
      await wait(LOOK_MS);
    }
  }

  of(conversationId) {
    return this.items.filter((item) => item.conversation_id === conversationId);
  }

  // `edits`: the seq of the message that this says anew.
  add(conversation_id, text, edits) {
    const item = { conversation_id, client_id: `m-${random(4)}`, text, edits, ts: new Date().toISOString() };
    Object.assign(item, { user: state.me, device: deviceId() });
    this.items.push(item);
    report("sent", { client_id: item.client_id, conversation_id });
    this.#wait(item);
  }

  // A refused message goes to the end of the line, with its own client_id: nothing was done with it.
  retry(item) {
    this.items = [...this.items.filter((other) => other !== item), item];
    this.#wait(item);
  }

  remove(unwanted) {
    const gone = this.items.filter(unwanted);
    if (!gone.length) return;
    this.items = this.items.filter((item) => !gone.includes(item));
    for (const { client_id } of gone) this.#shelf.delete(client_id);
    changed();
  }

  // The person signs out: what this page has not sent shall not be sent.
  forget() {
    return this.#shelf.change(({ device }) => (device === deviceId() ? null : undefined));
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
      const { conversation_id, client_id, text, edits: seq } = item;
      const [event, more] = seq ? ["message:edit", { seq }] : ["message:send"];
      try {
        const ack = await this.connection.request(event, { conversation_id, client_id, text, ...more });
        Object.assign(item, { state: "sent", seq: ack.seq });
        this.#shelf.delete(client_id);
        report("acked", { client_id, seq: ack.seq });
        const c = state.conversations.get(conversation_id);
        if (c) this.delivered(c, []);
      } catch (error) {
        if (error.retryable) {
          await wait(REPEAT_MS);
        } else {
          Object.assign(item, { state: "refused", error: { code: error.code, message: error.message } });
          this.#keep(item);
        }
      }
      changed();
    }
    this.#pumping.delete(conversationId);
  }

  #wait(item) {
    item.order = Math.max(Date.now(), ...this.items.map((other) => (other.order ?? 0) + 1));
    item.state = "waiting";
    this.#keep(item);
    this.pump(item.conversation_id);
    changed();
  }

  async #keep(item) {
    await this.#alive;
    if (this.items.includes(item) && item.state !== "sent") this.#shelf.put({ ...item, beat: Date.now() });
  }

  // What tabs that live no more have left.
  async #adopt() {
    if (!navigator.locks) {
      await this.#beat(Date.now());
      return this.#take(({ beat }) => beat < Date.now() - SILENT_MS);
    }
    const others = new Set();
    await this.#shelf.change(({ user, device }) => void (user === state.me && others.add(device)));
    others.delete(deviceId());
    for (const device of others) {
      // Who has the lock of a tab knows that it is closed, and that it does not come back in this moment.
      const take = (lock) => lock && this.#take((record) => record.device === device);
      await navigator.locks.request(lockOf(device), { ifAvailable: true }, take);
    }
  }

  // Make records of this user this page's own, in one step, so that one tab only takes each.
  async #take(wanted) {
    const mine = { device: deviceId(), beat: Date.now() };
    const had = new Set(this.items.map((item) => item.client_id));
    const take = (record) =>
      record.user === state.me && !had.has(record.client_id) && wanted(record) ? { ...record, ...mine } : undefined;
    const taken = await this.#shelf.change(take);
    if (!taken.length) return;
    this.items = [...this.items, ...taken].sort((a, b) => a.order - b.order);
    this.pumpAll();
    changed();
  }

  // Without locks: this tab still lives, or is about to be closed (0). What was taken over meanwhile is not ours.
  async #beat(beat) {
    const lost = new Set();
    await this.#shelf.change((record) => {
      if (record.device === deviceId()) return { ...record, beat };
      lost.add(record.client_id);
    });
    this.items = this.items.filter((item) => !lost.has(item.client_id));
  }
}
