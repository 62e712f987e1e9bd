// One conversation: what is known of it, what it shows at this moment, and what can be done in it.

import { failure } from "./connection.js";
import { Draft } from "./draft.js";
import { parts } from "./later.js";
import { Stream } from "./stream.js";
import { random } from "./wait.js";

/**
 * What a request is answered with.
 * @template {keyof import("./protocol.js").Acks} Event
 * @typedef {import("./types.js").Ack<Event>} Ack
 */

const NOT_SHOWN = new Set(["interrupt_resolved", "message_deleted", "reaction_changed"]);

// Other fields of a message's request.
const besides = (replyTo, files) => ({ ...(replyTo && { reply_to: replyTo }), ...(files?.length && { files }) });

// As the server's list has them in the place of a text.
const fileNames = ({ files = [] }) => files.map(({ name }) => name).join(", ");

const notLoaded = () => Object.assign(new Error("The message is not loaded: give replyTo and files."), { code: "not_found" });

// What the server would refuse for sure is thrown at once, before the field that it was written in is emptied.
function check({ removed, error, client }, text, files) {
  const refuse = (code, message) => {
    throw failure({ code, message, retryable: false });
  };
  if (removed) refuse(error.code, error.message);
  if (typeof text !== "string" || (!text.trim() && !files?.length)) refuse("invalid_payload", "There is nothing to send.");
  const { text_bytes: most } = client.limits;
  if (new TextEncoder().encode(text).length > most) refuse("payload_too_large", `The text is longer than ${most} bytes.`);
}

// What is left of an entry whose text was deleted.
function bare({ pages, data, ...entry }) {
  const { user_id, name, run_id, request_id } = data;
  return { ...entry, data: { user_id, name, run_id, request_id, text: "", deleted: true } };
}

export class Conversation {
  title = "";
  /** @type {import("./types.js").Settings["access"] | undefined} */
  access;
  /** @type {import("./types.js").Settings["agent"] | undefined} */
  agent;
  /** @type {string | undefined} */
  graph;
  /** @type {import("./types.js").Settings["multitask_strategy"] | undefined} */
  strategy;
  /** @type {import("./types.js").Settings["approvals"] | undefined} */
  approvals;
  /** @type {import("./types.js").Settings["invites"] | undefined} */
  invites;
  /** @type {string | undefined} */
  owner;
  role = ""; // "" until it is known; "invited", owner or member
  /** @type {import("./types.js").Member[] | null} once they are asked for */
  members = null;
  lastActivity = "";
  /** @type {import("./types.js").Summary["last"]} the newest message or answer */
  last = null;
  /** @type {import("./unread.js").Unread | null} what the list has counted, and what came since */
  unread = null;
  pinned = false;
  archived = false;
  stale = false; // the list has to be read again
  stream = new Stream();
  wanted = false; // its entries are to be loaded
  loaded = false; // entries are kept; otherwise only counted
  /** @type {import("./types.js").ProtocolError | null} why it could not be opened, or is no longer this user's */
  error = null;
  removed = false; // the user is no longer in it, or it was deleted
  closed = false; // by `close`
  /** @type {Promise<void> | null} of `open` */
  opening = null;
  /** @type {"resumed" | "snapshot" | "reset" | null} of the last catch-up */
  verdict = null;
  /** @type {any[]} without gaps, up to stream.position */
  entries = [];
  /** @type {any[] | null} an earlier stretch without gaps, that is shown instead: see loadAt */
  aside = null;
  first = 1; // the oldest seq that the log still holds
  read = 0; // this user's read mark
  reads = new Map(); // everyone's
  delivered = new Map(); // "user_id device_id" -> seq up to which it has everything
  resolved = new Map(); // interrupt -> {value, by}
  deleted = new Set(); // seqs of what was deleted: a page that was read before still has it
  /** @type {{after: number, upTo: number} | null} of what was missed */
  divider = null;
  followedAt = 0;
  typing = new Map(); // user id -> timer that ends it
  marked = 0; // counts changes of `reads` and `delivered`
  revised = 0; // counts entries that were replaced
  /** @type {any} the last one */
  snapshot = null;
  /** @type {any} the last one, of the client's snapshot */
  summary = null;
  made = {}; // what snapshots are made of, for as long as it stays
  outdated = true; // something may have changed since the last snapshot

