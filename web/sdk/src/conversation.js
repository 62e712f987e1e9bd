// One conversation: what is known of it, what it shows at this moment, and what can be done in it.

import { Draft } from "./draft.js";
import { parts } from "./later.js";
import { Stream } from "./stream.js";
import { random } from "./wait.js";

const NOT_SHOWN = new Set(["interrupt_resolved", "message_deleted", "reaction_changed"]);

const LISTED = ["title", "role", "access", "agent", "graph", "pinned", "archived"];

export class Conversation {
  // And access, agent, graph, strategy, approvals, invites, owner
  title = "";
  role = ""; // "" until it is known; "invited", owner or member
  members = null; // once they are asked for
  lastActivity = "";
  last = null; // the newest message or answer: {seq, user_id, name, text}
  unread = null; // what the list has counted, and what came since
  pinned = false;
  archived = false;
  stale = false; // the list has to be read again
  stream = new Stream();
  wanted = false; // its entries are to be loaded
  loaded = false; // entries are kept; otherwise only counted
  error = null; // why it could not be opened
  verdict = null; // of the last catch-up: resumed, snapshot or reset
  entries = []; // without gaps, up to stream.position
  aside = null; // an earlier stretch without gaps, that is shown instead: see loadAt
  first = 1; // the oldest seq that the log still holds
  read = 0; // this user's read mark
  reads = new Map(); // everyone's
  delivered = new Map(); // "user_id device_id" -> seq up to which it has everything
  resolved = new Map(); // interrupt -> {value, by}
  divider = null; // {after, upTo} of what was missed
  followedAt = 0;
  typing = new Map(); // user id -> timer that ends it
  snapshot = null;

  /**
   * @param {import("./client.js").Client} client
   * @param {string} id
   */
  constructor(client, id) {
    this.client = client;
    this.id = id;
    const { store } = client;
    const save = async (text) =>
      (await client.connection.request("draft:save", { request_id: random(4), conversation_id: id, text })).rev;
    const key = () => `${client.me} ${client.deviceId} ${id}`; // another user may come
    const keep = (kept) => store.keepDraft(key(), kept);
    this.draft = new Draft(save, () => client.changed(this), keep, store.draft(key()), () => !client.ended);
  }

  // What it shows

  /**
   * What is known: the same object for as long as nothing changes.
   * @type {() => import("./types.js").ConversationSnapshot}
   */
  getSnapshot = () => (this.snapshot ??= this.client.options.snapshots.ofConversation(this));

  /**
   * `listener()` is called soon after something has changed, here or of the connection. Returns what ends that.
   * @type {(listener: () => void) => () => void}
   */
  subscribe = (listener) => {
    let last = this.getSnapshot();
    return this.client.subscribe(() => {
      if (last !== (last = this.getSnapshot())) listener();
    });
  };

  // What can be done in it. What is sent waits for the connection; the others reject with {code, message, retryable}.

  /** Follow it, joined first if need be, with its latest entries. Rejects when refused. */
  open() {
    return this.client.following.open(this);
  }

  /**
   * Send a message, also while offline. Returns its `request_id`.
   * @param {string} text
   * @param {{replyTo?: number, files?: string[]}} [more] the seq that it replies to; ids of files that were uploaded
   */
  send(text, { replyTo = 0, files = [] } = {}) {
    const more = { ...(replyTo && { reply_to: replyTo }), ...(files.length && { files }) };
    const requestId = this.client.outbox.add(this.id, text, undefined, more);
    this.draft.clear();
    this.divider = null;
    this.setTyping(false);
    return requestId;
  }

  /** Replace this user's last message, also while offline. Returns the `request_id`. */
  edit(seq, text) {
    return this.client.outbox.add(this.id, text, seq);
  }

  /** Send a refused message again, or drop it. `item`: one of `pending`. */
  sendAgain(item) {
    this.client.outbox.retry(item);
  }
  drop(item) {
    this.client.outbox.remove((other) => other === item);
  }

  saveDraft(text) {
    this.draft.edit(text);
  }

  async setTyping(typing) {
    (parts.typing.loaded ?? (await parts.typing.load())).setTyping(this.client, this, typing);
  }

