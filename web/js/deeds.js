// What a person does now and then. Each is one of the Actions, which it is given first.

import { wait } from "./connection.js";
import { complain } from "./dom.js";
import { changed, nameOf, state } from "./state.js";
import { deviceId, random, signOut as leavePage, stored } from "./storage.js";

// The id is chosen here, so that a repeated request creates one conversation. Resolves with the id.
export async function create(actions, settings) {
  const id = `c-${random(3)}`;
  await actions.enter(id, "conversation:create", settings);
  return id;
}

export async function leave({ connection, following }, c) {
  await connection.ask(c, "conversation:leave");
  following.drop(c);
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
  for (const { user_id, online } of members) state.presence.set(user_id, online);
  changed();
}

export const invite = ({ connection }, c, user_ids) => connection.ask(c, "conversation:invite", { user_ids });

export const renameDevice = ({ connection }, device_id, device_name) =>
  connection.insist("device:rename", { device_id, device_name });

// The device's sessions end, and its token is good for nothing any more.
export async function signOutDevice(actions, device_id) {
  if (device_id === deviceId()) await signOut(actions);
  else await actions.connection.insist("device:sign_out", { device_id });
}

// Leave, with nothing left behind.
export async function signOut({ connection, outbox }) {
  const told = connection.request("device:sign_out", { device_id: deviceId() });
  await Promise.allSettled([outbox.forget(), Promise.race([told, wait(1000)])]);
  stored.device = null;
  leavePage();
}
