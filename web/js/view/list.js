// The list of the person's conversations on the screen.

import { $, show } from "../dom.js";
import { clock, day, format, t } from "../i18n.js";
import { nameOf, onChange, state } from "../state.js";
import { titleOf } from "./header.js";
import { showUnread } from "./badge.js";

export const briefly = (date) =>
  day(date) === t("today") ? clock(date) : format(date, "date", { day: "numeric", month: "short" });

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const begin = () => onChange(draw);

// The unsent text, or what was said last and by whom, in one line.
function lastOf({ draft, last }, open) {
  const line = (key, text, name) => t(key, { text: text.slice(0, 200).replace(/\s+/g, " "), name });
  if (draft.text && !open) return line("lastDraft", draft.text);
  return last && line("lastBy", last.text || t("noText"), last.user_id === state.me ? t("yourself") : last.name || nameOf(last.user_id));
}

function draw() {
  const list = $("list");
  const mine = [...state.conversations.values()].filter((c) => c.role);
  mine.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  const focused = list.contains(document.activeElement) && document.activeElement.hash;
  let sum = 0;
  show(list, mine.map((c) => {
    const { id, role, lastActivity } = c;
    const invited = role === "invited";
    const n = !invited && c.unread.count;
    const mentioned = !invited && c.unread.mentions;
    const open = c === state.open && "page";
    sum += invited || n;
    return {
      is: "conversation",
      key: id,
      title: titleOf(c),
      time: lastActivity && briefly(new Date(lastActivity)),
      invited: invited && t("invited"),
      last: !invited && lastOf(c, open),
      at: mentioned && ["@"],
      mentioned: mentioned && t("mentioned", { n: mentioned }),
      count: n > 99 ? "99+" : n && [n],
      unread: n && t("missed", { n }),
      open,
      dress: ({ firstElementChild: link }) => Object.assign(link, { href: address(id) }, open && { ariaCurrent: open }),
    };
  }));
  if (focused && !list.contains(document.activeElement)) list.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  $("none").hidden = mine[0] || state.link !== "online";
  showUnread(sum);
}
