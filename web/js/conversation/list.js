// Which conversations the person has: reads the server's list, and later what has changed in it.

import { toast } from "../dom.js";
import { t } from "../i18n.js";
import { changed, state } from "../state.js";

const SOON_MS = 150;
const PARTIAL_MS = 4000; // until the list is read again when some of it is not served

let cursor = null; // of the list as this page knows it

export async function read(following) {
  const began = performance.now();
  const atStart = !cursor;
  const listed = new Set();
  const request = { after: null, changed_since: cursor };
  let complete, reached;
  let partial = false;
  do {
    const page = await following.connection.insist("conversation:list", request);
    ({ complete } = page);
    partial ||= page.unavailable.length > 0;
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
  for (const c of complete && !partial ? state.conversations.values() : []) {
    if (!listed.has(c) && !following.asking.has(c) && c.followedAt < began) remove(following.outbox, c);
  }
  // What is not served now may have changed before: it is asked for again.
  if (partial) readSoon(following, PARTIAL_MS);
  else cursor = reached;
  const due = [...state.conversations.values()].filter((c) => c.stream.position && !c.followedAt);
  await (atStart ? following.followAll(due) : following.sync(due));
  changed();
}

let due;

export function readSoon(following, ms = SOON_MS) {
  clearTimeout(due);
  due = setTimeout(() => read(following).catch(() => {}), ms);
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
