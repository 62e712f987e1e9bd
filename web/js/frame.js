// Everything around the log: the list of conversations, the heading, and the state of the connection.

import { $, show } from "./dom.js";
import { briefly, t } from "./i18n.js";
import { changed, state } from "./state.js";

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const addressed = (hash) => decodeURIComponent(/#c=([^&]+)/.exec(hash)?.[1] ?? "");

const titleOf = (c) => c.title || t("untitled");

let ticking;

export function drawFrame() {
  const { open, opening, link, name } = state;
  drawList();
  document.body.classList.toggle("has-open", Boolean(open ?? opening));
  $("chat").classList.toggle("empty", !open?.loaded);
  $("nothing").textContent = t(open || opening ? "opening" : "pick");
  $("title").textContent = open && titleOf(open);
  $("my-name").textContent = name;
  $("my-face").textContent = [...name][0]?.toUpperCase();
  const text = linkText();
  for (const status of document.querySelectorAll(".status")) {
    const { dataset } = status;
    if (dataset.link && dataset.link !== link) $("heard").textContent = text;
    dataset.link = link;
    status.textContent = text;
  }
}

// What is true of the connection now; seconds are counted down.
function linkText() {
  const { link, node, behind, retryAt } = state;
  const n = Math.ceil((retryAt - Date.now()) / 1000);
  clearTimeout(ticking);
  if (link === "catching" && behind) return t("catchingUp", { n: behind });
  if (link !== "reconnecting" || n < 1) return t(link, { node });
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
    const n = invited ? 0 : unread;
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
      dress(node) {
        node.firstElementChild.href = address(id);
        if (open) node.firstElementChild.ariaCurrent = open;
      },
    };
  }));
  if (focused && !list.contains(document.activeElement)) list.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  $("none").hidden = mine.length || state.link !== "online";
  document.title = sum ? `(${sum}) Roomgraph` : "Roomgraph";
}
