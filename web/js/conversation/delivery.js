// Delivers one conversation's entries in order, each once, with every gap noticed; no I/O, no clock.
// The same rules as sio_server/protocol/delivery.py.

const BUFFER_LIMIT = 1000; // entries kept while a gap is read; what does not fit is read again

// What to do now: deliver `entries`, read the log above `readAfter`, or start over.
const step = (entries = [], readAfter = null, reset = false) => ({ entries, readAfter, reset });

export class Delivery {
  #buffer = new Map();
  #highest; // the highest seq known to exist
  #reading = false;
  #readAfter; // where the latest read began; live entries may have come since

  constructor({ epoch, seq }) {
    this.position = { epoch, seq };
    this.#highest = this.#readAfter = seq;
  }

  // Entries known to exist that have not been delivered.
  get missing() {
    return this.#highest - this.position.seq;
  }

  onEntry(epoch, seq, item) {
    if (epoch !== this.position.epoch) return step([], null, true);
    if (seq <= this.position.seq) return step();
    this.#highest = Math.max(this.#highest, seq);
    if (seq === this.position.seq + 1 || this.#buffer.size < BUFFER_LIMIT) this.#buffer.set(seq, item);
    return this.#advance();
  }

  // The answer to a read: ascending [seq, item] pairs, and the log's head then. What they leave out is no longer kept.
  onPage(epoch, head, items) {
    this.#reading = false;
    if (epoch !== this.position.epoch || head < this.#readAfter) return step([], null, true);
    this.#highest = Math.max(this.#highest, head);
    if (items.length && items[0][0] > this.position.seq + 1) return step([], null, true);
    for (const [seq, item] of items) if (seq > this.position.seq) this.#buffer.set(seq, item);
    return this.#advance();
  }

  // The next entry asks again.
  readFailed() {
    this.#reading = false;
  }

  #advance() {
    const entries = [];
    let { epoch, seq } = this.position;
    while (this.#buffer.has(seq + 1)) {
      entries.push(this.#buffer.get((seq += 1)));
      this.#buffer.delete(seq);
    }
    this.position = { epoch, seq };
    if (!this.missing || this.#reading) return step(entries);
    this.#reading = true;
    this.#readAfter = seq;
    return step(entries, seq);
  }
}
