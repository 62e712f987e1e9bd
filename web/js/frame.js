// Everything around the log: the list of conversations, the heading, and the state of the connection.

import { $, arrange, fill } from "./dom.js";
import { briefly, language, t } from "./i18n.js";
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
  $("title").textContent = open ? titleOf(open) : "";
  $("my-name").textContent = name;
  $("my-face").textContent = [...name][0]?.toUpperCase();
  const text = linkText();
  for (const status of document.querySelectorAll(".status")) {
    if (status.dataset.link !== link && status.dataset.link) $("heard").textContent = text;
    status.dataset.link = link;
    if (status.textContent !== text) status.textContent = text;
  }
}

// What is true of the connection now; seconds are counted down.
function linkText() {
  const { link, node, behind: n, retryAt } = state;
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  clearTimeout(ticking);
  if (link === "catching" && n) return t("catchingUp", { n });
  if (link !== "reconnecting" || !(seconds > 0)) return t(link, { node });
  ticking = setTimeout(changed, 1000);
  return t("reconnectingIn", { n: seconds });
}

function listed() {
  const mine = [...state.conversations.values()].filter((c) => c.role);
  return mine.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
}

// The conversation `step` places below the open one.
export function neighbour(step) {
  const mine = listed();
  return mine[mine.indexOf(state.open) + step];
}

function drawList() {
  const mine = listed();
  const items = mine.map((c) => {
    const sign = [titleOf(c), c.unread, c.role, c.lastActivity, c === state.open, language()].join("|");
    return { key: c.id, sign, make: () => row(c) };
  });
  const focused = document.activeElement?.closest("#list a")?.hash;
  arrange($("list"), items);
  $("none").hidden = items.length || state.link !== "online";
  if (focused && !$("list").contains(document.activeElement)) {
    [...$("list").querySelectorAll("a")].find((link) => link.hash === focused)?.focus();
  }
  const unread = mine.reduce((sum, c) => sum + (c.role === "invited" ? 1 : c.unread), 0);
  document.title = unread ? `(${unread}) Roomgraph` : "Roomgraph";
}

function row(c) {
  const invited = c.role === "invited";
  const count = invited ? t("invited") : c.unread > 99 ? "99+" : c.unread && String(c.unread);
  const time = c.lastActivity && briefly(new Date(c.lastActivity));
  const node = fill("conversation", { link: true, title: titleOf(c), time, count });
  const link = node.firstElementChild;
  link.href = address(c.id);
  if (c === state.open) link.ariaCurrent = "page";
  if (count && !invited) link.querySelector(".count").title = t("missed", { n: c.unread });
  return node;
}
