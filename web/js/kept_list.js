// The list of conversations as it was last, for a page that is opened while no node can be reached: their titles, and
// how many messages wait to be sent. A guest's outlives the tab, as the guest does.

import { isGuest } from "./guest.js";
import { lazy } from "./lazy.js";
import { changed, state } from "./state.js";
import { deviceId, stored } from "./storage.js";

const MOST = 200;
const KEPT = ["id", "title", "role", "agent", "graph", "lastActivity", "pinned", "archived"];

const key = () => (isGuest() ? `guest_list ${deviceId()}` : "list");

let client;

export function begin(page) {
  ({ client } = page);
  addEventListener("pagehide", keep);
  document.addEventListener("visibilitychange", () => document.hidden && keep());
}

function keep() {
  if (!client.met || !stored.token) return; // never connected, or signed out
  const { me, name } = client;
  const mine = [...client.conversations.values()].filter(({ role }) => role);
  mine.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  const conversations = mine.slice(0, MOST).map((c) => Object.fromEntries(KEPT.map((field) => [field, c[field]])));
  stored[key()] = { me, name, conversations };
}

export const forgetList = () => (stored[key()] = null);

// Show what was kept, until there is a connection.
export async function restore() {
  const { me, name, conversations = [] } = stored[key()] ?? {};
  if (client.met || client.connection.ready || state.unsent !== null) return;
  state.unsent = 0;
  if (me) Object.assign(client, { me, name });
  for (const { id, ...kept } of conversations) Object.assign(client.following.add(id), kept);
  changed();
  const { step } = await lazy.outboxStore.load();
  await step((records) => (state.unsent = records.filter(({ device }) => device === deviceId()).length));
  changed();
}
