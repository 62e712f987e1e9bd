// Everything around the log: the list of conversations, the heading, and the state of the connection.

import { $, show, write } from "./dom.js";
import { briefly, t } from "./i18n.js";
import { changed, state } from "./state.js";

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const addressed = (hash) => decodeURIComponent(/#c=([^&]+)/.exec(hash)?.[1] ?? "");

const titleOf = (c) => c && (c.title || t("untitled"));

let ticking;

export function drawFrame() {
  const { open, opening, link, name } = state;
  drawList();
  document.body.classList.toggle("has-open", Boolean(open ?? opening));
  $("chat").classList.toggle("empty", !open?.loaded);
  write({ nothing: t(open || opening ? "opening" : "pick"), title: titleOf(open), "my-name": name, "my-face": name[0]?.toUpperCase() });
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

function drawList() {
  const list = $("list");
  const mine = [...state.conversations.values()].filter((c) => c.role);
  mine.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  const focused = list.contains(document.activeElement) && document.activeElement.hash;
  let sum = 0;
  show(list, mine.map((c) => {
    const { id, role, unread, lastActivity } = c;
    const invited = role === "invited";
    const n = !invited && unread;
    const open = c === state.open && "page";
    sum += invited || n;
    return {
      is: "conversation",
      key: id,
      title: titleOf(c),
      time: lastActivity && briefly(new Date(lastActivity)),
      invited: invited && t("invited"),
      count: n > 99 ? "99+" : n && [n],
      unread: n && t("missed", { n }),
      open,
      dress: ({ firstElementChild: link }) => Object.assign(link, { href: address(id) }, open && { ariaCurrent: open }),
    };
  }));
  if (focused && !list.contains(document.activeElement)) list.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  $("none").hidden = mine[0] || state.link !== "online";
  document.title = sum ? `(${sum}) Roomgraph` : "Roomgraph";
}
