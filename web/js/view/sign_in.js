// The sign-in page: become a guest, continue as a guest of this browser, use a token, or the link of another device.

import { kept } from "../address.js";
import { $, h, onSubmit, toast } from "../dom.js";
import { explain, t } from "../i18n.js";
import { ask } from "../ask.js";
import { onChange } from "../state.js";
import { deviceId, deviceName, frame, stored } from "../storage.js";

const GUEST = `${kept}.guest `;

// The code of another device's link; it leaves the address at once.
function takeCode() {
  const [, code = ""] = /^#device=([^&]+)/.exec(location.hash) ?? [];
  if (location.hash.startsWith("#device=")) history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(code);
  } catch {
    return code; // a link that was cut: the server knows no such code
  }
}

// Show the page until there is a token, then call `enter`. A tab that is signed in comes here with a link only.
export async function signIn(enter) {
  const { notice } = stored;
  const code = takeCode();
  if (stored.token && !code) return enter();
  const guests = await guestsHere();
  // The only guest, all of whose tabs are closed, continues on the same device; otherwise the page asks.
  const [only, other] = guests;
  if (only && !other && !only.open && !notice && !code) {
    Object.assign(stored, { device: only.device, token: only.token });
    enter();
    return;
  }
  $("signin").hidden = false;
  $("as-guest").elements.name.focus();
  if (code) offerLink(code);
  const showError = (error) => ($("signin-error").textContent = error ? explain(error) : "");
  showError(notice);
  stored.notice = null;

  const leave = (newcomer = false) => {
    $("signin").hidden = true;
    enter(newcomer);
    if (!newcomer) $("new").focus();
  };
  const enterWith = (token, guest, newcomer) => {
    if (guest) stored[`guest ${deviceId()}`] = { ...guest, token };
    stored.token = token;
    leave(newcomer);
  };
  // One click does it once.
  const during = async (button, act) => {
    button.disabled = true;
    showError(null);
    try {
      await act();
    } finally {
      button.disabled = false;
    }
  };
  const onEnter = (id, act) => onSubmit($(id), (fields) => during($(id).querySelector("button"), () => act(fields)));

  const keptOf = ({ user_id, name, expires_in }) => ({ user_id, name, until: Date.now() + 1000 * expires_in });
  const continueRemembered = async () => {
    const answer = await ask("api/guest/renew", { device_id: deviceId() });
    if (answer.token) enterWith(answer.token, keptOf(answer));
    else showError(answer.error);
  };
  // After a click only: previews of links run pages, too, and a link may be somebody else's.
  function offerLink(code) {
    const others = document.querySelectorAll("#guests, #signin form, #signin details");
    const offer = (open) => {
      $("by-link").hidden = !open;
      for (const one of others) one.hidden = open;
    };
    offer(true);
    $("use-link").focus();
    // Back to whom this tab is signed in as, or to the page as it is without a link.
    const decline = (error) => {
      offer(false);
      if (stored.token) {
        if (error) toast(explain(error));
        return leave();
      }
      $("as-guest").elements.name.focus();
      showError(error);
    };
    $("decline-link").onclick = () => decline(null);
    const use = async () => {
      const { token, error, device_id, ...guest } = await ask("api/device", { code, device_name: deviceName() });
      if (error && (error.retryable || error.code === "unavailable")) return showError(error);
      if (error) return decline(/^(not_found|invalid_payload)$/.test(error.code) ? { code: "link_used" } : error);
      stored.device = device_id;
      enterWith(token, keptOf(guest));
    };
    $("use-link").onclick = () => during($("use-link"), use);
  }

  const continueAs = ({ device, token, open, remembered, ...guest }) => {
    if (remembered) return continueRemembered();
    if (!open) stored.device = device;
    enterWith(token, guest);
  };
  // Known by a cookie: on another node of this host, or after the token has expired.
  async function offerRemembered() {
    const { user_id, name, guests_allowed, kept_s } = frame ? {} : await ask("api/guest/remembered");
    if (guests_allowed === false) {
      for (const id of ["as-guest", "remembered"]) $(id).remove();
      $("with-token").parentNode.open = true;
    }
    if (kept_s === 0) $("kept").hidden = true;
    if (!user_id || guests.some((guest) => guest.user_id === user_id)) return;
    guests.push({ name, remembered: true });
    draw();
  }
  const named = (guest) => Object.assign(h("button", t("continueAs", guest)), { onclick: () => continueAs(guest) });
  const draw = () => $("guests").replaceChildren(...guests.map(named));
  onChange(draw); // in another language
  draw();
  offerRemembered();
  onEnter("with-token", ({ token }) => enterWith(token.trim()));
  onEnter("as-guest", async (form) => {
    const name = form.name.trim();
    if (!name) return showError({ code: "no_name" });
    const answer = await ask("api/guest", { name, device_id: deviceId() });
    if (answer.token) enterWith(answer.token, keptOf(answer), true);
    else showError(answer.error);
  });
}

// {device, user_id, name, token, until, open: has an open tab}, each once. Without locks every tab counts as open.
async function guestsHere() {
  const guests = new Map();
  try {
    const held = (await navigator.locks?.query())?.held.map(({ name }) => name);
    for (const key of frame ? [] : Object.keys(localStorage).filter((key) => key.startsWith(GUEST))) {
      const device = key.slice(GUEST.length);
      const guest = JSON.parse(localStorage.getItem(key));
      const open = !held || held.includes(`roomgraph ${device}`);
      if (!(guest?.until > Date.now())) localStorage.removeItem(key);
      else if (open || !guests.get(guest.token)?.open) guests.set(guest.token, { ...guest, device, open });
    }
  } catch {
    // Storage is forbidden: no guest is remembered.
  }
  return [...guests.values()];
}
