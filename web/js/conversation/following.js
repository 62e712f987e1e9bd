// Follows the person's conversations: catches up after every connection, reads gaps, keeps the list fresh.

import { toast } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { changed, hooks, learnNames, state, wait } from "../state.js";
import { Conversation } from "./conversation.js";
import { Delivery } from "./delivery.js";
import { Draft } from "./draft.js";
import { keepDraft, keptDraft } from "./kept_drafts.js";
import { Unread } from "./unread.js";

const SYNC_AT_ONCE = 100; // conversations in one session:sync
const PAGE = 200;
const SETTINGS = ["title", "access", "agent", "graph", "approvals", "owner", "role"];
const GONE = new Set(["unknown_conversation", "not_a_member"]);

export class Following {
  #session = 0; // counts connections: work begun on an earlier one gives up
  #syncDue = new Set();
  unmarked = new Set(); // conversations whose delivery mark is to be sent

  constructor(connection, outbox) {
    Object.assign(this, { connection, outbox });
  }

  add(id) {
    const save = async (text) => (await this.connection.request("draft:save", { conversation_id: id, text })).rev;
    const { conversations } = state;
    if (!conversations.has(id)) {
      const draft = new Draft(save, changed, (kept) => keepDraft(id, kept), keptDraft(id));
      conversations.set(id, new Conversation(id, draft));
    }
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
        await (await lazy.list.load()).read(this);
        if (session !== this.#session) return;
        this.catchingUp = false;
        this.outbox.pumpAll();
        return changed();
      } catch {
        await wait(ms);
      }
    }
  }

  // Follow these, and catch up in each from its position here.
  async sync(conversations) {
    const waiting = conversations.filter((c) => !c.syncing);
    while (waiting.length) {
      const batch = waiting.splice(0, SYNC_AT_ONCE);
      const fresh = (c) => !c.delivery || (c === state.open && !c.loaded);
      const positions = Object.fromEntries(batch.map((c) => [c.id, fresh(c) ? null : c.delivery.position]));
      const ask = () => this.connection.insist("session:sync", { positions });
      const { conversations: results } = await this.during(batch, ask);
      for (const c of batch) this.apply(c, results[c.id]);
    }
  }

  // Follow all of the person's conversations, and these from where the list says that they stand.
  async followAll(conversations) {
    const due = new Map(conversations.filter((c) => !c.syncing).map((c) => [c.id, c]));
    if (!due.size) return;
    await this.during([...due.values()], async () => {
      for (let after = null, answer; !answer || after; after = answer.next) {
        answer = await this.connection.insist("session:sync", { positions: null, after, entries: 0, marks: false });
        for (const [id, result] of Object.entries(answer.conversations)) {
          const c = due.get(id);
          if (!c) continue;
          // What came since is counted by the list.
          if (result.head > c.head) this.readListSoon();
          c.syncing = null;
          this.apply(c, result.error ? result : { ...result, verdict: "resumed" });
        }
      }
    });
  }

  // Events that come during a catch-up wait for its end; one of an earlier connection does not count.
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

  // Apply the answer to a sync, a join or a create.
  apply(c, result) {
    if (!result || result.error) {
      if (GONE.has(result?.error.code)) lazy.list.load().then(({ remove }) => remove(this.outbox, c));
      return;
    }
    const { position, after, head, entries, card, reads } = result;
    for (const key of SETTINGS) c[key] = result[key];
    c.strategy = result.multitask_strategy;
    c.first = head - card.history + 1;
    c.followedAt = performance.now();
    const startsOver = result.verdict !== "resumed" || !c.delivery;
    if (startsOver) {
      if (result.verdict === "reset") {
        if (c.loaded) toast(t("reset"));
        Object.assign(c, { last: null, unread: new Unread() });
        this.readListSoon();
      }
      c.startOver(position.epoch);
      c.delivery = new Delivery({ epoch: position.epoch, seq: after });
      c.reads = {};
    } else if (c.loaded) {
      c.divide(c.head, head);
    } else {
      // Entries that are only counted are not read.
      c.delivery = new Delivery({ epoch: position.epoch, seq: head });
      c.lastActivity = card.last_activity;
    }
    for (const [userId, seq] of Object.entries({ [state.me]: 0, ...reads })) c.mark(userId, seq);
    for (const { user_id, device_id, seq } of result.delivered ?? []) c.markDelivered(user_id, device_id, seq);
    if (result.draft) c.draft.onRemote(result.draft);
    const whole = !c.loaded || c.answer.onCard(card.unfinished_run, startsOver);
    c.ask(result.interrupts);
    this.#deliver(c, c.delivery.onPage(position.epoch, head, pairs(entries)));
    for (const [event, payload] of c.early.splice(0)) this.onEvent(event, payload);
    if (!whole || (c === state.open && !c.loaded)) this.#syncSoon(c);
    if (c.members) this.#reloadMembers(c);
    if (c.stale && !this.catchingUp) this.readListSoon();
  }

  onEvent(event, payload) {
    const { seq } = payload;
    const c = state.conversations.get(payload.conversation_id);
    if (!c) return;
    if (c.syncing) c.early.push([event, payload]);
    else if (event === "entry:appended") {
      if (c.delivery) this.#deliver(c, c.delivery.onEntry(payload.epoch, seq, payload));
    } else if (event === "conversation:reset") this.#syncSoon(c);
    else if (event.startsWith("run:")) {
      if (c.loaded && !c.answer.onEvent(event, payload)) this.#syncSoon(c);
    } else if (event === "interrupt:resolved") c.resolve(payload);
    else if (event === "marks:moved") this.#move(c, payload);
    else if (event === "draft:changed") c.draft.onRemote(payload.draft);
    else if (event === "typing:changed") lazy.typing.loaded?.onTyping(c, payload);
    changed();
  }

  #move(c, { user_id, device_id, read, delivered }) {
    if (read !== undefined) c.mark(user_id, read);
    if (c.stale) this.readListSoon();
    if (delivered !== undefined) c.markDelivered(user_id, device_id, delivered);
  }

  async readListSoon() {
    (await lazy.list.load()).readSoon(this);
  }

  async #reloadMembers(c) {
    const { loadMembers } = await lazy.requests.load();
    await loadMembers(this.connection, c).catch(() => {});
  }

  #deliver(c, { entries, readAfter, reset }) {
    learnNames(entries);
    c.add(entries);
    this.outbox.delivered(c, entries);
    this.unmarked.add(c);
    lazy.deliveryMarks.loaded?.sendSoon(this.connection, this.unmarked);
    for (const entry of entries) {
      hooks.onEntry(c.id, entry);
      if (c.members && entry.type.startsWith("member_")) this.#reloadMembers(c);
    }
    if (reset) this.#syncSoon(c);
    else if (readAfter !== null) this.#readGap(c, c.delivery, readAfter);
    changed();
  }

  async #readGap(c, delivery, after) {
    try {
      const page = await this.connection.ask(c, "history:read", { after, limit: PAGE });
      if (c.delivery !== delivery) return;
      this.#deliver(c, delivery.onPage(page.epoch, page.head, pairs(page.entries)));
    } catch (error) {
      delivery.readFailed(); // the next sync asks again
      if (GONE.has(error.code)) this.readListSoon();
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
