// What is known at a moment, as plain values for a user interface; their objects are those of the protocol. What has not
// changed is the same object as in the snapshot before.

import { earlierAnswers, reactionsIn } from "./derived.js";

/**
 * @param {import("./client.js").Client} client
 * @param {import("./types.js").ClientSnapshot | null} before
 * @param {Iterable<import("./conversation.js").Conversation> | null} touched those that may have changed; null: any may have
 * @returns {import("./types.js").ClientSnapshot}
 */
export function ofClient(client, before, touched) {
  const { link: status, node, me: user_id, name, devices, graphs, features, limits, error, connection } = client;
  const conversations = summaries(client, before?.conversations, touched);
  return kept(before, { status, node, user_id, name, devices, graphs, features, limits, error, retryAt: connection.retryAt, conversations });
}

function summaries(client, before, touched) {
  let same = Boolean(before && touched);
  for (const c of touched ?? client.conversations.values()) {
    const had = c.summary;
    c.summary = c.role && !c.removed ? kept(had, summary(c)) : null;
    same &&= c.summary === had;
  }
  if (same) return before;
  const all = [...client.conversations.values()].map((c) => c.summary).filter(Boolean);
  return keptList(before, all.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : a.lastActivity > b.lastActivity ? -1 : 0)));
}

function summary({ id, title, role, pinned, archived, last, lastActivity, unread, draft }) {
  return { id, title, role, pinned, archived, last, lastActivity, unread: unread?.count ?? 0, mentions: unread?.mentions ?? 0, draft: draft.text };
}

/**
 * @param {import("./conversation.js").Conversation} c
 * @param {import("./types.js").ConversationSnapshot | null} before
 * @returns {import("./types.js").ConversationSnapshot}
 */
export function ofConversation(c, before) {
  const { client, stream } = c;
  const { hidden, current: run = null } = stream;
  const [, ...waiting] = stream.runs.values();
  const { entries, reactions, versions } = made(c, "log", [c.entries, c.entries.length, c.aside, c.aside?.length, hidden.size, c.revised], logOf);
  return kept(before, {
    id: c.id,
    status: statusOf(c),
    error: c.error,
    verdict: c.verdict,
    connection: client.link,
    title: c.title,
    role: c.role,
    access: c.access,
    agent: c.agent,
    graph: c.graph,
    approvals: c.approvals,
    invites: c.invites,
    multitask_strategy: c.strategy,
    owner: c.owner,
    pinned: c.pinned,
    archived: c.archived,
    entries,
    reactions,
    versions,
    atEnd: !c.aside,
    hasOlder: Boolean(c.hasOlder),
    pending: pendingOf(c, before?.pending),
    run,
    waiting: keptList(before?.waiting, waiting),
    questions: keptList(before?.questions, [...stream.interrupts.values()].filter(({ interrupt_id }) => !c.resolved.has(interrupt_id))),
    resolved: made(c, "resolved", [...c.resolved].flat(), () => new Map(c.resolved)),
    members: c.members,
    read: c.read,
    reads: made(c, "reads", [c.marked], () => new Map(c.reads)),
    delivered: made(c, "delivered", [c.marked], () => new Map(c.delivered)),
    unread: c.unread?.count ?? 0,
    mentions: c.unread?.mentions ?? 0,
    draft: c.draft.text,
    typing: keptList(before?.typing, [...c.typing.keys()].filter((userId) => userId !== client.me)),
  });
}

function statusOf({ removed, error, closed, loaded, stream }) {
  if (removed) return "removed";
  if (error) return "refused";
  if (closed) return "closed";
  if (!loaded) return "opening";
  return stream.syncing ? "catching_up" : "in_step";
}

// What is shown of the log; as long as all of it, so it is made for an entry and not for each word of an answer.
function logOf(c, before) {
  const all = [...(c.aside ?? []), ...c.entries];
  const versions = earlierAnswers(all, ({ seq }) => c.stream.hidden.has(seq));
  return {
    entries: c.shown.filter(c.isCurrent),
    reactions: keptMap(before?.reactions, reactionsIn(all), (a, b) => JSON.stringify(a) === JSON.stringify(b)),
    versions: keptMap(before?.versions, versions, (a, b) => keptList(a, b) === a),
  };
}

// Items of the outbox change while they are sent: these are copies.
function pendingOf(c, before = []) {
  const items = c.client.outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head);
  return keptList(before, items.map((item) => kept(before.find((one) => one.request_id === item.request_id), { ...item })));
}

// The value that was made before, for as long as nothing that it is made from is another one.
function made(c, name, from, make) {
  const had = c.made[name];
  if (had && keptList(had.from, from) === had.from) return had.value;
  const value = make(c, had?.value);
  c.made[name] = { from, value };
  return value;
}

const isSame = (before, now) => now.length === before.length && now.every((one, n) => Object.is(one, before[n]));

const keptList = (before, now) => (before && isSame(before, now) ? before : now);

function kept(before, now) {
  const keys = Object.keys(now);
  return before && keys.length === Object.keys(before).length && keys.every((key) => Object.is(before[key], now[key])) ? before : now;
}

function keptMap(before, now, areSame) {
  for (const [key, value] of now) if (before?.has(key) && areSame(before.get(key), value)) now.set(key, before.get(key));
  return before?.size === now.size && [...now].every(([key, value]) => before.get(key) === value) ? before : now;
}
