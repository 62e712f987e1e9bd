// The list of the person's conversations on the screen.

import { $, show } from "../dom.js";
import { clock, day, format, t } from "../i18n.js";
import { onChange, state } from "../state.js";
import { titleOf } from "./header.js";

export const briefly = (date) =>
  day(date) === t("today") ? clock(date) : format(date, "date", { day: "numeric", month: "short" });

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const begin = () => onChange(draw);

function draw() {
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
