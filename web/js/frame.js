// Everything around the log: the list of conversations, the heading, and the state of the connection.

import { $, show } from "./dom.js";
import { briefly, t } from "./i18n.js";
import { changed, state } from "./state.js";

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const addressed = (hash) => decodeURIComponent(/#c=([^&]+)/.exec(hash)?.[1] ?? "");

const titleOf = (c) => c.title || t("untitled");

let ticking = 0;

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
    if (status.dataset.link && status.dataset.link !== link) $("heard").textContent = text;
    status.dataset.link = link;
    status.textContent = text;
  }
}

// What is true of the connection now; seconds are counted down.
function linkText() {
  const { link, node, behind: n, retryAt } = state;
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  clearTimeout(ticking);
  if (link === "catching" && n) return t("catchingUp", { n });
  if (link !== "reconnecting" || seconds <= 0) return t(link, { node });
  ticking = setTimeout(changed, 500);
  return t("reconnectingIn", { n: seconds });
}

function drawList() {
  const list = $("list");
  const mine = [...state.conversations.values()].filter((c) => c.role);
  mine.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  const focused = document.activeElement?.closest("#list a")?.hash;
  show(list, mine.map((c) => {
    const { id, role, unread, lastActivity } = c;
    const invited = role === "invited" && t("invited");
    const dress = (node) => {
      const link = node.firstElementChild;
      link.href = address(id);
      if (c === state.open) link.ariaCurrent = "page";
    };
    const count = unread > 0 && [unread > 99 ? "99+" : unread];
    return {
      is: "conversation",
      key: id,
      title: titleOf(c),
      time: lastActivity && briefly(new Date(lastActivity)),
      invited,
      count: !invited && count,
      unread: !invited && count && t("missed", { n: unread }),
      open: c === state.open,
      dress,
    };
  }));
  $("none").hidden = mine.length || state.link !== "online";
  if (focused && !list.contains(document.activeElement)) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  const unread = mine.reduce((sum, c) => sum + (c.role === "invited" ? 1 : c.unread), 0);
  document.title = unread ? `(${unread}) Roomgraph` : "Roomgraph";
}
