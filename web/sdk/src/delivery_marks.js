// Delivery marks: up to which entry each device has a conversation. This device sends its own.

const TOGETHER_MS = 250; // between two requests
const AT_ONCE = 50; // conversations in one request; the server allows 60 marks a second

export function sendSoon(following) {
  following.marksDue ||= setTimeout(() => send(following), TOGETHER_MS);
}

// What is lost with the connection is sent after the next catch-up.
async function send(following) {
  const { client, unmarked } = following;
  const batch = [...unmarked].slice(0, AT_ONCE);
  for (const c of batch) unmarked.delete(c);
  const marks = batch.filter((c) => behindOf(c, client.deviceId) !== 0).map((c) => [c.id, { delivered: c.head }]);
  try {
    if (marks.length) await setMarks(client, marks);
  } catch {
    // Below, what came meanwhile is sent.
  }
  following.marksDue = 0;
  if (unmarked.size && client.connection.ready) sendSoon(following);
}

// Move this user's marks: [[conversation id, {read, delivered}]]. Rejects when none of it is certain.
export async function setMarks(client, marks) {
  const answer = await client.connection.insist("marks:set", { marks: Object.fromEntries(marks) });
  for (const [id, { read, delivered }] of Object.entries(answer.marks)) {
    const c = client.conversations.get(id);
    if (read !== undefined) c?.mark(client.me, read);
    if (delivered !== undefined) c?.markDelivered(client.me, client.deviceId, delivered);
  }
}

/**
 * How many devices have this entry, besides the sender's.
 * @param {{delivered: Map<string, number>}} c the conversation, or a snapshot of it
 * @param {import("./types.js").Entry} entry
 */
export function deliveredTo(c, entry) {
  const { seq } = entry;
  const data = /** @type {any} */ (entry.data);
  const sender = `${data.user_id} ${data.device_id}`;
  return [...c.delivered].filter(([key, upTo]) => upTo >= seq && key !== sender).length;
}

/**
 * Ids of the users who have read this entry, besides its author.
 * @param {{reads: Map<string, number>}} c the conversation, or a snapshot of it
 * @param {import("./types.js").Entry} entry
 */
export function readBy(c, entry) {
  const { user_id } = /** @type {any} */ (entry.data);
  return [...c.reads].filter(([id, upTo]) => upTo >= entry.seq && id !== user_id).map(([id]) => id);
}

// How many entries a device of this user's lacks; null: unknown.
export function behindOf(c, deviceId) {
  const upTo = c.delivered.get(`${c.client.me} ${deviceId}`);
  return upTo === undefined ? null : Math.max(0, c.head - upTo);
}
