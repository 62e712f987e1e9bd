// The entries of a conversation as the AI SDK's messages: one for each message of a person, one for each turn's answer.

import { FINAL, messageIdOf, partsOf } from "./parts.js";

export const userIdOf = (seq) => `message-${seq}`;
export const seqOf = (messageId) => Number(/^message-(\d+)$/.exec(messageId ?? "")?.[1] ?? NaN);

/**
 * Messages to begin with, for `useChat({ messages })`.
 * @param {any[]} entries those of a snapshot
 * @param {Map<string, any>} [resolved] how questions were answered: that of the snapshot
 * @returns {any[]}
 */
export function toUIMessages(entries, resolved = new Map()) {
  const messages = []; // made when all entries of their turns are known
  const turns = new Map(); // turn -> its final entries
  for (const entry of entries) {
    const { type, turn_id, data } = entry;
    if (data.deleted) continue;
    if (type === "message") messages.push(() => said(entry));
    else if (!FINAL.has(type)) continue;
    else if (turns.has(turn_id)) turns.get(turn_id).push(entry);
    else {
      const ofTurn = [entry];
      turns.set(turn_id, ofTurn);
      messages.push(() => answered(turn_id, ofTurn, resolved));
    }
  }
  return messages.map((make) => make());
}

const said = ({ seq, ts, data: { user_id, name, text } }) =>
  ({ id: userIdOf(seq), role: "user", metadata: { seq, ts, user_id, name }, parts: [{ type: "text", text }] });

function answered(turn_id, entries, resolved) {
  const { seq, ts, type, data } = entries.at(-1);
  const { user_id, name, run_id, attempt, reason } = data;
  const metadata = { turn_id, run_id, seq, ts, user_id, name, attempt, status: type, ...(type === "failed" && { reason }) };
  const parts = [...partsOf(entries, resolved, undefined, true).values()];
  return { id: messageIdOf(turn_id), role: "assistant", metadata, parts };
}