  /**
   * @param {import("./client.js").Client} client
   * @param {string} id
   * @param {Pick<import("./types.js").Store, "draft" | "keepDraft">} [store] where its draft is kept
   */
  constructor(client, id, store = client.store) {
    this.client = client;
    this.id = id;
    this.store = store;
    const save = async (text) =>
      (await client.connection.request("draft:save", { request_id: random(4), conversation_id: id, text })).rev;
    const keep = (kept) => client.me && store.keepDraft(this.#draftKey, kept);
    this.draft = new Draft(save, () => client.changed(this), keep, () => !client.ended);
    this.restoreDraft();
  }

  get #draftKey() {
    return `${this.client.me} ${this.client.deviceId} ${this.id}`;
  }

  // What was typed and not saved before a reload, once it is known who the user is.
  async restoreDraft() {
    if (this.client.me) this.draft.restore(await this.store.draft(this.#draftKey));
  }

  // What it shows

  /**
   * What is known: the same object for as long as nothing changes.
   * @type {() => import("./types.js").ConversationSnapshot}
   */
  getSnapshot = () => {
    if (this.outdated) this.snapshot = this.client.options.snapshots.ofConversation(this, this.snapshot);
    this.outdated = false;
    return this.snapshot;
  };

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

  /** Forget its entries and members, which `open` reads again. The list goes on counting what is new. */
  close() {
    Object.assign(this, { wanted: false, closed: true, loaded: false, entries: [], aside: null, members: null, divider: null });
    const { conversations } = this.client;
    if (!this.role && !this.opening && conversations.get(this.id) === this) conversations.delete(this.id);
    this.client.changed(this);
  }

  /**
   * Send a message, also while offline. Returns its `request_id`. Throws `{code}` when it is known that it would be refused.
   * @param {string} text
   * @param {{replyTo?: number, files?: string[]}} [more] the seq that it replies to; ids that `upload` gave
   */
  send(text, { replyTo, files } = {}) {
    check(this, text, files);
    const requestId = this.client.outbox.add(this.id, text, undefined, besides(replyTo, files));
    this.draft.clear();
    this.divider = null;
    this.setTyping(false);
    return requestId;
  }

  /**
   * Replace this user's last message, also while offline. Returns the `request_id`. What the message replies to and its
   * files stay, unless others are given: 0 and `[]` take them away.
   * @param {number} seq
   * @param {string} text
   * @param {{replyTo?: number, files?: string[]}} [more]
   */
  edit(seq, text, { replyTo, files } = {}) {
    const had = this.entryAt(seq)?.data;
    if (!had && (replyTo === undefined || files === undefined)) throw notLoaded();
    replyTo ??= had.reply_to;
    files ??= had.files?.map(({ file_id }) => file_id);
    check(this, text, files);
    return this.client.outbox.add(this.id, text, seq, besides(replyTo, files));
  }

  /**
   * Send a refused message again, or drop it.
   * @param {{request_id: string}} item one of `pending`
   */
  sendAgain({ request_id }) {
    const item = this.client.outbox.items.find((one) => one.request_id === request_id);
    if (!item) return;
    check(this, item.text, item.more?.files);
    this.client.outbox.retry(item);
  }
  /** @param {{request_id: string}} item one of `pending` */
  drop({ request_id }) {
    this.client.outbox.remove((one) => one.request_id === request_id);
    this.client.changed(this);
  }

  /** @param {string} text */
  saveDraft(text) {
    this.draft.edit(text);
  }

  /** @param {boolean} typing */
  async setTyping(typing) {
    (parts.typing.loaded ?? (await parts.typing.load())).setTyping(this.client, this, typing);
  }

  /**
   * Delete a message of this user's, or as the owner.
   * @param {number} seq
   * @returns {Promise<Ack<"message:delete">>}
   */
  delete(seq) {
    return this.#request("remove", seq);
  }
  /** @returns {Promise<void>} */
  leave() {
    return this.#request("leave");
  }
  /**
   * End a run; without one, that which is being written.
   * @param {{run_id: string} | string} [run] or its id
   * @returns {Promise<Ack<"run:stop"> | undefined>}
   */
  stop(run) {
    return this.#request("stop", run);
  }
  /**
   * Have the turn that ended with this entry answered again.
   * @param {number} seq
   * @returns {Promise<Ack<"run:regenerate">>}
   */
  regenerate(seq) {
    return this.#request("regenerate", seq);
  }
  /**
   * Answer a question. Resolves with how it was answered, which is another answer when that came first.
   * @param {string} interruptId
   * @param {unknown} value
   * @returns {Promise<import("./types.js").Resolved>}
   */
  respond(interruptId, value) {
    return this.#request("respond", interruptId, value);
  }
  /**
   * Read the members, which are kept up to date from then on.
   * @returns {Promise<import("./types.js").Member[]>}
   */
  loadMembers() {
    return this.#act("loadMembers");
  }
  /**
   * Read the page before the oldest loaded entry.
   * @returns {Promise<void>}
   */
  loadBefore() {
    return this.#request("loadOlder");
  }
  /**
   * Show another stretch of the log: around an entry, or from a time on (ISO 8601). Resolves with the seq to go to, or
   * null. `loadBefore` and `loadAfter` go on from there, `showLatest` goes back to the end.
   * @param {{seq?: number, since?: string}} place
   * @returns {Promise<number | null>}
   */
  loadAt({ seq, since }) {
    return this.#request("loadAt", { seq, since });
  }
  /** @returns {Promise<void>} */
  loadAfter() {
    return this.#request("loadNewer");
  }
  showLatest() {
    this.aside = null;
    this.client.changed(this);
  }
  /**
   * All has been read; or all up to `seq`.
   * @param {number} [seq]
   * @returns {Promise<void>}
   */
  markRead(seq) {
    return this.#request("markRead", seq);
  }

  /**
   * Upload a file, which a message sent within an hour may have: `send(text, { files: [file_id] })`.
   * @param {Blob} file
   * @param {{name?: string, progress?: (part: number) => void, signal?: AbortSignal}} [more] `progress`: told how much
   *   was sent, 0..1
   * @returns {Promise<import("./protocol.js").MessageFile>}
   */
  upload(file, more) {
    return this.#act("upload", file, more);
  }
  /**
   * An address of a message's file, which can be read without a token for some minutes.
   * @param {string} fileId
   * @returns {Promise<string>}
   */
  fileUrl(fileId) {
    return this.#act("fileUrl", fileId);
  }
  /**
   * Give a message or an answer a reaction, one emoji, or take it back.
   * @param {number} seq
   * @param {string} reaction
   * @param {boolean} [set]
   * @returns {Promise<Ack<"reaction:set">>}
   */
  react(seq, reaction, set = true) {
    return this.#act("set", "reaction:set", { seq, reaction, set });
  }
  /**
   * @param {string} title
   * @returns {Promise<Ack<"conversation:rename">>}
   */
  rename(title) {
    return this.#act("set", "conversation:rename", { title });
  }
  /**
   * @param {Partial<import("./types.js").Settings>} settings
   * @returns {Promise<Ack<"conversation:configure">>}
   */
  configure(settings) {
    return this.#act("set", "conversation:configure", settings);
  }
  /**
   * @param {string[]} userIds
   * @returns {Promise<Ack<"conversation:invite">>}
   */
  invite(userIds) {
    return this.#act("set", "conversation:invite", { user_ids: userIds });
  }
  /**
   * End another user's membership, or withdraw an invitation, as the owner.
   * @param {string} userId
   * @returns {Promise<Ack<"members:remove">>}
   */
  removeMember(userId) {
    return this.#act("set", "members:remove", { user_id: userId });
  }
  /**
   * Put it first in this user's list, or back to its place.
   * @param {boolean} [pinned]
   * @returns {Promise<Ack<"list:set">>}
   */
  pin(pinned = true) {
    return this.#act("arrange", { pinned });
  }
  /**
   * Put it aside in this user's list, or take it back.
   * @param {boolean} [archived]
   * @returns {Promise<Ack<"list:set">>}
   */
  archive(archived = true) {
    return this.#act("arrange", { archived });
  }
  /**
   * Search what was said in it, the newest first; `before`: the `next` of the page before.
   * @param {string} query
   * @param {{before?: string, limit?: number}} [more]
   * @returns {Promise<Ack<"message:search">>}
   */
  search(query, more) {
    return this.#act("search", query, more);
  }
  /**
   * Delete it for everybody, as the owner.
   * @returns {Promise<Ack<"conversation:delete">>}
   */
  deleteConversation() {
    return this.#act("set", "conversation:delete");
  }

  async #request(name, ...given) {
    return (await parts.requests.now())[name](this.client.connection, this, ...given);
  }

  async #act(name, ...given) {
    return (await parts.actions.now())[name](this.client, this, ...given);
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

  // Of those that are loaded.
  entryAt(seq) {
    const at = (list) => list?.[seq - list[0]?.seq];
    return at(this.entries) ?? at(this.aside);
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
      if (type === "message" || type === "answer") this.sayLast({ seq, ...data, text: data.text || fileNames(data) });
      this.typing.delete(data.user_id);
    }
    if (this.loaded) this.entries.push(...entries);
    this.learn(entries);
  }

