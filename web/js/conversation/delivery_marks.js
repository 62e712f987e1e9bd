// Delivery marks: up to which entry each device has a conversation. This page sends its own.

import { state } from "../state.js";
import { deviceId } from "../storage.js";

const TOGETHER_MS = 250; // between two requests
const AT_ONCE = 50; // conversations in one request; the server allows 60 marks a second

let due = 0;

export const begin = ({ connection, actions }) => sendSoon(connection, actions.following.unmarked);

export function sendSoon(connection, unmarked) {
  due ||= setTimeout(() => send(connection, unmarked), TOGETHER_MS);
}

// What is lost with the connection is sent after the next catch-up.
async function send(connection, unmarked) {
  const here = deviceId();
  const batch = [...unmarked].slice(0, AT_ONCE);
  for (const c of batch) unmarked.delete(c);
  const marks = batch.filter((c) => behindOf(c, here) !== 0).map((c) => [c.id, { delivered: c.head }]);
  try {
    if (marks.length) await setMarks(connection, marks);
  } catch {
    // Below, what came meanwhile is sent.
  }
  due = 0;
  if (unmarked.size) sendSoon(connection, unmarked);
}

// Move this person's marks: [[conversation id, {read, delivered}]]. Rejects when none of it is certain.
export async function setMarks(connection, marks) {
  const answer = await connection.insist("marks:set", { marks: Object.fromEntries(marks) });
  for (const [id, { read, delivered }] of Object.entries(answer.marks)) {
    const c = state.conversations.get(id);
    if (read !== undefined) c?.mark(state.me, read);
    if (delivered !== undefined) c?.markDelivered(state.me, deviceId(), delivered);
  }
}

// How many devices have this entry, besides the sender's.
export function deliveredTo(c, { seq, data }) {
  const sender = `${data.user_id} ${data.device_id}`;
  return [...c.delivered].filter(([key, upTo]) => upTo >= seq && key !== sender).length;
}

// How many entries a device of this user's lacks; null: unknown.
export function behindOf(c, deviceId) {
  const upTo = c.delivered.get(`${state.me} ${deviceId}`);
  return upTo === undefined ? null : Math.max(0, c.head - upTo);
}
