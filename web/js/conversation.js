// What this page knows of one conversation; told what was heard and read, it never asks anything itself.

import { Answer } from "./answer.js";

const TYPING_MS = 6000; // a "typing" that is not repeated is taken back

export class Conversation {
  title = "";
  access = "";
  agent = "";
  role = ""; // "", until it is known; "invited", owner or member
  lastActivity = "";
  delivery = null; // set while it is followed
  loaded = false; // entries are kept; otherwise only counted
  entries = []; // without gaps, up to delivery.position
  first = 1; // the oldest seq that the log still holds
  read = 0; // this user's read mark
  reads = {}; // everyone's
  answer = new Answer();
  divider = null; // {after, upTo}: what was missed
  syncing = false;
  early = []; // events heard while a catch-up is on its way
  followedAt = 0;
  #typing = new Map(); // user id -> when to stop showing it

  constructor(id, draft) {
    this.id = id;
    this.draft = draft;
  }

  get head() {
    return this.delivery?.position.seq ?? 0;
  }

  get unread() {
    return Math.max(0, this.head - Math.max(this.read, this.first - 1));
  }

  get hasOlder() {
    return this.entries.length > 0 && this.entries[0].seq > this.first;
  }

  // Entries handed on by the delivery: they join on to the ones before.
  add(entries) {
    for (const entry of entries) {
      this.lastActivity = entry.ts;
      if (entry.data.run_id) this.answer.ended(entry.data.run_id);
      this.#typing.delete(entry.data.user_id);
    }
    if (this.loaded) this.entries.push(...entries);
  }

  // An older page: below what is here already.
  addOlder(entries, first) {
    const top = this.entries[0]?.seq ?? Infinity;
    this.first = first;
    this.entries.unshift(...entries.filter((entry) => entry.seq < top));
  }

  // Drop everything: a snapshot follows.
  startOver() {
    this.entries = [];
    this.loaded = true;
    this.divider = null;
    this.draft.startOver();
  }

  // Someone's read mark; marks never go back.
  mark(userId, seq, me) {
    this.reads[userId] = Math.max(this.reads[userId] ?? 0, seq);
    if (userId === me) this.read = this.reads[userId];
  }

  typing(userId, is) {
    if (is) this.#typing.set(userId, Date.now() + TYPING_MS);
    else this.#typing.delete(userId);
    return TYPING_MS;
  }

  get typists() {
    return [...this.#typing].filter(([, until]) => until > Date.now()).map(([userId]) => userId);
  }

  // Show what was missed between two seqs, when it holds anything by others to read.
  divide(after, upTo) {
    if (upTo > after) this.divider = { after, upTo };
  }
}

// Whether an entry is something that was said; the others are told in one line.
export const isSaid = (entry) => typeof entry.data.text === "string";
