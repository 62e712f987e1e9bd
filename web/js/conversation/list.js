// Which conversations the person has: reads the server's list, and later what has changed in it.

import { toast } from "../dom.js";
import { t } from "../i18n.js";
import { changed, state } from "../state.js";

let cursor = null; // of the list as this page knows it

export async function read(following) {
  const began = performance.now();
  const atStart = !cursor;
  const listed = new Set();
  const request = { after: null, changed_since: cursor };
  let complete, reached;
  do {
    const page = await following.connection.insist("conversation:list", request);
    ({ complete } = page);
    reached ??= page.cursor;
    const again = new Set(page.conversations.map((item) => item.conversation_id)); // joined again since
    for (const c of page.left.filter((id) => !again.has(id)).map((id) => state.conversations.get(id))) {
      if (c && !following.asking.has(c) && c.followedAt < began) remove(following.outbox, c);
    }
    for (const item of page.conversations) {
      const c = following.add(item.conversation_id);
      listed.add(c);
      c.onListed(item);
      if (item.role !== "invited" && !following.asking.has(c)) c.stream.position ??= item.position;
    }
    request.after = page.next;
  } while (request.after);
  for (const c of complete ? state.conversations.values() : []) {
    if (!listed.has(c) && !following.asking.has(c) && c.followedAt < began) remove(following.outbox, c);
  }
  cursor = reached;
  const due = [...state.conversations.values()].filter((c) => c.stream.position && !c.followedAt);
  await (atStart ? following.followAll(due) : following.sync(due));
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
  toast(t(c.over ? "wasDeleted" : "gone", { title: c.title }));
  location.hash = "";
}
