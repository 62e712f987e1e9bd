// Delivery marks: up to which entry each device has a conversation. This page sends its own.

import { state } from "../state.js";
import { deviceId } from "../storage.js";

const TOGETHER_MS = 250; // between marks of a conversation
const AT_ONCE = 20;

let due = 0;

export const begin = ({ connection, actions }) => sendSoon(connection, actions.following.unmarked);

export function sendSoon(connection, unmarked) {
  due ||= setTimeout(() => send(connection, unmarked), TOGETHER_MS);
}

// What is lost is sent after the next catch-up.
function send(connection, unmarked) {
  const here = deviceId();
  due = 0;
  for (const c of [...unmarked].slice(0, AT_ONCE)) {
    unmarked.delete(c);
    const mark = { conversation_id: c.id, seq: c.head };
    if (behindOf(c, here) === 0) continue;
    connection.request("delivery:update", mark).then(({ seq }) => c.markDelivered(state.me, here, seq), () => {});
  }
  if (unmarked.size) sendSoon(connection, unmarked);
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
