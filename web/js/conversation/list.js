// Which conversations the person has: reads the server's list.

import { toast } from "../dom.js";
import { t } from "../i18n.js";
import { changed, state } from "../state.js";

export async function read(following) {
  const began = performance.now();
  const listed = new Set();
  let after = null;
  do {
    const page = await following.connection.insist("conversation:list", { after });
    for (const item of page.conversations) {
      const c = following.add(item.conversation_id);
      listed.add(c);
      c.title = item.title;
      c.role = item.role;
      if (item.role === "invited" || following.asking.has(c)) continue;
      c.mark(state.me, item.read);
      if (!c.stream.position) {
        c.stream.position = item.position;
        c.first = item.position.seq - item.unread + 1; // as far as counting needs it
        c.lastActivity = item.last_activity;
      }
    }
    after = page.next;
  } while (after);
  for (const c of state.conversations.values()) {
    if (!listed.has(c) && !following.asking.has(c) && c.followedAt < began) remove(following.outbox, c);
  }
  await following.sync([...listed].filter((c) => c.stream.position && !c.followedAt));
  changed();
}

let due;

export function readSoon(following) {
  clearTimeout(due);
  due = setTimeout(() => read(following).catch(() => {}), 150);
}

// The person is no longer in it.
export function remove(outbox, c) {
  if (!state.conversations.delete(c.id)) return;
  outbox.remove((item) => item.conversation_id === c.id);
  changed();
  if (c !== state.open) return;
  toast(t("gone", { title: c.title }));
  location.hash = "";
}
