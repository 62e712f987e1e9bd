// What a turn says, as parts of one UIMessage. No I/O: of the turn's entries, and of the run that is being written.

import { beforeQuestions } from "../entry_parts.js";
import { approvalsIn, decisionsIn } from "./questions.js";

export const FINAL = new Set(["answer", "interrupt", "stopped", "failed"]);

export const messageIdOf = (turnId) => `turn-${turnId}`;
export const turnOf = (messageId) => Number(/^turn-(\d+)$/.exec(messageId ?? "")?.[1] ?? NaN);

/**
 * The parts in their order, by keys that stay while more is said.
 * @param {any[]} entries the turn's final entries that are current
 * @param {Map<string, any>} resolved how questions were answered
 * @param {any} run that is being written; when the turn has ended, that was; undefined: not known
 * @param {boolean} ended nothing more will come
 * @returns {Map<string, any>}
 */
export function partsOf(entries, resolved, run, ended) {
  const made = new Parts();
  const written = run && !entries.some(({ data }) => data.run_id === run.run_id);
  for (const { data } of entries) {
    const tools = data.tools ?? (data.run_id === run?.run_id ? toolsReported(run) : []);
    const said = data.parts ?? [{ kind: "text", text: beforeQuestions(data) }];
    // An entry does not say when tools were called: most often before the last that was said.
    const last = said.findLastIndex(({ kind }) => kind === "text");
    said.forEach((part, n) => n < last && made.say(data.run_id, n, part, true));
    for (const tool of tools) made.call(data.run_id, tool);
    said.forEach((part, n) => n >= last && made.say(data.run_id, n, part, true));
    for (const one of data.interrupts ?? []) made.ask({ reason: data.reason, ...one }, resolved.get(one.interrupt_id));
  }
  if (written) {
    const done = ({ part, speaker }) => run.parts.some((later) => later.part > part && later.speaker === speaker);
    for (const part of run.parts) made.say(run.run_id, part.part, part, done(part));
    for (const tool of toolsReported(run)) made.call(run.run_id, tool);
  }
  if (ended) made.settle();
  return made.parts;
}

// Calls that were reported, each with the last that is known of it.
function toolsReported({ reports }) {
  const tools = new Map();
  for (const { kind, tool, number } of reports) {
    if (kind === "tool") tools.set(tool.id ?? number, { ...tools.get(tool.id), ...tool });
  }
  return [...tools.values()];
}

class Parts {
  parts = new Map();
  #decided = new Map(); // tool -> what its approval says instead of a result

  /** @param {any} part */
  say(runId, n, part, done) {
    const { kind, text = "", data = {} } = part;
    const key = `${runId} ${n}`;
    const state = done ? "done" : "streaming";
    if (kind === "text" || kind === "reasoning") {
      if (text) this.parts.set(key, { type: kind, text, state });
    } else if (kind === "image" || kind === "file") {
      const { url, mime_type: mediaType, name: filename } = data;
      if (url) this.parts.set(key, { type: "file", mediaType, url, ...(filename && { filename }) });
      else this.parts.set(key, { type: "data-omitted", id: key, data });
    } else if (kind === "citation" && data.url) {
      this.parts.set(key, { type: "source-url", sourceId: key, url: data.url, title: data.title });
    } else if (kind === "data") this.parts.set(key, { type: "data-output", id: key, data: data.value });
  }

  call(runId, { id, name, args, status, result }) {
    const key = `tool ${id ?? `${runId} ${name}`}`;
    const known = this.parts.get(key) ?? this.#undone(name, args);
    const tool = known ?? tooled(id ?? key, name, args);
    if (!known) this.parts.set(key, tool);
    if (status === "done") Object.assign(tool, { state: "output-available", output: result });
    if (status === "failed") Object.assign(tool, { state: "output-error", errorText: String(result) });
  }

  ask(question, answer) {
    const approvals = approvalsIn(question);
    if (!approvals) {
      const { interrupt_id: id, value, form, reason } = question;
      this.parts.set(`asked ${id}`, { type: "data-question", id, data: { interrupt_id: id, value, form, reason, answer } });
      return;
    }
    const decisions = answer && decisionsIn(question, answer);
    approvals.forEach(({ id, name, args, text }, n) => {
      let tool = this.#undone(name, args);
      if (!tool) this.parts.set(`asked ${id}`, (tool = tooled(id, name, args)));
      tool.approval = { id, ...(text && { requestReason: text }), descriptor: question };
      if (!decisions) return void (tool.state = "approval-requested");
      const { approved, reason, output } = decisions[n];
      Object.assign(tool.approval, { approved, ...(reason && { reason }) });
      tool.state = approved ? "approval-responded" : "output-denied";
      this.#decided.set(tool, output);
    });
  }

  // A call that was made or asked about, and has no result yet: only an entry says whether it is the same one.
  #undone(name, args) {
    const known = JSON.stringify(args);
    return [...this.parts.values()].find(
      ({ toolName, input, state }) =>
        toolName === name && JSON.stringify(input) === known && (state === "input-available" || state === "approval-responded"),
    );
  }

  // Nothing more will come: what was approved, and is no tool's call, has the answer for its output.
  settle() {
    for (const tool of this.parts.values()) {
      if (tool.state !== "approval-responded") continue;
      Object.assign(tool, { state: "output-available", output: this.#decided.get(tool) });
    }
  }
}

const tooled = (toolCallId, toolName, input) =>
  ({ type: "dynamic-tool", toolCallId, toolName, providerExecuted: true, state: "input-available", input });
