// What stands around the log: the heading, and the state of the connection.

import { $, write } from "./dom.js";
import { t } from "./i18n.js";
import { changed, state } from "./state.js";

export const addressed = (hash) => decodeURIComponent(/#c=([^&]+)/.exec(hash)?.[1] ?? "");

export const titleOf = (c) => c && (c.title || t("untitled"));

let ticking;

export function drawFrame() {
  const { open, opening, link, name } = state;
  document.body.classList.toggle("has-open", Boolean(open ?? opening));
  $("chat").classList.toggle("empty", !open?.loaded);
  write({ pick: t(open || opening ? "opening" : "pick"), title: titleOf(open), "my-name": name, "my-face": name[0]?.toUpperCase() });
  const text = linkText();
  const { dataset } = document.body;
  if (dataset.link && dataset.link !== link) write({ heard: text });
  dataset.link = link;
  for (const status of document.querySelectorAll(".status")) status.textContent = text;
}

// What is true of the connection now; seconds are counted down.
function linkText() {
  const { link, behind, retryAt } = state;
  const n = Math.ceil((retryAt - Date.now()) / 1000);
  clearTimeout(ticking);
  if (link === "catching" && behind) return t("catchingUp", { n: behind });
  if (link !== "reconnecting" || n < 1) return t(link, state);
  ticking = setTimeout(changed, 500);
  return t("reconnectingIn", { n });
}
