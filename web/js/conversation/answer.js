// The agent's answers while they are being written; the same rules as sio_server/protocol/live.py.

const KEPT = 100; // reports of an attempt, and ids of runs that have ended

export const upwards = (map) => [...map.keys()].sort((a, b) => a - b);

// A run that has not ended; the text of its earlier attempts is void.
class Run {
  constructor(run_id) {
    this.run_id = run_id;
    this.#empty(0);
  }

  begin(attempt) {
    if (attempt > this.attempt) this.#empty(attempt);
  }

  #empty(attempt) {
    this.attempt = attempt;
    this.text = "";
    this.length = 0; // in code points
    this.waiting = new Map(); // offset -> text of deltas beyond a gap
    this.reports = new Map(); // number -> update
  }

  // Append a delta; false: text before it is missing.
  add(offset, text) {
    if (text.length >= (this.waiting.get(offset)?.length ?? 0)) this.waiting.set(offset, text);
    for (const at of upwards(this.waiting)) {
      if (at > this.length) return false;
      const unseen = [...this.waiting.get(at)].slice(this.length - at);
      this.waiting.delete(at);
      this.text += unseen.join("");
      this.length += unseen.length;
    }
    return true;
  }

  // In any order, and perhaps more than once.
  report(updates) {
    for (const update of updates) if (update.attempt === this.attempt) this.reports.set(update.number, update);
    for (const number of upwards(this.reports).slice(0, -KEPT)) this.reports.delete(number);
  }
}

export class Answer {
  runs = new Map(); // run id -> Run, oldest first
  #ended = new Set(); // ids of the latest runs that have ended

  // The run being written; its text stays until its final entry is delivered.
  get current() {
    return [...this.runs.values()].reverse().find((run) => run.attempt) ?? null;
  }

  // A run:* event; false: text before it was missed, ask for the session card.
  onEvent(event, payload) {
    const { run_id, attempt, offset, text } = payload;
    if (event === "run:finished") this.#setEnded(run_id);
    if (this.#ended.has(run_id)) return true;
    const run = this.#runOf(run_id);
    run.begin(event === "run:superseded" ? attempt + 1 : attempt);
    if (attempt < run.attempt) return true;
    if (event === "run:update") run.report([payload]);
    return event !== "run:delta" || run.add(offset, text);
  }

  // The session card; false: a gap remains. It may be older than the events, and takes nothing back.
  onCard(unfinished, startsOver) {
    if (startsOver) this.runs.clear();
    if (!unfinished || this.#ended.has(unfinished.run_id)) return true;
    const run = this.#runOf(unfinished.run_id);
    run.begin(unfinished.attempt);
    if (run.attempt > unfinished.attempt) return true;
    run.report(unfinished.updates);
    return run.add(0, unfinished.text);
  }

  onFinalEntry(run_id) {
    this.runs.delete(run_id);
    this.#setEnded(run_id);
  }

  #runOf(run_id) {
    if (!this.runs.has(run_id)) this.runs.set(run_id, new Run(run_id));
    return this.runs.get(run_id);
  }

  #setEnded(run_id) {
    this.#ended.add(run_id);
    if (this.#ended.size > KEPT) this.#ended.delete([...this.#ended][0]);
  }
}
