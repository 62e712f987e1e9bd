// Follows the person's conversations: catches up after every connection, reads gaps, keeps the list fresh.

import { wait } from "./connection.js";
import { Delivery } from "./delivery.js";
import { Draft } from "./draft.js";
import { changed, meet, state } from "./state.js";

const SYNC_AT_ONCE = 100; // conversations in one session:sync
const PAGE = 200;
const GONE = new Set(["unknown_conversation", "not_a_member"]);

export class Following {
  #session = 0; // counts connections: what belongs to an earlier one gives up
  #listDue = 0;

  // `heard(event, payload, conversation)` handles live events; `gone(conversation)` is told of the end of one.
  constructor(connection, outbox, { heard, gone, reloaded }) {
    Object.assign(this, { connection, outbox, heard, gone, reloaded });
  }

  meet(id) {
    const save = (id) => async (text) =>
      (await this.connection.request("draft:update", { conversation_id: id, text })).rev;
    return meet(id, (id) => new Draft(save(id), changed));
  }

  // A new connection: the server follows nothing for it yet.
  async begin(first) {
    const session = ++this.#session;
    this.catchingUp = true;
    changed();
    for (let ms = 1000; session === this.#session && this.connection.ready; ms = 4000) {
      try {
        const followed = [...state.conversations.values()].filter((c) => c.delivery);
        followed.sort((a, b) => (b === state.open) - (a === state.open));
        await this.sync(followed);
        await first();
        await this.#readList();
        this.catchingUp = false;
        this.outbox.pumpAll();
        break;
      } catch {
        await wait(ms);
      }
    }
    changed();
  }

  // Follow conversations on this session, and be caught up in each from where it stands here.
  async sync(conversations) {
    const waiting = conversations.filter((c) => !c.syncing);
    while (waiting.length) {
      const batch = waiting.splice(0, SYNC_AT_ONCE);
      const fresh = (c) => !c.delivery || (c === state.open && !c.loaded);
      const positions = Object.fromEntries(batch.map((c) => [c.id, fresh(c) ? null : c.delivery.position]));
      const { conversations: results } = await this.during(batch, () =>
        this.connection.insist("session:sync", { positions }),
      );
      for (const c of batch) this.take(c, results[c.id]);
    }
  }

  // While an answer that catches conversations up is on its way, what is heard of them is kept for later.
  async during(conversations, ask) {
    for (const c of conversations) Object.assign(c, { syncing: true, early: [] });
    changed();
    try {
      return await ask();
    } finally {
      for (const c of conversations) c.syncing = false;
    }
  }

  // The answer for one conversation, of a sync, a join or a create.
  take(c, result) {
    if (!result || result.error) {
      if (GONE.has(result?.error.code)) this.drop(c);
      return;
    }
    const { position, after, head, entries, card } = result;
    for (const key of ["title", "access", "agent", "role"]) c[key] = result[key];
    c.first = head - card.history + 1;
    c.followedAt = performance.now();
    for (const [userId, seq] of Object.entries(result.reads)) c.mark(userId, seq, state.me);
    const known = c.head;
    if (result.verdict !== "resumed" || !c.delivery) {
      if (result.verdict === "reset" && c.loaded) this.reloaded(c, result.reason);
      c.startOver();
      c.delivery = new Delivery({ epoch: position.epoch, seq: after });
      c.read = result.reads[state.me] ?? 0;
      c.reads = result.reads;
    } else if (c.loaded) {
      c.divide(known, head);
    }
    if (result.draft) c.draft.hear(result.draft);
    const whole = c.answer.card(card.unfinished_run);
    this.#carryOut(c, c.delivery.read(position.epoch, head, pairs(entries)));
    for (const [event, payload] of c.early.splice(0)) this.hear(event, payload);
    if (!whole || (c === state.open && !c.loaded)) this.#syncSoon(c);
  }

  // A live event of a conversation.
  hear(event, payload) {
    const c = state.conversations.get(payload.conversation_id);
    if (!c) return;
    if (c.syncing) {
      c.early.push([event, payload]);
    } else if (event === "conversation:entry") {
      if (c.delivery) this.#carryOut(c, c.delivery.hear(payload.epoch, payload.seq, payload));
    } else if (event === "conversation:reset") {
      this.#syncSoon(c);
    } else if (event === "run:delta") {
      if (c.loaded && !c.answer.delta(payload)) this.#syncSoon(c);
    } else {
      this.heard(event, payload, c);
    }
    changed();
  }

  // Something may have been joined, left or offered on another device.
  listSoon() {
    clearTimeout(this.#listDue);
    this.#listDue = setTimeout(() => this.#readList().catch(() => {}), 150);
  }

  drop(c) {
    if (!state.conversations.delete(c.id)) return;
    this.outbox.remove((item) => item.conversation_id === c.id);
    this.gone(c);
    changed();
  }

  async #readList() {
    const began = performance.now();
    const listed = new Set();
    let after = null;
    do {
      const page = await this.connection.insist("conversation:list", { after });
      for (const item of page.conversations) {
        const c = this.meet(item.conversation_id);
        listed.add(c);
        c.title = item.title;
        c.role = item.role;
        if (item.role === "invited" || c.syncing) continue;
        c.mark(state.me, item.read, state.me);
        if (!c.delivery) {
          c.delivery = new Delivery(item.position);
          c.first = item.position.seq - item.unread + 1; // as far as counting needs it
          c.lastActivity = item.last_activity;
        }
      }
      after = page.next;
    } while (after);
    for (const c of state.conversations.values()) {
      if (!listed.has(c) && !c.syncing && c.followedAt < began) this.drop(c);
    }
    await this.sync([...listed].filter((c) => c.delivery && !c.followedAt));
    changed();
  }

  #carryOut(c, { entries, readAfter, reset }) {
    for (const { data } of entries) if (data.name) state.names.set(data.user_id, data.name);
    c.add(entries);
    this.outbox.delivered(c, entries, state.me);
    if (reset) this.#syncSoon(c);
    else if (readAfter !== null) this.#readGap(c, c.delivery, readAfter);
    changed();
  }

  async #readGap(c, delivery, after) {
    try {
      const request = { conversation_id: c.id, after, limit: PAGE };
      const page = await this.connection.insist("conversation:history", request);
      if (c.delivery !== delivery) return;
      this.#carryOut(c, delivery.read(page.epoch, page.head, pairs(page.entries)));
    } catch (error) {
      delivery.readFailed(); // the next sync asks for it again
      if (GONE.has(error.code)) this.listSoon();
    }
  }

  async #syncSoon(c) {
    await wait(200);
    if (this.connection.ready && state.conversations.get(c.id) === c) await this.sync([c]).catch(() => {});
  }
}

const pairs = (entries) => entries.map((entry) => [entry.seq, entry]);
