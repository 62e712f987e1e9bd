// What a person does now and then. Each is one of the Actions, which it is given first.

import { wait } from "./connection.js";
import { complain } from "./dom.js";
import { drop } from "./list.js";
import { changed, learnNames, nameOf, state } from "./state.js";
import { deviceId, random, stored } from "./storage.js";

// The id is chosen here, so that a repeated request creates one conversation. Resolves with the id.
export async function create(actions, settings) {
  const id = `c-${random(3)}`;
  await actions.enter(id, "conversation:create", settings);
  return id;
}

export async function leave({ connection, following }, c) {
  await connection.ask(c, "conversation:leave");
  drop(following, c);
}

// Have the last turn answered anew, whose final entry is `seq`.
export const regenerate = ({ connection }, c, seq) => connection.ask(c, "run:regenerate", { seq });

// End the answer that is being written.
export async function stop({ connection }, c) {
  const { run_id } = c.answer.current ?? {};
  if (run_id) await connection.ask(c, "run:stop", { run_id });
}

// Answer a question of the agent's. When somebody was first, the log says who.
export async function respond({ connection }, c, interrupt_id, value) {
  try {
    c.resolve(await connection.ask(c, "interrupt:respond", { interrupt_id, value }));
  } catch (error) {
    if (error.code !== "already_resolved") complain(error);
  }
  changed();
}

// Who is a member, and online at this moment.
export async function loadMembers({ connection }, c) {
  const { members } = await connection.ask(c, "conversation:members");
  c.members = members.map((member) => ({ ...member, name: nameOf(member.user_id) }));
  changed();
}

export function online(user_id, is) {
  for (const { members } of state.conversations.values()) {
    for (const member of members ?? []) if (member.user_id === user_id) member.online = is;
  }
}

export const invite = ({ connection }, c, user_ids) => connection.ask(c, "conversation:invite", { user_ids });

export const renameDevice = ({ connection }, device_id, device_name) =>
  connection.insist("device:rename", { device_id, device_name });

// The page before the oldest entry that is here.
export async function older({ connection }, c) {
  if (!c.hasOlder || c.paging) return;
  c.paging = true;
  try {
    const page = await connection.ask(c, "conversation:history", { before: c.entries[0].seq });
    if (page.epoch !== c.delivery.position.epoch) return;
    learnNames(page.entries, true);
    const top = c.entries[0].seq;
    c.first = page.entries.length ? page.first : top;
    c.entries.unshift(...page.entries.filter(({ seq }) => seq < top));
    for (const { type, data } of page.entries) if (type === "interrupt_resolved") c.resolve(data);
  } catch {
    // Scrolling again asks again.
  } finally {
    c.paging = false;
    changed();
  }
}

// Everything up to the end has been seen.
export async function seen({ connection }, c) {
  if (c.head <= c.read || c.syncing || c.marking || !connection.ready) return;
  c.marking = true;
  try {
    const { seq } = await connection.request("read:update", { conversation_id: c.id, seq: c.head });
    c.mark(state.me, seq);
  } catch {
    // Seen again after the next connection.
  } finally {
    c.marking = false;
    changed();
  }
}

// The device's sessions end, and its token is good for nothing any more.
export async function signOutDevice(actions, device_id) {
  if (device_id === deviceId()) await signOut(actions);
  else await actions.connection.insist("device:sign_out", { device_id });
}

// Begin again at the sign-in page, which does not remember this guest either.
function leavePage(notice = null) {
  Object.assign(stored, { token: null, notice, [`guest ${deviceId()}`]: null });
  location.reload();
}

// The server takes this page's token no more.
export async function refused(actions, error) {
  if (error.code === "token_revoked") await ended(actions, error);
  else leavePage(error);
}

let leaving = false;

// Leave, with nothing left behind.
export async function signOut({ connection, outbox }) {
  leaving = true;
  const told = connection.request("device:sign_out", { device_id: deviceId() });
  await Promise.allSettled([forget(outbox), Promise.race([told, wait(1000)])]);
  leavePage();
  stored.device = null;
}

// Signed out, here or elsewhere, or by the operator: nothing of this person's stays. Not so after a token's time.
export async function ended({ connection, outbox }, { code, reason }) {
  connection.close();
  if (reason === "token_expired") return leavePage({ code: reason });
  await forget(outbox);
  leavePage(leaving ? null : { code: code ?? "token_revoked" });
  stored.device = null;
}

// What was not sent here shall not be.
export const forget = ({ device: own, shelf }) =>
  shelf.step((records, store) => {
    for (const { client_id, device } of records) if (device === own) store.delete(client_id);
  });
