// Around the log: the heading, the state of the connection, and why there is none.

import { $, write } from "../dom.js";
import { explain, t } from "../i18n.js";
import { changed, state } from "../state.js";

export function addressed(hash) {
  try {
    return decodeURIComponent(/#c=([^&]+)/.exec(hash)?.[1] ?? "");
  } catch {
    return ""; // a link that was cut
  }
}

export const titleOf = (c) => c && (c.title || t("untitled"));

let ticking;

export function drawHeader() {
  const { open, opening, link, name, node, refusal, unsent } = state;
  // Until there is a connection a phone shows the list, which says so.
  const unreached = unsent !== null && !node;
  document.body.classList.toggle("has-open", Boolean(open ?? opening) && !unreached);
  $("chat").classList.toggle("empty", !open?.loaded);
  const pick = open || opening ? (link === "offline" ? "opensLater" : "opening") : "pick";
  write({ pick: t(pick), title: titleOf(open), "my-name": name });
  const text = linkText();
  const { dataset } = document.body;
  if (dataset.link && dataset.link !== link) write({ announced: text });
  dataset.link = link;
  const why = refusal && link !== "offline" ? explain(refusal) : "";
  $("refusal").hidden = !why;
  if ($("why").textContent !== why) write({ why }); // a screen reader reads it out each time
  for (const status of document.querySelectorAll(".status")) status.textContent = text;
}

// The connection's state in words, with the seconds until the next attempt.
function linkText() {
  const { link, behind, retryAt } = state;
  const n = Math.ceil((retryAt - Date.now()) / 1000);
  clearTimeout(ticking);
  if (link === "catching" && behind) return t("catchingUp", { n: behind });
  if (link !== "reconnecting" || n < 1) return t(link, state);
  ticking = setTimeout(changed, 500);
  return t("reconnectingIn", { n });
}
