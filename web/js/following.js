// Follows the person's conversations: catches up after every connection, reads gaps, keeps the list fresh.

import { wait } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Delivery } from "./delivery.js";
import { toast } from "./dom.js";
import { Draft } from "./draft.js";
import { t } from "./i18n.js";
import { here, want } from "./later.js";
import { changed, learnNames, state } from "./state.js";

const SYNC_AT_ONCE = 100; // conversations in one session:sync
const PAGE = 200;
const SETTINGS = ["title", "access", "agent", "graph", "approvals", "owner", "role"];
const GONE = new Set(["unknown_conversation", "not_a_member"]);

export class Following {
  #session = 0; // counts connections: what an earlier one has begun gives up
  #syncDue = new Set();
  handed = new Set(); // conversations whose mark is to be told

  constructor(connection, outbox) {
    Object.assign(this, { connection, outbox });
  }

  meet(id) {
    const save = async (text) => (await this.connection.request("draft:update", { conversation_id: id, text })).rev;
    const { conversations } = state;
    if (!conversations.has(id)) conversations.set(id, new Conversation(id, new Draft(save, changed)));
    return conversations.get(id);
  }

  // A new connection: nothing is followed yet.
  async begin(first) {
    const session = ++this.#session;
    this.catchingUp = true;
    for (const c of state.conversations.values()) c.syncing = null;
    changed();
    for (let ms = 1000; session === this.#session && this.connection.ready; ms = 4000) {
      try {
        await this.sync([...state.conversations.values()].filter((c) => c.delivery));
        await first();
        await (await want("list")).read(this);
        if (session !== this.#session) return;
        this.catchingUp = false;
        this.outbox.pumpAll();
        return changed();
      } catch {
        await wait(ms);
      }
    }
  }

  // Follow these, and be caught up in each from where it stands here.
  async sync(conversations) {
    const waiting = conversations.filter((c) => !c.syncing);
    while (waiting.length) {
      const batch = waiting.splice(0, SYNC_AT_ONCE);
      const fresh = (c) => !c.delivery || (c === state.open && !c.loaded);
      const positions = Object.fromEntries(batch.map((c) => [c.id, fresh(c) ? null : c.delivery.position]));
      const ask = () => this.connection.insist("session:sync", { positions });
      const { conversations: results } = await this.during(batch, ask);
      for (const c of batch) this.take(c, results[c.id]);
    }
  }

  // What is heard during a catch-up is kept for later. One of an earlier connection does not count.
  async during(conversations, ask) {
    const syncing = {};
    for (const c of conversations) Object.assign(c, { syncing, early: [] });
    changed();
    try {
      return await ask();
    } finally {
      for (const c of conversations) if (c.syncing === syncing) c.syncing = null;
    }
  }

  // The answer to a sync, a join or a create.
  take(c, result) {
    if (!result || result.error) {
      if (GONE.has(result?.error.code)) want("list").then(({ drop }) => drop(this, c));
      return;
    }
    const { position, after, head, entries, card, reads } = result;
    for (const key of SETTINGS) c[key] = result[key];
    c.strategy = result.multitask_strategy;
    c.first = head - card.history + 1;
    c.followedAt = performance.now();
    const anew = result.verdict !== "resumed" || !c.delivery;
    if (anew) {
      if (result.verdict === "reset" && c.loaded) toast(t("reset"));
      c.startOver();
      c.delivery = new Delivery({ epoch: position.epoch, seq: after });
      c.reads = {};
    } else if (c.loaded) {
      c.divide(c.head, head);
    } else {
      // What is only counted need not be read.
      c.delivery = new Delivery({ epoch: position.epoch, seq: head });
      c.lastActivity = card.last_activity;
    }
    for (const [userId, seq] of Object.entries({ [state.me]: 0, ...reads })) c.mark(userId, seq);
    for (const { user_id, device_id, seq } of result.delivered ?? []) c.deliver(user_id, device_id, seq);
    if (result.draft) c.draft.hear(result.draft);
    const whole = !c.loaded || c.answer.card(card.unfinished_run, anew);
    c.ask(result.interrupts);
    this.#carryOut(c, c.delivery.read(position.epoch, head, pairs(entries)));
    for (const [event, payload] of c.early.splice(0)) this.hear(event, payload);
    if (!whole || (c === state.open && !c.loaded)) this.#syncSoon(c);
    if (c.members) this.#countAgain(c);
  }

  hear(event, payload) {
    const { user_id, seq } = payload;
    const c = state.conversations.get(payload.conversation_id);
    if (!c) return;
    if (c.syncing) c.early.push([event, payload]);
    else if (event === "conversation:entry") {
      if (c.delivery) this.#carryOut(c, c.delivery.hear(payload.epoch, seq, payload));
    } else if (event === "conversation:reset") this.#syncSoon(c);
    else if (event.startsWith("run:")) {
      if (c.loaded && !c.answer.hear(event, payload)) this.#syncSoon(c);
    } else if (event === "interrupt:resolved") c.resolve(payload);
    else if (event === "read:updated") c.mark(user_id, seq);
    else if (event === "delivery:updated") c.deliver(user_id, payload.device_id, seq);
    else if (event === "draft:updated") c.draft.hear(payload.draft);
    else if (event === "typing:updated") here.typing?.heard(c, payload);
    changed();
  }

  // Something was joined, left or offered on another device.
  async listSoon() {
    (await want("list")).readSoon(this);
  }

  // Its members are shown, so the module is here.
  #countAgain(c) {
    here.deeds.loadMembers(this, c).catch(() => {});
  }

  #carryOut(c, { entries, readAfter, reset }) {
    learnNames(entries);
    c.add(entries);
    this.outbox.delivered(c, entries);
    this.handed.add(c);
    here.marks?.tellSoon(this);
    for (const { seq, type, data } of entries) {
      here.report?.tell("entry", { conversation_id: c.id, seq, type, client_id: data.client_id, user_id: data.user_id });
      if (c.members && type.startsWith("member_")) this.#countAgain(c);
    }
    if (reset) this.#syncSoon(c);
    else if (readAfter !== null) this.#readGap(c, c.delivery, readAfter);
    changed();
  }

  async #readGap(c, delivery, after) {
    try {
      const page = await this.connection.ask(c, "conversation:history", { after, limit: PAGE });
      if (c.delivery !== delivery) return;
      this.#carryOut(c, delivery.read(page.epoch, page.head, pairs(page.entries)));
    } catch (error) {
      delivery.readFailed(); // and the next sync asks again
      if (GONE.has(error.code)) this.listSoon();
    }
  }

  async #syncSoon(c) {
    if (this.#syncDue.has(c)) return;
    this.#syncDue.add(c);
    await wait(200);
    this.#syncDue.delete(c);
    if (this.connection.ready && state.conversations.get(c.id) === c) await this.sync([c]).catch(() => {});
  }
}

const pairs = (entries) => entries.map((entry) => [entry.seq, entry]);
