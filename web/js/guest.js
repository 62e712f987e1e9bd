// A guest's token: another one before it ends; after that the browser still knows the guest, by a cookie.

import { ask } from "./ask.js";
import { deviceId, stored } from "./storage.js";

const LONGEST_MS = 86_400_000; // a timer cannot be set to any time
const AGAIN_MS = 10_000;
let timer;

// Called when the page is online: renew the token when two thirds of its time are over.
export function begin() {
  clearTimeout(timer);
  if (!isGuest()) return; // its issuer gives another one
  const due = ((claims().exp * 1000 - Date.now()) * 2) / 3;
  timer = setTimeout(async () => {
    if (due <= LONGEST_MS) await renew().catch(() => {});
    begin();
  }, Math.min(Math.max(due, AGAIN_MS), LONGEST_MS));
}

// A new token of the same guest, or the one that there was. Rejects when no node answers.
export async function renew() {
  if (!isGuest()) return stored.token;
  const { sub } = claims();
  let answer = await ask("api/guest/renew", { token: stored.token, device_id: deviceId() });
  if (answer.error?.code === "token_expired") answer = await continueRemembered(sub);
  if (answer.token) keepGuest(answer);
  if (answer.error?.code === "unavailable") throw answer.error;
  return stored.token;
}

// The guest whom the browser remembers, unless it is another one than `user_id`.
async function continueRemembered(user_id) {
  const remembered = await ask("api/guest/remembered");
  if (remembered.user_id !== user_id) return remembered;
  return ask("api/guest/renew", { device_id: deviceId() });
}

// What a closed tab of a guest left unsent is sent with this token; another user's ends with the tab.
export function keepGuest({ user_id, name, token, expires_in }) {
  stored.token = token;
  if (isGuest()) stored[`guest ${deviceId()}`] = { user_id, name, token, until: Date.now() + 1000 * expires_in };
}

export const isGuest = () => claims().roomgraph_guest !== undefined;

function claims() {
  try {
    return JSON.parse(atob(stored.token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {}; // a server may know its users by something else than a JWT
  }
}
