// What this page knows of one conversation; it never asks for anything itself.

import { state } from "../state.js";
import { Stream } from "./stream.js";

export class Conversation {
  // And title, access, agent, graph, strategy, approvals, owner
  title = "";
  role = ""; // "" until it is known; "invited", owner or member
  members = null; // once they are asked for
  lastActivity = "";
  stream = new Stream();
  loaded = false; // entries are kept; otherwise only counted
  entries = []; // without gaps, up to stream.position
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

  get unread() {
    return Math.max(0, this.head - Math.max(this.read, this.first - 1));
  }

  get hasOlder() {
    return this.entries[0]?.seq > this.first;
  }

  // Interrupts that wait for an answer.
  get asked() {
    return [...this.stream.interrupts.keys()].filter((id) => !this.resolved.has(id));
  }

  // Resolutions are shown with their question.
  isCurrent = ({ seq, type }) => type !== "interrupt_resolved" && !this.stream.hidden.has(seq);

  // Entries that follow without a gap.
  add(entries) {
    for (const { ts, data } of entries) {
      this.lastActivity = ts;
      this.typing.delete(data.user_id);
    }
    this.learn(entries);
    if (this.loaded) this.entries.push(...entries);
  }

  // How questions were answered, also of older entries.
  learn(entries) {
    for (const { type, data } of entries) if (type === "interrupt_resolved") this.resolved.set(data.interrupt_id, data);
  }

  // From a snapshot; in another epoch marks are others, too.
  startOver(epoch) {
    this.entries = [];
    this.loaded = true;
    this.divider = null;
    this.draft.startOver(epoch);
    if (epoch === this.stream.position?.epoch) return;
    for (const map of [this.resolved, this.reads, this.delivered]) map.clear();
  }

  // Marks never go back.
  mark(userId, seq) {
    this.reads.set(userId, Math.max(this.reads.get(userId) ?? 0, seq));
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
