// The list of the person's conversations: how it is read, and what it looks like.

import { Delivery } from "./delivery.js";
import { $, show, toast } from "./dom.js";
import { titleOf } from "./frame.js";
import { clock, day, format, t } from "./i18n.js";
import { changed, onChange, state } from "./state.js";

// The time of today, or the day.
export const briefly = (date) =>
  day(date) === t("today") ? clock(date) : format(date, "date", { day: "numeric", month: "short" });

export const address = (id) => `#c=${encodeURIComponent(id)}`;

export const begin = () => onChange(draw);

export async function read(following) {
  const began = performance.now();
  const listed = new Set();
  let after = null;
  do {
    const page = await following.connection.insist("conversation:list", { after });
    for (const item of page.conversations) {
      const c = following.meet(item.conversation_id);
      listed.add(c);
      c.title = item.title;
      c.role = item.role;
      if (item.role === "invited" || c.syncing) continue;
      c.mark(state.me, item.read);
      if (!c.delivery) {
        c.delivery = new Delivery(item.position);
        c.first = item.position.seq - item.unread + 1; // as far as counting needs it
        c.lastActivity = item.last_activity;
      }
    }
    after = page.next;
  } while (after);
  for (const c of state.conversations.values()) {
    if (!listed.has(c) && !c.syncing && c.followedAt < began) drop(following, c);
  }
  await following.sync([...listed].filter((c) => c.delivery && !c.followedAt));
  changed();
}

let due;

export function readSoon(following) {
  clearTimeout(due);
  due = setTimeout(() => read(following).catch(() => {}), 150);
}

// It is no longer this person's.
export function drop({ outbox }, c) {
  if (!state.conversations.delete(c.id)) return;
  outbox.remove((item) => item.conversation_id === c.id);
  changed();
  if (c !== state.open) return;
  toast(t("gone", { title: c.title }));
  location.hash = "";
}

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
