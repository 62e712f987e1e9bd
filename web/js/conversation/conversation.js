// What this page knows of one conversation; it never asks for anything itself.

import { state } from "../state.js";
import { Answer } from "./answer.js";
import { Unread } from "./unread.js";

const FINAL = new Set(["answer", "interrupt", "stopped", "failed"]); // entries that end a run

export class Conversation {
  // And title, access, agent, graph, strategy, approvals, owner
  title = "";
  role = ""; // "" until it is known; "invited", owner or member
  members = null; // once they are asked for
  lastActivity = "";
  last = null; // the newest message or answer: {seq, user_id, name, text}
  unread = new Unread();
  stale = false; // the list has to be read again
  delivery = null; // set while it is followed
  loaded = false; // entries are kept; otherwise only counted
  entries = []; // without gaps, up to delivery.position
  first = 1; // the oldest seq that the log still holds
  read = 0; // this user's read mark
  reads = {}; // everyone's
  delivered = new Map(); // "user_id device_id" -> seq up to which it has everything
  answer = new Answer();
  asked = new Set(); // interrupts that wait for an answer
  resolved = new Map(); // interrupt -> data of the entry that resolves it
  divider = null; // {after, upTo} of what was missed
  syncing = null; // this and the next two: a request is on its way
  paging = false;
  marking = false;
  early = []; // events that came during a catch-up
  followedAt = 0;
  typing = new Map(); // user id -> when to stop showing it

  constructor(id, draft) {
    Object.assign(this, { id, draft });
  }

  get head() {
    return this.delivery?.position.seq ?? 0;
  }

  get hasOlder() {
    return this.entries[0]?.seq > this.first;
  }

  // Entries that follow without a gap.
  add(entries) {
    for (const entry of entries) {
      const { seq, ts, type, data } = entry;
      this.lastActivity = ts;
      if (seq > this.read) this.unread.add(entry, state.me, [state.me, state.name]);
      if (type === "message" || type === "answer") this.sayLast({ seq, ...data });
      if (FINAL.has(type)) this.answer.onFinalEntry(data.run_id);
      if (type === "interrupt") this.ask(data.interrupts);
      if (type === "interrupt_resolved") this.resolve(data);
      this.typing.delete(data.user_id);
    }
    if (this.loaded) this.entries.push(...entries);
  }

  sayLast(one) {
    if (one && one.seq >= (this.last?.seq ?? 0)) this.last = one;
  }

  // What the server's list says of it.
  onListed(item) {
    this.title = item.title;
    this.role = item.role;
    if (item.role === "invited") return;
    this.mark(state.me, item.read);
    this.unread.onListed(item);
    this.stale = false;
    this.sayLast(item.last_entry);
    if (item.draft) this.draft.onRemote(item.draft);
    if (item.last_activity > this.lastActivity) this.lastActivity = item.last_activity;
  }

  // Exactly these interrupts are open, but for those that were answered meanwhile.
  ask(interrupts) {
    this.asked = new Set(interrupts.map((one) => one.interrupt_id).filter((id) => !this.resolved.has(id)));
  }

  resolve(data) {
    this.resolved.set(data.interrupt_id, data);
    this.asked.delete(data.interrupt_id);
  }

  startOver(epoch) {
    this.entries = [];
    this.resolved.clear();
    this.delivered.clear();
    this.loaded = true;
    this.divider = null;
    this.draft.startOver(epoch);
  }

  // Marks never go back.
  mark(userId, seq) {
    this.reads[userId] = Math.max(this.reads[userId] ?? 0, seq);
    if (userId === state.me && seq > this.read && !this.unread.onRead(seq)) this.stale = true;
    this.read = this.reads[state.me] ?? 0;
  }

  markDelivered(userId, deviceId, seq) {
    const key = `${userId} ${deviceId}`;
    this.delivered.set(key, Math.max(this.delivered.get(key) ?? 0, seq));
  }

  divide(after, upTo) {
    if (upTo > after) this.divider = { after, upTo };
  }
}
