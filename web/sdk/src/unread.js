// What a person has not read of a conversation: as the server's list said it, and counted since; no I/O.

const SAID = new Set(["message", "answer", "interrupt", "failed"]);
const MOST = 100; // as the server counts
// The same rule as sio_server/protocol/mention.py.
export const PERSON = /(?<![A-Za-z0-9_@.+-])[@＠]([\p{L}\p{N}][\p{L}\p{N}_.@+:|~-]*)/gu;
const plain = (name) => name.replace(/\s/g, "").replace(/[.@+:|~-]+$/, "").toLowerCase();

export function mentions(text, names) {
  const people = [...text.matchAll(PERSON)].map(([, person]) => plain(person));
  return names.map(plain).some((name) => {
    // Chinese and Japanese write no space after a name.
    const bare = /[\p{Lo}\p{Lm}]$/u.test(name);
    return name && people.some((person) => (bare ? person.startsWith(name) : person === name));
  });
}

export class Unread {
  #upTo = 0; // the list counted entries up to this one
  #listed = [0, 0]; // how many, and how many of them mention the person
  #since = []; // [seq, whether it mentions the person] of later ones

  get count() {
    return Math.min(MOST, this.#listed[0] + this.#since.length);
  }

  get mentions() {
    return Math.min(this.count, this.#listed[1] + this.#since.filter(([, mentioned]) => mentioned).length);
  }

  // An entry that came, of `me` with these names. Returns false when it hides what the list may have counted.
  add({ seq, type, data, hides = [] }, me, names) {
    this.#since = this.#since.filter(([one]) => !hides.includes(one));
    const known = !this.#listed[0] || hides.every((one) => one > this.#upTo);
    if (seq <= this.#upTo || seq <= this.#since.at(-1)?.[0] || !SAID.has(type) || data.user_id === me) return known;
    this.#since.push([seq, type === "message" && mentions(data.text, names)]);
    if (this.#since.length > MOST) this.#since.shift();
    return known;
  }

  onListed({ position, unread, mentions: mentioned }) {
    this.#upTo = position.seq;
    this.#listed = [unread, mentioned];
    this.#since = this.#since.filter(([seq]) => seq > position.seq);
  }

  // The read mark moved up. Returns false when the list has to say what is left.
  onRead(seq) {
    this.#since = this.#since.filter(([one]) => one > seq);
    if (seq < this.#upTo && this.#listed[0]) return false;
    this.#listed = [0, 0];
    return true;
  }
}
