// A run as a UI message stream: what its turn has said, what is being said, and how it ends.

import { wholeData } from "../entry_parts.js";
import { Chunks } from "./chunks.js";
import { FINAL, messageIdOf, partsOf } from "./parts.js";

const FINISH = { answer: "stop", interrupt: "tool-calls", stopped: "other", failed: "error" };

/**
 * Resolves with what `look` returns, once that is something.
 * @param {import("../conversation.js").Conversation} c
 * @param {() => any} look
 */
export function until(c, look) {
  const { client } = c;
  return new Promise((done, fail) => {
    const check = () => {
      const found = look();
      const error = endOf(c);
      if (!found && !error) return;
      end();
      if (found) done(found);
      else fail(asError(error));
    };
    const end = client.subscribe(check);
    check();
  });
}

// Why nothing more comes of the conversation; null while it may.
function endOf({ client, error, closed }) {
  if (client.ended) return client.error ?? { code: "closed", message: "The client is closed." };
  return error ?? (closed ? { code: "closed", message: "The conversation is closed." } : null);
}

export const asError = (error) => Object.assign(new Error(error.message ?? error.code), { code: error.code });

/**
 * The message of a turn, from its beginning on, until the run has ended. Losing the connection does not end it.
 * @param {import("../conversation.js").Conversation} c
 * @param {number} turnId
 * @param {string} runId
 * @param {() => void} ended
 * @returns {ReadableStream<any>}
 */
export function follow(c, turnId, runId, ended) {
  let end = () => {};
  return new ReadableStream({
    start(controller) {
      const writing = new Writing(c, turnId, runId, (chunk) => controller.enqueue(chunk));
      let whole; // of a final entry that came shortened
      let over = false;
      const look = () => {
        const final = writing.final;
        if (final && !final.pages) finish(final);
        else if (endOf(c)) finish(null, endOf(c));
        else if (final) whole ??= wholeData(c, final).then((data) => finish({ ...final, data }), (error) => finish(null, error));
        else if (writing.isLost) finish(null, { code: "not_found", message: "The run is no longer known." });
        else writing.write();
      };
      const finish = (final, error) => {
        if (over) return;
        end();
        if (final) writing.end(final);
        if (error) controller.error(asError(error));
        else controller.close();
      };
      const unsubscribe = c.client.subscribe(look);
      end = () => {
        over = true; // also when it was cancelled while the rest of a long entry was read
        unsubscribe();
        end = () => {};
        ended();
      };
      writing.begin();
      look();
    },
    cancel() {
      end();
    },
  });
}

class Writing {
  #chunks = new Chunks();
  #run; // as last seen; after its end, too
  #told = -1; // the number of the last report that was told
  #version;
  #metadata = "";

  /** @param {import("../conversation.js").Conversation} c */
  constructor(c, turnId, runId, emit) {
    this.c = c;
    this.turnId = turnId;
    this.runId = runId;
    this.emit = emit;
  }

  get final() {
    return this.c.entries.find(({ type, data }) => FINAL.has(type) && data.run_id === this.runId);
  }

  // It was being written, and is neither that nor in the log: the log is another one.
  get isLost() {
    return this.#run && !this.c.stream.syncing && !this.c.stream.runs.has(this.runId);
  }

  // A message that is known already is written again, whatever it has.
  begin() {
    this.emit({ type: "start", messageId: messageIdOf(this.turnId), messageMetadata: { turn_id: this.turnId } });
    this.emit({ type: "reset-step" });
  }

  write() {
    const run = this.c.stream.runs.get(this.runId);
    if (run) {
      this.#run = run;
      const { attempt, node, status } = run;
      this.#say({ run_id: this.runId, attempt, node, status });
      this.#report(run);
      // Another node has taken the run: what the one before said stays until there is something new.
      if (this.#chunks.any && !run.parts.length && !run.reports.length) return;
    }
    this.#show(this.#before(run?.replaces), run, false);
  }

  end(final) {
    const { seq, ts, type, data } = final;
    const { ended } = this.c.stream;
    if (ended?.run_id === this.runId) this.#report((this.#run = ended)); // with what came together with its end
    const { user_id, name, attempt } = data;
    this.#show([...this.#before(data.replaces), ...(data.rolled_back ? [] : [final])], this.#run, true);
    this.#say({ run_id: this.runId, seq, ts, user_id, name, attempt, status: type });
    if (type === "failed") this.emit({ type: "error", errorText: data.reason });
    else if (type === "stopped") this.emit({ type: "abort" });
    else this.emit({ type: "finish", finishReason: FINISH[type] });
  }

  // What the turn has said before this run: all of it, or none when the turn is answered again.
  #before(replaces) {
    if (replaces) return [];
    return this.c.entries.filter(
      (entry) =>
        entry.turn_id === this.turnId && FINAL.has(entry.type) && entry.data.run_id !== this.runId && this.c.isCurrent(entry),
    );
  }

  #show(entries, run, ended) {
    for (const chunk of this.#chunks.to(partsOf(entries, this.c.resolved, run, ended))) this.emit(chunk);
  }

  #say(metadata) {
    const known = JSON.stringify(metadata);
    if (known === this.#metadata) return;
    this.#metadata = known;
    this.emit({ type: "message-metadata", messageMetadata: metadata });
  }

  // What the graph reports of itself is for `onData` only.
  #report({ version, reports }) {
    if (version !== this.#version) this.#told = -1;
    this.#version = version;
    for (const { number, kind, data } of reports) {
      if (number <= this.#told) continue;
      this.#told = number;
      if (kind === "custom") this.emit({ type: "data-report", data, transient: true });
    }
  }
}
