// One conversation's stream: its entries in order, each once, what is hidden, unfinished runs, and open interrupts.
// No I/O, no clock. The same rules as sio_server/protocol/stream.py.

const KEPT = 1000; // events kept while a view is on its way; what is dropped is brought by another view
const REPORTS = 100;
const FINAL = new Set(["answer", "interrupt", "stopped", "failed"]); // entries that end a run

export const textOf = (parts) => parts.filter(({ kind, text }) => kind === "text" && text).map(({ text }) => text).join("\n\n");

// What a version after this one withdraws.
const saidBy = (run) => (run?.parts[0] ? run.parts : (run?.withdrawn ?? []));

export class Stream {
  /** @type {any} {epoch, seq} of the latest entry; null: nothing is known, and a snapshot comes first */
  position = null;
  n = 0; // the number of the latest event applied
  head = 0; // the newest entry that is known to exist
  hidden = new Set(); // seqs of entries that are no longer current
  runs = new Map(); // run_id -> run, in the order of their turns; `withdrawn`: parts of the version before
  interrupts = new Map(); // the open ones: id -> {interrupt_id, value, form, seq, run_id}
  /** @type {any} the last run that a final entry has ended, with all that was streamed of it */
  ended = null;
  syncing = true; // a view is needed, or on its way: events are kept
  #kept = [];
  #named = 0; // the highest n that is known to exist and not kept
  #step;

  // Being written, or next.
  get current() {
    return this.runs.values().next().value;
  }

  // The next connection begins with a view.
  disconnected() {
    this.syncing = true;
    this.#kept = [];
    this.#named = 0;
  }

  // An event, or "answer" with a view. Returns the entries to hand on, and whether to ask for a view.
  on(name, payload) {
    this.#step = { entries: [], sync: false };
    if (name === "answer") this.#onView(payload);
    else if (name === "conversation:reset") this.#onReset();
    else if (name !== "conversation:synced") this.#onNumber(name, payload);
    else if (this.syncing) this.#named = Math.max(this.#named, payload.n);
    else this.#onView(payload);
    return this.#step;
  }

  // Entries of a page, some of which may have been hidden later.
  onPage(entries) {
    for (const { seq, hides = [], hidden_by } of entries) {
      for (const one of hidden_by ? [...hides, seq] : hides) this.hidden.add(one);
    }
  }

  #ask() {
    this.syncing = this.#step.sync = true;
  }

  // The log has started over. An answer that is on its way may be from before.
  #onReset() {
    this.#kept = [];
    if (this.syncing) this.#named = Infinity;
    else this.#ask();
  }

  #onNumber(name, payload) {
    const { n } = payload;
    if (!this.syncing) {
      if (n <= this.n) return;
      if (n === this.n + 1 && this.#apply(name, payload)) return (this.n = n);
      this.#ask();
    }
    if (this.#kept.length >= KEPT) this.#kept = [];
    this.#kept.push([name, payload]);
  }

  // False: an entry before it is missing.
  #apply(name, payload) {
    if (name === "entry:appended") return this.#append(payload);
    if (name === "run:changed") this.#change(payload.run);
    if (name === "run:written") this.#write(payload);
    return true;
  }

  // Runs and parts are values of snapshots: what changes is another object, the rest stays.
  #write({ run_id, version, parts: written, reports: told }) {
    const run = this.runs.get(run_id);
    if (run?.version !== version) return;
    const parts = [...run.parts];
    for (const more of written) {
      const at = parts.findIndex(({ part }) => part === more.part);
      if (at < 0) parts.push(more);
      else parts[at] = { ...parts[at], ...more, text: parts[at].text + more.text };
    }
    const reports = told.length ? [...run.reports, ...told].slice(-REPORTS) : run.reports;
    this.runs.set(run_id, { ...run, parts, reports });
  }

  #append(entry) {
    const { epoch, seq, type, data } = entry;
    if (epoch !== this.position.epoch || seq > this.position.seq + 1) return false;
    if (seq <= this.position.seq) return true;
    this.position = { epoch, seq };
    this.head = Math.max(this.head, seq);
    this.onPage([entry]);
    this.#step.entries.push(entry);
    if (FINAL.has(type)) {
      this.ended = this.runs.get(data.run_id) ?? this.ended;
      this.runs.delete(data.run_id);
    }
    if (type === "interrupt") this.#open(data.interrupts, { seq, run_id: data.run_id });
    if (type === "interrupt_resolved") this.interrupts.delete(data.interrupt_id);
    return true;
  }

  // The last version wins. The same one has another status only.
  #change(run) {
    const had = this.runs.get(run.run_id);
    if (had?.version > run.version) return;
    const { parts, reports, withdrawn } = had?.version === run.version ? had : { ...run, withdrawn: saidBy(had) };
    this.runs.set(run.run_id, { ...run, parts, reports, withdrawn });
  }

  // What a view says of runs and interrupts counts with its last page.
  #onView(view) {
    const { epoch } = view.position;
    if (!this.syncing && view.n <= this.n && epoch === this.position.epoch) return;
    if (!this.position || view.verdict !== "resumed") {
      this.position = { epoch, seq: view.after };
      this.n = 0;
      for (const known of [this.hidden, this.runs, this.interrupts]) known.clear();
    }
    this.head = view.head;
    const joins = epoch === this.position.epoch && view.after <= this.position.seq;
    if (!joins || !view.entries.every((entry) => this.#append(entry)) || view.more) return this.#ask();
    const [had, kept, named] = [this.runs, this.#kept, this.#named];
    this.runs = new Map();
    for (const run of view.runs) {
      const known = had.get(run.run_id);
      this.runs.set(run.run_id, { ...run, withdrawn: known?.version >= run.version ? known.withdrawn : saidBy(known) });
    }
    this.interrupts.clear();
    this.#open(view.interrupts);
    this.n = view.n;
    this.syncing = false;
    this.#kept = [];
    this.#named = 0;
    for (const event of kept.sort(([, a], [, b]) => a.n - b.n)) this.#onNumber(...event);
    if (named > this.n) this.#ask();
  }

  #open(interrupts, where) {
    for (const one of interrupts) this.interrupts.set(one.interrupt_id, { ...where, ...one });
  }
}
