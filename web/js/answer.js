// The agent's answer while it is being written: attempts, offsets in code points, and gaps noticed.

export class Answer {
  current = null; // {run_id, attempt, text, length}; length counts code points
  #ended = new Set(); // ids of runs whose final entry has been seen
  #kept = []; // deltas that do not join on yet

  // run:started; a higher attempt withdraws the text so far.
  started({ run_id, attempt }) {
    if (this.#ended.has(run_id)) return;
    if (this.current?.run_id === run_id && attempt <= this.current.attempt) return;
    this.current = { run_id, attempt, text: "", length: 0 };
    this.#kept = [];
  }

  // run:delta; returns false when text before it was missed, so that the session card must be asked for.
  delta(delta) {
    if (this.#ended.has(delta.run_id)) return true;
    this.started(delta);
    const run = this.current;
    if (run.run_id !== delta.run_id || delta.attempt < run.attempt) return true;
    if (delta.offset > run.length) {
      this.#kept.push(delta);
      return false;
    }
    const unseen = [...delta.text].slice(run.length - delta.offset);
    run.text += unseen.join("");
    run.length += unseen.length;
    return true;
  }

  // The session card says which run is unfinished and what it has said; returns false when a gap remains.
  card(run) {
    const kept = this.#kept;
    this.#kept = [];
    this.current = null;
    if (!run || this.#ended.has(run.run_id)) return true;
    const { run_id, attempt, text } = run;
    this.current = { run_id, attempt, text, length: [...text].length };
    return kept
      .filter((delta) => delta.run_id === run_id && delta.attempt >= attempt)
      .map((delta) => this.delta(delta))
      .every(Boolean);
  }

  // The final entry of a run has been seen: the log has the answer now.
  ended(run_id) {
    this.#ended.add(run_id);
    if (this.current?.run_id === run_id) this.current = null;
  }
}
