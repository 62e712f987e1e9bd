// The page was opened with a code of another device: sign in as its user, after asking.

import { $, h } from "../dom.js";
import { keepGuest } from "../guest.js";
import { t } from "../i18n.js";
import { ask } from "../ask.js";
import { onChange } from "../state.js";
import { deviceName, stored } from "../storage.js";

const PLACE = /^#device=(.+)$/;

// Call `enter` as that user, or else `stay`. The code is not left in the address: it is kept, shown and copied.
export async function signInByLink(enter, stay) {
  const code = decodeURIComponent(PLACE.exec(location.hash)[1]);
  history.replaceState(null, "", location.pathname + location.search);
  // A code works once, so it is used before the question; without a yes the token is dropped.
  const linked = await ask("api/device", { code, device_name: deviceName() });
  if (linked.error) {
    const used = linked.error.code === "not_found" || linked.error.code === "invalid_payload";
    stored.notice = used ? { code: "link_used" } : linked.error;
    return stay();
  }
  const rest = [...$("signin").querySelectorAll("form, details, [data-t=remembered]")];
  const asked = (shown) => {
    $("signin").hidden = !shown;
    for (const node of rest) node.hidden = shown;
    if (!shown) $("guests").replaceChildren();
  };
  const yes = Object.assign(h("button"), { className: "primary" });
  const no = Object.assign(h("button"), { className: "plain" });
  const question = h("p");
  const draw = () => {
    question.textContent = t("signInHere", linked);
    yes.textContent = t("signInAs", linked);
    no.textContent = t("notNow");
  };
  yes.onclick = () => {
    stored.device = linked.device_id;
    keepGuest(linked);
    asked(false);
    enter();
  };
  no.onclick = () => {
    asked(false);
    stay();
  };
  $("guests").replaceChildren(question, yes, no);
  onChange(draw); // in another language
  draw();
  asked(true);
  yes.focus();
}
