// Requests about a conversation that do more than ask: members, questions, older entries, read marks.

import { complain } from "../dom.js";
import { changed, learnNames, nameOf, state } from "../state.js";
import { setMarks } from "./delivery_marks.js";
import { remove } from "./list.js";

export async function leave(connection, outbox, c) {
  await connection.ask(c, "conversation:leave");
  remove(outbox, c);
}

export async function stop(connection, c) {
  const { run_id } = c.answer.current ?? {};
  if (run_id) await connection.ask(c, "run:stop", { run_id });
}

// Answer the agent's question. When somebody else was first, the log says who.
export async function respond(connection, c, interrupt_id, value) {
  try {
    c.resolve(await connection.ask(c, "interrupt:respond", { interrupt_id, value }));
  } catch (error) {
    if (error.code !== "already_resolved") complain(error);
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
    const { entries, epoch, first } = await connection.ask(c, "history:read", { before: c.entries[0].seq });
    if (epoch !== c.delivery.position.epoch) return;
    learnNames(entries, true);
    const top = c.entries[0].seq;
    c.first = entries.length ? first : top;
    c.entries.unshift(...entries.filter(({ seq }) => seq < top));
    for (const { type, data } of entries) if (type === "interrupt_resolved") c.resolve(data);
  });

// Everything up to the head has been read.
export const markRead = (connection, c) =>
  c.head > c.read &&
  !c.syncing &&
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
