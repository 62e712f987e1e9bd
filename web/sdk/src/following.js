// Follows the user's conversations: catches up after every connection and every gap, keeps the list fresh.

import { Conversation } from "./conversation.js";
import { parts } from "./later.js";
import { pauseAfter, random, wait } from "./wait.js";

const SYNC_AT_ONCE = 100; // conversations in one session:sync
const SOON_MS = 200;
const AGAIN_MS = 4000;
const SETTINGS = ["title", "access", "agent", "graph", "approvals", "invites", "owner", "role"];
const GONE = new Set(["unknown_conversation", "not_a_member"]);
export class Following {
  #session = 0; // counts connections: work begun on an earlier one gives up
  asking = new Set(); // conversations whose view is on its way
  #syncDue = new Set();
  unmarked = new Set(); // conversations whose delivery mark is to be sent
  marksDue = 0; // timer
  cursor = null; // of the list as this client knows it
  listDue = 0; // timer

  constructor(client) {
    this.client = client;
  }

  get connection() {
    return this.client.connection;
  }

  get outbox() {
    return this.client.outbox;
  }

  get conversations() {
    return this.client.conversations;
  }

  // Whether something that is shown is not in step yet.
  get working() {
    if (this.catchingUp) return true;
    for (const c of this.conversations.values()) if (c.wanted && c.role && c.stream.syncing && !c.error) return true;
    return false;
  }

  // Whether this connection follows it.
  follows(c) {
    return c.followedIn === this.#session;
  }

  add(id) {
    if (!this.conversations.has(id)) this.conversations.set(id, new Conversation(this.client, id));
    return this.conversations.get(id);
  }

  // A new connection: nothing is followed yet.
  async begin(first) {
    const session = ++this.#session;
    this.catchingUp = true;
    this.asking = new Set();
    for (const c of this.conversations.values()) c.stream.disconnected();
    this.client.changed();
    for (let ms = 1000; session === this.#session && this.connection.ready; ms = 4000) {
      try {
        const known = [...this.conversations.values()].filter((c) => c.stream.position);
        await this.sync(parts.list.loaded?.toFollow(this, known) ?? known);
        await first();
        await (await parts.list.load()).read(this);
        await this.#openWanted();
        if (session !== this.#session) return;
        this.catchingUp = false;
        this.client.error = null;
        this.outbox.pumpAll();
        return this.client.changed();
      } catch (error) {
        if (session === this.#session && this.connection.ready) Object.assign(this.client, { error }).changed();
        await wait(pauseAfter(error, ms));
      }
    }
  }

  // Those that were asked for while there was no connection, or for which there was no place.
  async #openWanted() {
    for (const c of [...this.conversations.values()].filter(({ wanted, loaded }) => wanted && !loaded)) {
      await this.open(c).catch((error) => {
        if (error.retryable) throw error;
      });
    }
  }

  // Follow a conversation with its latest entries, joined first if need be. Rejects when refused. What is on its way is
  // not asked for twice: a second view would begin the conversation again.
  open(c) {
    return (c.opening ??= this.#open(c).finally(() => (c.opening = null)));
  }

  async #open(c) {
    if (c.removed) throw c.error;
    const loaded = c.loaded && !c.error;
    Object.assign(c, { wanted: true, closed: false, error: null });
    this.client.changed(c);
    if (!this.connection.ready || loaded) return;
    try {
      await (c.role && c.role !== "invited" ? this.sync([c]) : this.#join(c));
      if (c.error) throw c.error;
    } catch (error) {
      if (!error.retryable) Object.assign(c, { wanted: !GONE.has(error.code), error });
      throw error;
    } finally {
      this.client.changed(c);
      this.outbox.pump(c.id);
    }
  }

  async #join(c) {
    const request = { conversation_id: c.id, request_id: random(4) };
    if (this.apply(c, await this.during([c], "conversation:join", request))) await this.sync([c]);
  }

  // Follow these, and catch up in each from its position here.
  async sync(conversations) {
    const due = conversations.filter((c) => !this.asking.has(c));
    while (due.length) {
      const batch = due.splice(0, SYNC_AT_ONCE);
      const fresh = (c) => c.wanted && !c.loaded;
      const positions = Object.fromEntries(batch.map((c) => [c.id, fresh(c) ? null : c.stream.position]));
      const { conversations: views } = await this.during(batch, "session:sync", { positions });
      due.push(...batch.filter((c) => this.apply(c, Object.hasOwn(views, c.id) ? views[c.id] : { error: { retryable: true } })));
    }
  }

  // Ask for views of these.
  async during(conversations, event, payload) {
    const asking = this.asking;
    for (const c of conversations) {
      asking.add(c);
      c.stream.syncing = true;
    }
    this.client.changed();
    try {
      return await this.connection.insist(event, payload);
    } finally {
      for (const c of conversations) asking.delete(c);
    }
  }

  // Returns whether another view is needed.
  apply(c, view) {
    if (view.error) {
      if (view.error.retryable) this.#syncSoon(c, AGAIN_MS);
      else c.error = view.error;
      if (GONE.has(view.error.code)) parts.list.load().then(({ remove }) => remove(this, c));
      this.client.changed(c);
      return false;
    }
    c.error = null;
    c.followedIn = this.#session;
    const { verdict, position, after, head, card } = view;
    if (verdict !== "resumed") {
      if (verdict === "reset") {
        if (c.loaded) this.client.emit("reset", c);
        Object.assign(c, { last: null, unread: null });
        this.readListSoon();
      }
      c.startOver(position.epoch);
    } else if (!c.loaded) {
      // Entries are only counted.
      Object.assign(c.stream.position, { seq: head });
      Object.assign(view, { after: head, entries: [], more: false });
      c.lastActivity = card.last_activity;
    } else if (this.catchingUp) c.divide(after, head);
    c.followedAt = performance.now();
    c.verdict = verdict;
    this.#takeView(c, view);
    const { entries, sync } = c.stream.on("answer", view);
    this.#handOn(c, entries);
    this.#reloadMembers(c);
    if (c.stale && !this.catchingUp) this.readListSoon();
    this.client.changed(c);
    return sync || (c.wanted && !c.loaded);
  }

  #takeSettings(c, settings) {
    for (const key of SETTINGS) c[key] = settings[key] ?? c[key];
    c.strategy = settings.multitask_strategy ?? c.strategy;
  }

