// Requests about a conversation that do more than ask: members, questions, older entries, read marks.

import { copy } from "../clipboard.js";
import { change } from "../connection/change.js";
import { complain } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { changed, learnNames, nameOf, state } from "../state.js";
import { setMarks } from "./delivery_marks.js";
import { remove as unlist } from "./list.js";

export async function leave(connection, outbox, c) {
  await change(connection, "conversation:leave", { conversation_id: c.id });
  unlist(outbox, c);
}

export const stop = (connection, c, run = c.stream.current) =>
  run && change(connection, "run:stop", { conversation_id: c.id, run_id: run.run_id });

export const regenerate = (connection, c, seq) => change(connection, "run:regenerate", { conversation_id: c.id, seq });

export const copyText = async (connection, c, seq, entry) =>
  copy((entry.pages ? await (await lazy.longEntries.load()).whole(connection, c, entry) : entry.data).text, t("copied"));

// Delete a message, or the conversation, once the person has said so again.
export const remove = (connection, c, seq) =>
  confirm(t("deleteSure")) && change(connection, "message:delete", { conversation_id: c.id, seq }).catch(complain);

// Of what was deleted nothing stays on the page. In another epoch it is not among `entries`.
export function forget(c, entries, seqs) {
  for (const seq of seqs) {
    const at = entries.findIndex((entry) => entry.seq === seq);
    const { pages, data, ...entry } = entries[at] ?? {};
    const { user_id, name, run_id, request_id } = data ?? {};
    if (data) entries[at] = { ...entry, data: { user_id, name, run_id, request_id, text: "", deleted: true } };
    if (entries === c.entries && c.last?.seq === seq) c.last = { ...c.last, text: "", deleted: true };
  }
  changed();
}

// Answer the agent's question. When somebody else was first, the refusal says who; other errors are thrown.
export async function respond(connection, c, interrupt_id, value) {
  try {
    const answer = { conversation_id: c.id, interrupt_id, value };
    c.resolved.set(interrupt_id, await change(connection, "interrupt:respond", answer));
  } catch (error) {
    if (error.code === "already_resolved") c.resolved.set(interrupt_id, error.details);
    else throw error;
  }
  changed();
}

export async function loadMembers(connection, c) {
  const { members } = await connection.ask(c, "members:list");
  c.members = members.map((member) => ({ ...member, name: nameOf(member.user_id) }));
  changed();
}

// The page before the oldest loaded entry.
export const loadOlder = (connection, c) =>
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
export const loadNewer = (connection, c) =>
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
  changed();
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
  learnNames(entries, true);
  c.stream.onPage(entries);
  c.learn(entries);
  return { entries, first };
}

// Everything up to the head has been read.
export const markRead = (connection, c) =>
  c.head > c.read &&
  !c.stream.syncing &&
  connection.ready &&
  oneAtATime(c, "marking", () => setMarks(connection, [[c.id, { read: c.head }]]));

// Scrolling, or the next connection, repeats what has failed.
async function oneAtATime(c, busy, act) {
  if (c[busy]) return;
  c[busy] = true;
  await act().catch(() => {});
  c[busy] = false;
  changed();
}
