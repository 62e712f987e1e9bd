// The switch "Notify me on this device", among this person's devices.

import { change } from "../../sdk/src/change.js";
import { $, complain, toast } from "../dom.js";
import { t } from "../i18n.js";
import { Push, pushManager } from "../push.js";
import { state } from "../state.js";

// Shown where the server sends notifications and the browser takes them.
export async function beginNotifications(connection) {
  const manager = state.pushKey && (await pushManager());
  if (!manager) return;
  const push = new Push(manager, state.pushKey, state.me, (subscription) => change(connection, "push:subscribe", { subscription }));
  const field = $("notify");
  await push.keep().catch(() => {}); // until the next start
  field.checked = await push.isOn();
  field.closest("label").hidden = false;
  field.onchange = async () => {
    field.disabled = true;
    try {
      if (!field.checked) await push.turnOff();
      else if (!(await push.turnOn())) toast(t("notifyDenied"));
    } catch (error) {
      complain(error);
    }
    field.checked = await push.isOn();
    field.disabled = false;
  };
  navigator.serviceWorker.addEventListener("message", ({ data }) => data?.open && (location.hash = data.open));
}
