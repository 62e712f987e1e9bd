// The switch "Notify me on this device", among this person's devices: by Web Push, or where the server has none by this
// page, for as long as it is open.

import { change } from "../../sdk/src/change.js";
import { mentions } from "../../sdk/src/unread.js";
import { $, complain, toast } from "../dom.js";
import { t } from "../i18n.js";
import { Push, pushManager } from "../push.js";
import { state } from "../state.js";
import { stored } from "../storage.js";
import { titleOf } from "./header.js";
import { address } from "./list.js";

export async function beginNotifications(client) {
  const manager = await pushManager();
  const field = $("notify");
  const way = state.pushKey ? manager && (await byPush(client.connection, manager)) : byPage(client);
  if (!way) return;
  field.checked = await way.isOn();
  field.closest("label").hidden = false;
  field.onchange = async () => {
    field.disabled = true;
    try {
      if (!field.checked) await way.turnOff();
      else if (!(await way.turnOn())) toast(t("notifyDenied"));
    } catch (error) {
      complain(error);
    }
    field.checked = await way.isOn();
    field.disabled = false;
  };
  navigator.serviceWorker?.addEventListener("message", ({ data }) => data?.open && (location.hash = data.open));
}

async function byPush(connection, manager) {
  const push = new Push(manager, state.pushKey, state.me, (subscription) => change(connection, "push:subscribe", { subscription }));
  await push.keep().catch(() => {}); // until the next start
  return push;
}

// A question or a mention, while nobody looks at the page.
function byPage(client) {
  if (!globalThis.Notification) return null;
  const isOn = () => stored.push_page === state.me && Notification.permission === "granted";
  client.on("entry", (c, { type, data }) => {
    if (!document.hidden || !isOn() || client.following.catchingUp) return;
    const asked = type === "interrupt" && (c.approvals !== "owner" || c.role === "owner");
    const mentioned = type === "message" && data.user_id !== state.me && mentions(data.text, [state.me, state.name]);
    if (asked || mentioned) notify(c, data).catch(complain);
  });
  return {
    isOn,
    async turnOn() {
      if ((await Notification.requestPermission()) !== "granted") return false;
      stored.push_page = state.me;
      return true;
    },
    turnOff: () => (stored.push_page = null),
  };
}

// By the service worker where there is one: phones take no others, and it opens the conversation that is clicked.
async function notify(c, { name, text }) {
  const url = address(c.id);
  const options = { body: text.slice(0, 200), tag: c.id, data: { url: `${location.pathname}${url}` } };
  const worker = await navigator.serviceWorker?.getRegistration();
  const title = `${name} · ${titleOf(c)}`;
  if (worker?.active) return worker.showNotification(title, options);
  const shown = new Notification(title, options);
  shown.onclick = () => {
    shown.close();
    focus();
    location.hash = url;
  };
}
