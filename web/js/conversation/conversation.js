// What this page knows of one conversation; it never asks for anything itself.

import { lazy } from "../lazy.js";
import { state } from "../state.js";
import { Stream } from "./stream.js";
import { Unread } from "./unread.js";

const LISTED = ["title", "role", "access", "agent", "graph", "pinned", "archived"];

export class Conversation {
  // And title, access, agent, graph, strategy, approvals, invites, owner
  title = "";
  role = ""; // "" until it is known; "invited", owner or member
  members = null; // once they are asked for
  lastActivity = "";
  last = null; // the newest message or answer: {seq, user_id, name, text}
  unread = new Unread();
  pinned = false;
  archived = false;
  stale = false; // the list has to be read again
  stream = new Stream();
  loaded = false; // entries are kept; otherwise only counted
  entries = []; // without gaps, up to stream.position
  aside = null; // entries of an earlier stretch, without gaps, that is shown instead: a hit of a search
  first = 1; // the oldest seq that the log still holds
  read = 0; // this user's read mark
  reads = new Map(); // everyone's
  delivered = new Map(); // "user_id device_id" -> seq up to which it has everything
  resolved = new Map(); // interrupt -> {value, by}
  divider = null; // {after, upTo} of what was missed
  followedAt = 0;
  typing = new Map(); // user id -> when to stop showing it

  constructor(id, draft) {
    Object.assign(this, { id, draft });
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

  // Resolutions are shown with their question, deletions in the place of what was deleted.
  isCurrent = ({ seq, type }) => type !== "interrupt_resolved" && type !== "message_deleted" && !this.stream.hidden.has(seq);

  // Entries that follow without a gap.
  add(entries) {
    for (const entry of entries) {
      const { seq, ts, type, data, hides } = entry;
      this.lastActivity = ts;
      if (seq > this.read && !this.unread.add(entry, state.me, [state.me, state.name])) this.stale = true;
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

  #forget = async (entries, seqs) => (await lazy.requests.load()).forget(this, entries, seqs);

  sayLast(one) {
    if (one && one.seq >= (this.last?.seq ?? 0)) this.last = one;
  }

  // What the server's list says of it.
  onListed(item) {
    for (const key of LISTED) this[key] = item[key] ?? this[key];
    if (item.role === "invited") return;
    this.mark(state.me, item.read);
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
    this.reads.set(userId, Math.max(this.reads.get(userId) ?? 0, seq));
    if (userId === state.me && seq > this.read && !this.unread.onRead(seq)) this.stale = true;
    this.read = this.reads.get(state.me) ?? 0;
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
