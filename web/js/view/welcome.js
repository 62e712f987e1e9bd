// What an empty conversation shows: who answers here, what it can do, and messages to begin with.

import { copyLink } from "../clipboard.js";
import { $, focusField, h, onClick, write } from "../dom.js";
import { language, t } from "../i18n.js";
import { nameOf, onChange, state } from "../state.js";
import { initialOf, paint } from "./person.js";

const STARTERS = ["starterShow", "starterBook", "starterStory"]; // of the concierge, which comes with the server

const SAID = /^(message|answer|interrupt|stopped|failed)$/;

let client;
let drawn;

// Once, however often it is clicked before the conversation is drawn again.
function begins(text) {
  for (const one of $("starters").children) one.disabled = true;
  state.open.send(text);
  focusField();
}

export function begin(page) {
  ({ client } = page);
  onClick({ "welcome-link": () => copyLink(state.open.id) });
  onChange(draw);
}

// Nothing has been said here, nor is on its way.
const isEmpty = (c) =>
  c?.loaded && !c.hasOlder && !c.stream.current && !c.entries.some(({ type }) => SAID.test(type)) && !client.outbox.of(c.id)[0];

function draw() {
  const c = state.open;
  const shown = isEmpty(c);
  $("welcome").hidden = !shown;
  const sign = shown && `${c.id} ${c.agent} ${language()}`;
  if (!shown || drawn === sign) return;
  drawn = sign;
  const id = `agent:${c.graph}`;
  const name = nameOf(id);
  const answers = c.agent !== "off";
  const concierge = answers && c.graph === "concierge";
  const text = { off: "welcomeOff", mention: "welcomeMention" }[c.agent] ?? (concierge ? "welcomeConcierge" : "welcomeAgent");
  write({
    "welcome-face": answers ? initialOf(name) : "",
    "welcome-title": t(answers ? "welcomeTitle" : "welcomeQuiet", { name }),
    "welcome-text": t(text, { name }),
  });
  $("welcome-face").hidden = !answers;
  paint($("welcome-face"), id);
  const starters = concierge && c.agent === "always" ? STARTERS : [];
  const say = (starter) => Object.assign(h("button", t(starter)), { onclick: () => begins(t(starter)) });
  $("starters").replaceChildren(...starters.map(say));
}
