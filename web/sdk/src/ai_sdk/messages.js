// The entries of a conversation as the AI SDK's messages: one for each message of a person, one for each turn's answer.

import { FINAL, messageIdOf, partsOf } from "./parts.js";

export const userIdOf = (seq) => `message-${seq}`;
export const seqOf = (messageId) => Number(/^message-(\d+)$/.exec(messageId ?? "")?.[1] ?? NaN);

/**
 * Messages to begin with, for `useChat({ messages })`.
 * @param {import("../types.js").Entry[]} entries those of a snapshot
 * @param {Map<string, import("../types.js").Resolved>} [resolved] how questions were answered: that of the snapshot
 * @param {Map<string, string | null>} [addresses] of the files of people's messages, by their ids
 * @returns {any[]} `UIMessage`s
 */
export function toUIMessages(entries, resolved = new Map(), addresses = new Map()) {
  const messages = []; // made when all entries of their turns are known
  const turns = new Map(); // turn -> its final entries
  for (const entry of entries) {
    const { type, turn_id } = entry;
    const data = /** @type {any} */ (entry.data);
    if (data.deleted) continue;
    if (type === "message") messages.push(() => said(entry, addresses));
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

/** The ids of files that people have sent. */
export const filesIn = (entries) => entries.flatMap(({ type, data }) => (type === "message" && data.files) || []).map(({ file_id }) => file_id);

/**
 * @param {any} entry a message
 * @param {Map<string, string | null>} addresses
 */
function said({ seq, ts, data: { user_id, name, text, files = [] } }, addresses) {
  const parts = [...(text || !files[0] ? [{ type: "text", text }] : []), ...files.map((file) => filePart(file, addresses.get(file.file_id)))];
  return { id: userIdOf(seq), role: "user", metadata: { seq, ts, user_id, name }, parts };
}

// Its id comes back with the part when the message is edited.
function filePart(file, url) {
  const { file_id, name: filename, mime_type: mediaType } = file;
  if (!url) return { type: "data-file", id: file_id, data: file };
  return { type: "file", mediaType, filename, url, providerMetadata: { roomgraph: { file_id } } };
}

const idOf = ({ type, id, providerMetadata }) => (type === "data-file" ? id : providerMetadata?.roomgraph?.file_id);

/**
 * The ids of the files of a chat's message, uploaded if need be; undefined when it has none.
 * @param {import("../conversation.js").Conversation} c
 * @param {any[]} parts
 * @param {AbortSignal} [signal]
 * @returns {Promise<string[] | undefined>}
 */
export async function sentFiles(c, parts, signal) {
  const files = parts.filter(({ type }) => type === "file" || type === "data-file");
  if (!files[0]) return undefined;
  const upload = async (part) => {
    const { file_id } = await c.upload(await blobOf(part), { name: part.filename, signal });
    return file_id;
  };
  return Promise.all(files.map((part) => idOf(part) ?? upload(part)));
}

// A page's policy may forbid to fetch a data URL.
async function blobOf({ url, mediaType: type }) {
  const [, base64, data] = /^data:[^,]*?(;base64)?,(.*)$/s.exec(url) ?? [];
  if (data === undefined) return new Blob([await (await fetch(url)).arrayBuffer()], { type });
  const bytes = base64 ? Uint8Array.from(atob(data), (char) => char.charCodeAt(0)) : decodeURIComponent(data);
  return new Blob([bytes], { type });
}

function answered(turn_id, entries, resolved) {
  const { seq, ts, type, data } = entries.at(-1);
  const { user_id, name, run_id, attempt, reason } = data;
  const metadata = { turn_id, run_id, seq, ts, user_id, name, attempt, status: type, ...(type === "failed" && { reason }) };
  const parts = [...partsOf(entries, resolved, undefined, true).values()];
  return { id: messageIdOf(turn_id), role: "assistant", metadata, parts };
}
