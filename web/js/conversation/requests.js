// The requests about a conversation and its people that are made less often than sending.

import { complain } from "../dom.js";
import { changed, learnNames, nameOf, state } from "../state.js";
import { remove } from "./list.js";

export async function leave(connection, outbox, c) {
  await connection.ask(c, "conversation:leave");
  remove(outbox, c);
}

// Have the last turn, whose final entry is `seq`, answered again.
export const regenerate = (connection, c, seq) => connection.ask(c, "run:regenerate", { seq });

// Stop the answer that is being written.
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

// The members, and which of them are online at this moment.
export async function loadMembers(connection, c) {
  const { members } = await connection.ask(c, "conversation:members");
  c.members = members.map((member) => ({ ...member, name: nameOf(member.user_id) }));
  changed();
}

export const invite = (connection, c, user_ids) => connection.ask(c, "conversation:invite", { user_ids });

export const renameDevice = (connection, device_id, device_name) =>
  connection.insist("device:rename", { device_id, device_name });

// End another device's sessions; its token is void from then on.
export const signOutDevice = (connection, device_id) => connection.insist("device:sign_out", { device_id });

// Load the page of entries before the oldest loaded one.
export const loadOlder = (connection, c) =>
  c.hasOlder &&
  oneAtATime(c, "paging", async () => {
    const { entries, epoch, first } = await connection.ask(c, "conversation:history", { before: c.entries[0].seq });
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
  oneAtATime(c, "marking", async () => {
    const { seq } = await connection.request("read:update", { conversation_id: c.id, seq: c.head });
    c.mark(state.me, seq);
  });

// Scrolling, or the next connection, repeats what has failed.
async function oneAtATime(c, busy, act) {
  if (c[busy]) return;
  c[busy] = true;
  await act().catch(() => {});
  c[busy] = false;
  changed();
}
