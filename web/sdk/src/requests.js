// Requests about a conversation that do more than ask: questions, older entries, read marks.

import { change, connected } from "./change.js";
import { setMarks } from "./delivery_marks.js";
import { remove as unlist } from "./list.js";
import { random } from "./wait.js";

// They change nothing that has to be done once: the protocol has no `request_id` for them.
const REPEATABLE = new Set([
  ...["conversation:list", "device:list", "entry:read", "file:link", "history:read", "marks:set", "members:list"],
  ...["message:search", "session:sync", "typing:set"],
]);

export async function request(connection, event, payload) {
  if (!REPEATABLE.has(event)) return change(connection, event, payload);
  await connected(connection);
  return connection.request(event, payload);
}

const unanswered = new WeakMap(); // client -> request ids of what may have been created, by its settings

// The same settings again, after an error, create nothing more.
export async function create(client, settings) {
  if (!unanswered.has(client)) unanswered.set(client, new Map());
  const ids = unanswered.get(client);
  const same = JSON.stringify(settings);
  const request_id = ids.get(same) ?? random(4);
  ids.delete(same); // meanwhile the same again is another one
  try {
    const { conversation_id } = await change(client.connection, "conversation:create", { request_id, ...settings });
    return conversation_id;
  } catch (error) {
    if (error.retryable) ids.set(same, request_id);
    throw error;
  }
}

export async function leave(connection, c) {
  await change(connection, "conversation:leave", { conversation_id: c.id });
  unlist(c.client.following, c);
  c.client.outbox.remove((item) => item.conversation_id === c.id);
}

/** End a run, by itself or its id; or the one that is being written. */
export const stop = async (connection, c, run = c.stream.current) =>
  run && change(connection, "run:stop", { conversation_id: c.id, run_id: run.run_id ?? run });

export const regenerate = (connection, c, seq) => change(connection, "run:regenerate", { conversation_id: c.id, seq });

export const remove = (connection, c, seq) => change(connection, "message:delete", { conversation_id: c.id, seq });

// Answer the agent's question. When somebody else was first, the refusal says who; other errors are thrown.
export async function respond(connection, c, interrupt_id, value) {
  try {
    const answer = { conversation_id: c.id, interrupt_id, value };
    c.resolved.set(interrupt_id, await change(connection, "interrupt:respond", answer));
  } catch (error) {
    if (error.code !== "already_resolved") throw error;
    c.resolved.set(interrupt_id, { interrupt_id, outcome: "answered", ...error.details });
  }
  c.client.changed(c);
  return c.resolved.get(interrupt_id);
}

// The page before the oldest loaded entry.
export const loadOlder = async (connection, c) =>
  c.hasOlder &&
  together(c, "loadingOlder", async () => {
    const shown = c.shown;
    const { entries, first } = await readPage(connection, c, { before: shown[0].seq });
    if (!entries) return;
    const top = shown[0].seq;
    c.first = entries.length ? first : top;
    shown.unshift(...entries.filter(({ seq }) => seq < top));
  });

// The page after the stretch that is shown aside; where it meets the newest entries they are one again.
export const loadNewer = async (connection, c) =>
  c.aside &&
  together(c, "loadingNewer", async () => {
    const { aside } = c;
    const { entries } = await readPage(connection, c, { after: aside.at(-1).seq });
    if (!entries || c.aside !== aside) return;
    aside.push(...entries);
    joinAside(c);
  });

// Load what is around an entry, or from a time on, unless it is there. Resolves with the seq to go to, or null.
export async function loadAt(connection, c, { seq, since }) {
  const holds = (list) => list?.[0] && list[0].seq <= seq && seq <= list.at(-1).seq;
  if (holds(c.entries)) c.aside = null;
  else if (!holds(c.aside)) {
    const { entries } = await readPage(connection, c, { limit: 100, ...(since ? { since } : { around: seq }) });
    if (!entries?.[0]) return null;
    seq ??= entries[0].seq;
    c.aside = entries;
    joinAside(c);
  }
  c.client.changed(c);
  return seq;
}

function joinAside(c) {
  const [oldest] = c.entries;
  if (!oldest || c.aside.at(-1).seq < oldest.seq - 1) return;
  c.entries.unshift(...c.aside.filter(({ seq }) => seq < oldest.seq));
  c.aside = null;
}

// A page of the log; without `entries` when the log is another one by now.
async function readPage(connection, c, which) {
  const { entries, epoch, first } = await connection.ask(c, "history:read", which);
  if (epoch !== c.stream.position.epoch) return {};
  c.client.learnNames(entries, true);
  c.stream.onPage(entries);
  c.learn(entries);
  return { entries, first };
}

// Everything up to the head, or to this seq, has been read.
export async function markRead(connection, c, seq = c.head) {
  while (c.marking) await c.marking.catch(() => {});
  if (seq <= c.read || c.stream.syncing) return;
  await together(c, "marking", () => setMarks(c.client, [[c.id, { read: seq }]]));
}

// Calls while it is under way share its end.
function together(c, name, act) {
  return (c[name] ??= act()
    .then(() => c.client.changed(c))
    .finally(() => (c[name] = null)));
}
