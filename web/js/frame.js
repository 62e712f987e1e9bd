// Everything around the log: the list of conversations, the heading, and the state of the connection.

import { $, arrange, h } from "./dom.js";
import { briefly, language, t } from "./i18n.js";
import { state } from "./state.js";

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const addressed = (hash) => decodeURIComponent(/#c=([^&]+)/.exec(hash)?.[1] ?? "");

const titleOf = (c) => c.title || t("untitled");

export function drawFrame() {
  const { open, opening, link, node } = state;
  drawList();
  document.body.classList.toggle("has-open", Boolean(open ?? opening));
  $("chat").classList.toggle("empty", !open?.loaded);
  $("nothing").textContent = t(open || opening ? "opening" : "pick");
  $("title").textContent = open ? titleOf(open) : "";
  $("subtitle").textContent = open?.loaded ? [t(open.access), `${t("agent")}: ${t(open.agent)}`].join(" · ") : "";
  $("my-name").textContent = state.name;
  for (const status of document.querySelectorAll(".status")) {
    status.dataset.link = link;
    const text = t(link, { node });
    if (status.textContent !== text) status.textContent = text;
  }
}

function drawList() {
  const mine = [...state.conversations.values()].filter((c) => c.role);
  mine.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  const items = mine.map((c) => {
    const sign = [titleOf(c), c.unread, c.role, c.lastActivity, c === state.open, language()].join("|");
    return { key: c.id, sign, make: () => row(c) };
  });
  const none = () => h("li.none", {}, t("none"));
  if (!items.length && state.link === "online") items.push({ key: "", sign: language(), make: none });
  const focused = document.activeElement?.closest("#list a")?.hash;
  arrange($("list"), items);
  if (focused && !$("list").contains(document.activeElement)) {
    [...$("list").querySelectorAll("a")].find((link) => link.hash === focused)?.focus();
  }
  const unread = mine.reduce((sum, c) => sum + (c.role === "invited" ? 1 : c.unread), 0);
  document.title = unread ? `(${unread}) Roomgraph` : "Roomgraph";
}

function row(c) {
  const invited = c.role === "invited";
  const count = invited ? t("invited") : c.unread > 99 ? "99+" : c.unread;
  const link = h(
    "a",
    { href: address(c.id) },
    h("span.title", {}, titleOf(c)),
    c.lastActivity ? h("time", {}, briefly(new Date(c.lastActivity))) : null,
    count ? h("span.count", { title: invited ? "" : t("missed", { n: c.unread }) }, String(count)) : null,
  );
  if (c === state.open) link.setAttribute("aria-current", "page");
  return h("li", {}, link);
}
