// How this page's session ends for good: signed out here or elsewhere, or by its token.

import { parts } from "../sdk/src/later.js";
import { random, wait } from "../sdk/src/wait.js";
import { ask } from "./ask.js";
import { isGuest } from "./guest.js";
import { t } from "./i18n.js";
import { endPush } from "./push.js";
import { deviceId, stored } from "./storage.js";
import { confirmed } from "./view/confirm.js";

let leaving = false; // the person is signing out here

// The browser remembers the guest no more, on whatever node it asks.
const forgetGuest = async ({ me }) => isGuest() && Promise.race([ask("api/guest/forget", { user_id: me }), wait(1000)]);

// Back to the sign-in page, which shows `notice` and has forgotten this guest.
function leavePage(notice = null) {
  Object.assign(stored, { token: null, notice, [`guest ${deviceId()}`]: null });
  location.reload();
}

// It says what is lost: messages that are not sent yet, and a guest who is on no other device.
export async function signOutAfterAsking(client) {
  const n = client.outbox.items.filter(({ state }) => state !== "sent").length;
  const lost = [n && t("signOutUnsent", { n }), t(isGuest() ? "signOutGuest" : "signOutHere", client)];
  const asked = { title: t("reallySignOutHere"), text: lost.filter(Boolean).join(" "), act: t("signOut") };
  if (await confirmed(asked)) await signOut(client);
}

async function signOut(client) {
  leaving = true;
  const answered = client.request("device:sign_out", { request_id: random(4), device_id: deviceId() });
  await Promise.allSettled([forgetUnsent(client.outbox), endPush(client.me), Promise.race([answered, wait(1000)]), forgetGuest(client)]);
  leavePage();
  stored.device = null;
}

// A device that was signed out or shut out keeps nothing of its user; after a token's time what is not sent is kept.
export async function endSession(client, error) {
  if (!/signed_out|revoked/.test(error.code)) return leavePage(error);
  await Promise.allSettled([forgetUnsent(client.outbox), endPush(client.me), forgetGuest(client)]);
  leavePage(leaving ? null : error);
  stored.device = null;
}

export async function forgetUnsent(outbox) {
  stored.drafts = null;
  return (await parts.records.load()).forget(outbox);
}