  /** Delete a message of this user's, or as the owner. */
  delete(seq) {
    return this.#request("remove", seq);
  }
  leave() {
    return this.#request("leave");
  }
  /** End a run; without one, that which is being written. */
  stop(run) {
    return this.#request("stop", run);
  }
  /** Have the turn that ended with this entry answered again. */
  regenerate(seq) {
    return this.#request("regenerate", seq);
  }
  /** Answer a question. When another answer came first it is in `resolved`. */
  respond(interruptId, value) {
    return this.#request("respond", interruptId, value);
  }
  /** Read the members, which are kept up to date from then on. */
  loadMembers() {
    return this.#request("loadMembers");
  }
  /** Read the page before the oldest loaded entry. */
  loadBefore() {
    return this.#request("loadOlder");
  }
  /**
   * Show another stretch of the log: around an entry, or from a time on (ISO 8601). Resolves with the seq to go to, or
   * null. `loadBefore` and `loadAfter` go on from there, `showLatest` goes back to the end.
   */
  loadAt({ seq, since }) {
    return this.#request("loadAt", { seq, since });
  }
  loadAfter() {
    return this.#request("loadNewer");
  }
  showLatest() {
    this.aside = null;
    this.client.changed(this);
  }
  /** All has been read; or all up to `seq`. */
  markRead(seq) {
    return this.#request("markRead", seq);
  }

  async #request(name, ...given) {
    return (await parts.requests.now())[name](this.client.connection, this, ...given);
  }

  get head() {
    return this.stream.position?.seq ?? 0;
  }

  get shown() {
    return this.aside ?? this.entries;
  }

  get hasOlder() {
    return this.shown[0]?.seq > this.first;
  }

  // Interrupts that wait for an answer.
  get asked() {
    return [...this.stream.interrupts.keys()].filter((id) => !this.resolved.has(id));
  }

  // Resolutions are shown with their question, deletions and reactions with what they are of.
  isCurrent = ({ seq, type }) => !NOT_SHOWN.has(type) && !this.stream.hidden.has(seq);

  // What comes to it

  // Entries that follow without a gap.
  add(entries) {
    const { me, name } = this.client;
    for (const entry of entries) {
      const { seq, ts, type, data, hides } = entry;
      this.lastActivity = ts;
      if (seq > this.read && this.unread?.add(entry, me, [me, name]) === false) this.stale = true;
      if (hides?.includes(this.last?.seq)) Object.assign(this, { last: null, stale: true });
      if (type === "message" || type === "answer") this.sayLast({ seq, ...data });
      this.typing.delete(data.user_id);
    }
    if (this.loaded) this.entries.push(...entries);
    this.learn(entries);
  }

  // How questions were answered, and what was deleted, also of older entries.
  learn(entries) {
    for (const { type, data } of entries) {
      if (type === "interrupt_resolved") this.resolved.set(data.interrupt_id, data);
      if (type !== "message_deleted") continue;
      for (const list of [this.entries, this.aside]) if (list) this.#forget(list, data.deletes);
    }
  }

  #forget = async (entries, seqs) => (await parts.requests.load()).forget(this, entries, seqs);

  sayLast(one) {
    if (one && one.seq >= (this.last?.seq ?? 0)) this.last = one;
  }

  // What the server's list says of it.
  onListed(item) {
    for (const key of LISTED) this[key] = item[key] ?? this[key];
    if (item.role === "invited") return;
    this.mark(this.client.me, item.read);
    this.unread ??= new parts.list.loaded.Unread();
    this.unread.onListed(item);
    this.stale = false;
    this.sayLast(item.last_entry);
    if (item.draft) this.draft.onRemote(item.draft);
    if (item.last_activity > this.lastActivity) this.lastActivity = item.last_activity;
  }

  // From a snapshot; in another epoch marks are others, too.
  startOver(epoch) {
    this.entries = [];
    this.aside = null;
    this.loaded = true;
    this.divider = null;
    this.draft.startOver(epoch);
    if (epoch === this.stream.position?.epoch) return;
    for (const map of [this.resolved, this.reads, this.delivered]) map.clear();
  }

  // Marks never go back.
  mark(userId, seq) {
    const { me } = this.client;
    this.reads.set(userId, Math.max(this.reads.get(userId) ?? 0, seq));
    if (userId === me && seq > this.read && this.unread?.onRead(seq) === false) this.stale = true;
    this.read = this.reads.get(me) ?? 0;
  }

  markDelivered(userId, deviceId, seq) {
    const key = `${userId} ${deviceId}`;
    this.delivered.set(key, Math.max(this.delivered.get(key) ?? 0, seq));
  }

  // A catch-up of several pages is one.
  divide(after, upTo) {
    if (after < this.divider?.upTo) ({ after } = this.divider);
    if (upTo > after) this.divider = { after, upTo };
  }
}
