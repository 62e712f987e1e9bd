// Which conversations the user has: reads the server's list, and later what has changed in it.

import { Unread } from "./unread.js";

const SOON_MS = 150;
const LISTED = ["title", "role", "access", "agent", "graph", "pinned", "archived"];
const MOST = 0.9; // of the conversations that a session may follow: the rest are for those that will be opened
const AT_ONCE = 100; // conversations of one answer
const PARTIAL_MS = 4000; // until the list is read again when some of it is not served

export async function read(following) {
  const { client, conversations } = following;
  const began = performance.now();
  const atStart = !following.cursor;
  const listed = new Set();
  const request = { after: null, changed_since: following.cursor };
  let complete, reached;
  let partial = false;
  do {
    const page = await following.connection.insist("conversation:list", request);
    ({ complete } = page);
    partial ||= page.unavailable.length > 0;
    reached ??= page.cursor;
    const again = new Set(page.conversations.map((item) => item.conversation_id)); // joined again since
    for (const c of page.left.filter((id) => !again.has(id)).map((id) => conversations.get(id))) {
      if (c && !following.asking.has(c) && c.followedAt < began) remove(following, c);
    }
    for (const item of page.conversations) {
      const c = following.add(item.conversation_id);
      listed.add(c);
      take(c, item);
      if (item.role !== "invited" && !following.asking.has(c)) c.stream.position ??= item.position;
    }
    request.after = page.next;
  } while (request.after);
  for (const c of complete && !partial ? conversations.values() : []) {
    if (c.role && !listed.has(c) && !following.asking.has(c) && c.followedAt < began) remove(following, c);
  }
  // What is not served now may have changed before: it is asked for again.
  if (partial) readSoon(following, PARTIAL_MS);
  else following.cursor = reached;
  const due = [...conversations.values()].filter((c) => c.stream.position && !c.followedAt);
  await (atStart ? followAll(following, due) : following.sync(toFollow(following, due)));
  client.changed();
}

function take(c, item) {
  for (const key of LISTED) c[key] = item[key] ?? c[key];
  if (item.role === "invited") return;
  c.mark(c.client.me, item.read);
  c.unread ??= new Unread();
  c.unread.onListed(item);
  c.stale = false;
  c.sayLast(item.last_entry);
  if (item.draft) c.draft.onRemote(item.draft);
  if (item.last_activity > c.lastActivity) c.lastActivity = item.last_activity;
}

// Those of them that this session may follow, first those that are open; of the others the list tells what is new.
export function toFollow(following, conversations) {
  const places = placesIn(following);
  const due = conversations.filter((c) => !following.follows(c));
  const others = due.filter((c) => !c.wanted).sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  const open = due.filter((c) => c.wanted);
  return [...open, ...others.slice(0, Math.max(0, places - open.length))];
}

function placesIn(following) {
  const { followed_conversations: most } = following.client.limits;
  if (!most) return Infinity;
  return Math.floor(MOST * most) - [...following.conversations.values()].filter((c) => following.follows(c)).length;
}

// Follow all of the user's conversations, and these from where the list says that they stand.
async function followAll(following, conversations) {
  const due = new Map(conversations.filter((c) => !following.asking.has(c)).map((c) => [c.id, c]));
  const again = [];
  for (let after = null, answer; due.size && (!answer || after); after = answer.next) {
    const places = placesIn(following);
    if (places <= 0) break;
    const request = { positions: null, after, entries: 0, marks: false, ...(places < AT_ONCE && { limit: places }) };
    answer = await following.during([...due.values()], "session:sync", request);
    for (const [id, view] of Object.entries(answer.conversations)) {
      const c = due.get(id);
      if (!c) continue;
      due.delete(id);
      // What came since is counted by the list.
      if (view.head > c.head) readSoon(following);
      if (following.apply(c, view.error ? view : { ...view, verdict: "resumed" })) again.push(c);
    }
  }
  // Those that were left meanwhile are refused.
  await following.sync([...again, ...toFollow(following, [...due.values()])]);
}

export function readSoon(following, ms = SOON_MS) {
  clearTimeout(following.listDue);
  following.listDue = setTimeout(() => read(following).catch(() => {}), ms);
}

const GONE = { code: "not_a_member", message: "You are no longer in this conversation." };
const DELETED = { code: "unknown_conversation", message: "This conversation was deleted." };

// The user is no longer in it.
export function remove(following, c) {
  const { client, conversations, outbox } = following;
  if (conversations.get(c.id) !== c) return;
  conversations.delete(c.id);
  Object.assign(c, { removed: true, error: { ...(c.over ? DELETED : GONE), retryable: false } });
  outbox.refuse(c);
  client.changed(c);
  client.changed();
  client.emit("removed", c);
  // There may be a place for what was refused.
  for (const one of conversations.values()) if (one.wanted && one.error) following.open(one).catch(() => {});
}