  // How questions were answered, and what was deleted, also of older entries. Of a page nothing else comes to be known.
  learn(entries) {
    for (const { type, data } of entries) {
      if (type === "interrupt_resolved") this.resolved.set(data.interrupt_id, data);
      if (type === "message_deleted") data.deletes.forEach((seq) => this.#forget(seq));
    }
    entries.forEach((entry, at) => this.deleted.has(entry.seq) && (entries[at] = bare(entry)));
  }

  // Of what was deleted nothing stays here. In another epoch it is not among `entries`.
  #forget(seq) {
    this.deleted.add(seq);
    for (const list of [this.entries, this.aside]) {
      const at = seq - list?.[0]?.seq;
      if (list?.[at]) list[at] = bare(list[at]);
    }
    if (this.last && this.last.seq === seq) this.last = { ...this.last, text: "", deleted: true };
    this.revised++;
  }

  sayLast(one) {
    if (one && one.seq >= (this.last?.seq ?? 0)) this.last = one;
  }

  // From a snapshot; in another epoch marks are others, too.
  startOver(epoch) {
    this.entries = [];
    this.aside = null;
    this.loaded = this.wanted; // it may have been closed meanwhile
    this.divider = null;
    this.draft.startOver(epoch);
    if (epoch === this.stream.position?.epoch) return;
    for (const known of [this.resolved, this.reads, this.delivered, this.deleted]) known.clear();
    this.read = 0;
    this.marked++;
  }

  // Marks never go back.
  mark(userId, seq) {
    if (!this.#move(this.reads, userId, seq) || userId !== this.client.me || seq <= this.read) return;
    if (this.unread?.onRead(seq) === false) this.stale = true;
    this.read = seq;
  }

  markDelivered(userId, deviceId, seq) {
    this.#move(this.delivered, `${userId} ${deviceId}`, seq);
  }

  #move(marks, key, seq) {
    if (seq <= marks.get(key)) return false;
    this.marked++;
    return marks.set(key, seq);
  }

  // A catch-up of several pages is one.
  divide(after, upTo) {
    if (this.divider && after < this.divider.upTo) ({ after } = this.divider);
    if (upTo > after) this.divider = { after, upTo };
  }
}
