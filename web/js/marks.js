// The marks that tell up to where each device was given a conversation, and this page's own.

import { state } from "./state.js";
import { deviceId } from "./storage.js";

const TOGETHER_MS = 250; // at most one mark of a conversation in this time
const AT_ONCE = 20;

let due = 0;

export const begin = ({ actions }) => tellSoon(actions.following);

export function tellSoon(following) {
  due ||= setTimeout(() => tell(following), TOGETHER_MS);
}

// This page has everything of each conversation up to its head. What is lost is told after the next catch-up.
function tell(following) {
  const { connection, handed } = following;
  const here = deviceId();
  due = 0;
  for (const c of [...handed].slice(0, AT_ONCE)) {
    handed.delete(c);
    const mark = { conversation_id: c.id, seq: c.head };
    if (behindOf(c, here) === 0) continue;
    connection.request("delivery:update", mark).then(({ seq }) => c.deliver(state.me, here, seq), () => {});
  }
  if (handed.size) tellSoon(following);
}

// How many devices have this entry, besides the sender's.
export function deliveredTo(c, { seq, data }) {
  const sender = `${data.user_id} ${data.device_id}`;
  return [...c.delivered].filter(([key, upTo]) => upTo >= seq && key !== sender).length;
}

// How many entries a device of this user's lacks; null: nobody knows.
export function behindOf(c, deviceId) {
  const upTo = c.delivered.get(`${state.me} ${deviceId}`);
  return upTo === undefined ? null : Math.max(0, c.head - upTo);
}
