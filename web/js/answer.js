// The agent's answer while it is being written; the same rules as sio_server/protocol/live.py.

const SIGNS = { called: "…", done: " ✓", failed: " ✗" };

export class Answer {
  current = null; // {run_id, attempt, text, length, doing}; length counts code points
  #ended = new Set(); // ids of runs whose final entry has been seen
  #kept = new Map(); // offset -> text of deltas beyond a gap

  // A run:* event came; returns false when text before it was missed, so that the card must be asked for.
  hear(event, { run_id, attempt, offset, text, ...update }) {
    // What ends a run is its entry, which may still be on its way when run:finished comes.
    if (this.#ended.has(run_id) || event === "run:finished") return true;
    const run = this.#begin(run_id, event === "run:superseded" ? attempt + 1 : attempt);
    if (attempt < run.attempt) return true;
    if (event === "run:delta") return this.#join(offset, text);
    if (event === "run:update") run.doing = told(update) || run.doing;
    return true;
  }

  // The session card says which run is unfinished and what it has said; returns false when a gap remains.
  card(unfinished) {
    if (this.current?.run_id !== unfinished?.run_id) this.current = null;
    if (!unfinished?.attempt || this.#ended.has(unfinished.run_id)) return true;
    const run = this.#begin(unfinished.run_id, unfinished.attempt);
    if (unfinished.attempt < run.attempt) return true;
    for (const update of unfinished.updates) {
      if (update.attempt === run.attempt) run.doing = told(update) || run.doing;
    }
    return this.#join(0, unfinished.text);
  }

  // The final entry of a run has been seen: the log has the answer now.
  ended(run_id) {
    this.#ended.add(run_id);
    if (this.current?.run_id === run_id) this.current = null;
  }

  // Another run, or a later attempt: what earlier ones have said is void.
  #begin(run_id, attempt) {
    if (this.current?.run_id !== run_id || attempt > this.current.attempt) {
      this.current = { run_id, attempt, text: "", length: 0, doing: "" };
      this.#kept.clear();
    }
    return this.current;
  }

  #join(offset, text) {
    const run = this.current;
    if (text.length > (this.#kept.get(offset)?.length ?? -1)) this.#kept.set(offset, text);
    for (const at of [...this.#kept.keys()].sort((a, b) => a - b)) {
      if (at > run.length) return false;
      const unseen = [...this.#kept.get(at)].slice(run.length - at);
      this.#kept.delete(at);
      run.text += unseen.join("");
      run.length += unseen.length;
    }
    return true;
  }
}

// An update in a few words, if it has any: the tool that is called, or what the graph says it does.
function told({ kind, tool, data }) {
  if (kind === "tool") return (tool.name ?? "") + SIGNS[tool.status];
  return kind === "custom" && [data, data?.text].find((said) => typeof said === "string");
}
