// Where the demonstration is: which part, whether it plays, and the results. No clock, no DOM.

export class Playback {
  part = 0;
  turn = 0; // counts the starts of parts: work of an earlier one is void
  playing = false;
  running = false;

  constructor(count) {
    this.results = Array(count).fill(null);
  }

  get last() {
    return this.part === this.results.length - 1;
  }

  // Each returns true when the part that `part` names is to begin now.
  play() {
    this.playing = true;
    if (this.running) return false; // it was paused
    if (!this.results[this.part]) return this.#begin(this.part);
    return this.#begin(this.last ? 0 : this.part + 1);
  }

  pause() {
    this.playing = false;
    return false;
  }

  next() {
    return !this.last && this.choose(this.part + 1);
  }

  choose(part) {
    this.playing = true;
    return this.#begin(part);
  }

  // A part has ended; false when another has begun meanwhile.
  ended(turn, result) {
    if (turn !== this.turn) return false;
    this.running = false;
    this.results[this.part] = result;
    if (this.last) this.playing = false;
    return true;
  }

  // The result has been shown for long enough.
  advance(turn) {
    return turn === this.turn && this.playing && !this.running && !this.last && this.#begin(this.part + 1);
  }

  #begin(part) {
    this.part = part;
    this.turn += 1;
    this.running = true;
    this.results[part] = null;
    return true;
  }
}