  #takeView(c, view) {
    this.#takeSettings(c, view);
    c.first = view.head - view.card.history + 1;
    for (const [userId, seq] of Object.entries({ [this.client.me]: 0, ...view.reads })) c.mark(userId, seq);
    for (const { user_id, device_id, seq } of view.delivered ?? []) c.markDelivered(user_id, device_id, seq);
    if (view.draft) c.draft.onRemote(view.draft);
  }

  onEvent(event, payload) {
    const { conversation_id, n } = payload;
    const c = this.conversations.get(conversation_id);
    if (!c) return;
    if (event === "conversation:synced") this.#takeView(c, payload);
    if (n || event === "conversation:reset") {
      c.over = !n;
      const { entries, sync } = c.stream.on(event, payload);
      if (entries.length) this.#handOn(c, entries);
      if (sync) this.#syncSoon(c);
    } else if (event === "marks:moved") this.#move(c, payload);
    else if (event === "list:changed") Object.assign(c, { pinned: payload.pinned, archived: payload.archived });
    else if (event === "draft:changed") c.draft.onRemote(payload.draft);
    else if (event === "typing:changed") parts.typing.load().then(({ onTyping }) => onTyping(this.client, c, payload));
  }

  #move(c, { user_id, device_id, read, delivered }) {
    if (read !== undefined) c.mark(user_id, read);
    if (c.stale) this.readListSoon();
    if (delivered !== undefined) c.markDelivered(user_id, device_id, delivered);
  }

  // Members are known when the module that reads them is there.
  setOnline(payload) {
    parts.actions.loaded?.setOnline(this, payload);
  }

  async readListSoon() {
    (await parts.list.load()).readSoon(this);
  }

  #reloadMembers(c) {
    if (c.members) parts.actions.loaded.reloadMembersSoon(this.client, c);
  }

  #handOn(c, entries) {
    this.client.learnNames(entries);
    c.add(entries);
    this.outbox.delivered(c, entries);
    this.unmarked.add(c);
    parts.deliveryMarks.load().then(({ sendSoon }) => sendSoon(this));
    if (c.stale && !this.catchingUp) this.readListSoon();
    for (const entry of entries) {
      this.client.emit("entry", c, entry);
      if (entry.type.startsWith("member_")) this.#reloadMembers(c);
      if (entry.type === "conversation_renamed") c.title = entry.data.title;
      if (entry.type === "conversation_configured") this.#takeSettings(c, entry.data);
    }
  }

  async #syncSoon(c, ms = SOON_MS) {
    if (this.#syncDue.has(c)) return;
    this.#syncDue.add(c);
    await wait(ms);
    this.#syncDue.delete(c);
    if (!this.connection.ready || this.conversations.get(c.id) !== c) return;
    await this.sync([c]).catch(() => this.#syncSoon(c, AGAIN_MS));
  }
}
