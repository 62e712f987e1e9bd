// The sign-in page: a name makes a guest, a guest of this browser may go on, a token is taken as it is.

import { $, h } from "./dom.js";
import { explain, t } from "./i18n.js";
import { onChange } from "./state.js";
import { deviceId, frame, stored } from "./storage.js";

const GUEST = "roomgraph.guest ";

// Show the page until there is a token, then call `enter`.
export async function signIn(enter) {
  const { notice } = stored;
  const guests = await guestsHere();
  // Who comes back when all tabs are closed goes on, on the same device; beside a tab one may be somebody else.
  const [only, other] = guests;
  if (only && !other && !only.lives && !notice) {
    Object.assign(stored, { device: only.device, token: only.token });
    enter();
    return;
  }
  $("signin").hidden = false;
  const say = (error) => ($("signin-error").textContent = error ? explain(error) : "");
  say(notice);
  stored.notice = null;

  const enterWith = (token, guest) => {
    if (guest) stored[`guest ${deviceId()}`] = { ...guest, token };
    stored.token = token;
    $("signin").hidden = true;
    enter();
    $("new").focus();
  };
  const onSubmit = (id, act) =>
    $(id).addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = $(id).querySelector("button");
      button.disabled = true;
      say(null);
      await act(new FormData($(id)));
      button.disabled = false;
    });

  const goOn = ({ device, token, lives, ...guest }) => {
    if (!lives) stored.device = device;
    enterWith(token, guest);
  };
  const named = (guest) => Object.assign(h("button", t("goOnAs", guest)), { onclick: () => goOn(guest) });
  const draw = () => $("guests").replaceChildren(...guests.map(named));
  onChange(draw); // in another language
  draw();
  onSubmit("with-token", (form) => enterWith(form.get("token").trim()));
  onSubmit("as-guest", async (form) => {
    const name = form.get("name").trim();
    if (!name) return say({ code: "no_name" });
    try {
      const body = JSON.stringify({ name });
      const headers = { "Content-Type": "application/json" };
      const { token, error, expires_in } = await (await fetch("/api/guest", { method: "POST", body, headers })).json();
      if (token) enterWith(token, { name, until: Date.now() + 1000 * expires_in });
      else say(error);
    } catch {
      say({ code: "unavailable" });
    }
  });
}

// {device, name, token, until, lives: a tab of theirs is open}, each once. Without locks nobody knows who is closed.
async function guestsHere() {
  const guests = new Map();
  try {
    const held = (await navigator.locks?.query())?.held.map(({ name }) => name);
    for (const key of frame ? [] : Object.keys(localStorage).filter((key) => key.startsWith(GUEST))) {
      const device = key.slice(GUEST.length);
      const guest = JSON.parse(localStorage.getItem(key));
      const lives = !held || held.includes(`roomgraph ${device}`);
      if (!(guest?.until > Date.now())) localStorage.removeItem(key);
      else if (lives || !guests.get(guest.token)?.lives) guests.set(guest.token, { ...guest, device, lives });
    }
  } catch {
    // Forbidden: nobody is remembered.
  }
  return [...guests.values()];
}
