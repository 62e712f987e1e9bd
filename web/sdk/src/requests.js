// Requests about a conversation that do more than ask: questions, older entries, read marks.

import { change } from "./change.js";
import { setMarks } from "./delivery_marks.js";
import { remove as unlist } from "./list.js";
import { random } from "./wait.js";

// The same settings again, after an error, create nothing more.
export async function create(client, settings) {
  const same = JSON.stringify(settings);
  if (client.asked?.same !== same) client.asked = { same, request_id: random(4) };
  const { request_id } = client.asked;
  const { conversation_id } = await client.connection.insist("conversation:create", { request_id, ...settings });
  client.asked = null;
  return conversation_id;
}

export async function leave(connection, c) {
  await change(connection, "conversation:leave", { conversation_id: c.id });
  unlist(c.client.following, c);
}

/** End a run, or the one that is being written. */
export const stop = async (connection, c, run = c.stream.current) =>
  run && change(connection, "run:stop", { conversation_id: c.id, run_id: run.run_id });

export const regenerate = (connection, c, seq) => change(connection, "run:regenerate", { conversation_id: c.id, seq });

export const remove = (connection, c, seq) => change(connection, "message:delete", { conversation_id: c.id, seq });

// Answer the agent's question. When somebody else was first, the refusal says who; other errors are thrown.
export async function respond(connection, c, interrupt_id, value) {
  try {
    const answer = { conversation_id: c.id, interrupt_id, value };
    c.resolved.set(interrupt_id, await change(connection, "interrupt:respond", answer));
  } catch (error) {
    if (error.code === "already_resolved") c.resolved.set(interrupt_id, error.details);
    else throw error;
  }
  c.client.changed(c);
}

// The page before the oldest loaded entry.
export const loadOlder = async (connection, c) =>
  c.hasOlder &&
  oneAtATime(c, "paging", async () => {
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
  oneAtATime(c, "paging", async () => {
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
export const markRead = async (connection, c, seq = c.head) =>
  seq > c.read &&
  !c.stream.syncing &&
  connection.ready &&
  oneAtATime(c, "marking", () => setMarks(c.client, [[c.id, { read: seq }]]));

// Scrolling, or the next connection, repeats what has failed.
async function oneAtATime(c, busy, act) {
  if (c[busy]) return;
  c[busy] = true;
  await act().catch(() => {});
  c[busy] = false;
  c.client.changed(c);
}
