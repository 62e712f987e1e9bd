// From one state of a message to the next, as chunks of a UI message stream. No I/O.

/** Writes a message. What does not go on from what was written takes that back, and is written as a whole. */
export class Chunks {
  #written = new Map(); // key -> part

  get any() {
    return this.#written.size > 0;
  }

  /** The chunks that lead to these parts. */
  to(parts) {
    const goesOn = [...this.#written].every(([key, part]) => parts.has(key) && continues(part, parts.get(key)));
    const chunks = goesOn ? [] : [{ type: "reset-step" }];
    if (!goesOn) this.#written.clear();
    for (const [key, part] of parts) {
      chunks.push(...step(key, this.#written.get(key), part));
      this.#written.set(key, structuredClone(part));
    }
    return chunks;
  }
}

const ENDED = new Set(["output-available", "output-error", "output-denied"]);

function continues(before, after) {
  if (before.type !== after.type) return false;
  if (before.type === "text" || before.type === "reasoning") {
    if (before.state === "done" && after.text !== before.text) return false;
    return after.text.startsWith(before.text) || after.text === before.text.trimEnd();
  }
  if (before.type === "dynamic-tool") {
    const { toolCallId, state } = before;
    const known = JSON.stringify(before.input) === JSON.stringify(after.input);
    return toolCallId === after.toolCallId && known && (!ENDED.has(state) || state === after.state);
  }
  return before.type.startsWith("data-") || before.url === after.url;
}

function step(id, before, part) {
  const { type } = part;
  if (type === "text" || type === "reasoning") return [...say(id, before, part)];
  if (type === "dynamic-tool") return [...call(before, part)];
  if (type.startsWith("data-")) return JSON.stringify(before?.data) === JSON.stringify(part.data) && before ? [] : [part];
  const { filename, ...chunk } = part; // the stream has no name for a file
  return before ? [] : [chunk];
}

function* say(id, before, { type, text, state }) {
  if (!before) yield { type: `${type}-start`, id };
  const delta = text.slice(before?.text.length ?? 0);
  if (delta) yield { type: `${type}-delta`, id, delta };
  if (state === "done" && before?.state !== "done") yield { type: `${type}-end`, id };
}

function* call(before, { toolCallId, toolName, input, state, approval, output, errorText }) {
  const facts = { toolCallId, dynamic: true, providerExecuted: true };
  if (!before) yield { type: "tool-input-available", ...facts, toolName, input };
  const had = before?.approval;
  if (approval && !had) {
    const { id: approvalId, requestReason: reason, descriptor: approvalDescriptor } = approval;
    yield { type: "tool-approval-request", toolCallId, approvalId, reason, approvalDescriptor };
  }
  if (approval?.approved !== undefined && had?.approved === undefined) {
    const { id: approvalId, approved, reason } = approval;
    yield { type: "tool-approval-response", approvalId, approved, reason };
  }
  if (before?.state === state) return;
  if (state === "output-available") yield { type: "tool-output-available", ...facts, output };
  if (state === "output-error") yield { type: "tool-output-error", ...facts, errorText };
  if (state === "output-denied") yield { type: "tool-output-denied", toolCallId };
}
